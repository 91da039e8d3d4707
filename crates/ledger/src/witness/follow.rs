//! Brings every new checkpoint of a ledger to its witnesses, keeps it once a quorum has cosigned, and
//! acts on it when they lag: a warning, or no record until they have caught up. A ledger of which a
//! witness holds more, or another history, is stopped: it must not sign a smaller or different one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Clock, Kind};
use tokio::task::JoinSet;

use super::client::{AskError, Carrier, Found, ask};
use super::kept::{cosigners, keep, kept};
use super::lag::{Lag, Turn};
use super::refused::{Refused, refuse};
use crate::body::Body;
use crate::ledger::Ledger;
use crate::note::{Checkpoint, Note, VerifierKey};

/// Under this name the witnesses suspend a ledger.
const WHO: &str = "witnesses";
/// The longest pause after a witness failed.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How many must cosign, and what lateness does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// How many witnesses must have cosigned.
    pub quorum: usize,
    /// How old the newest cosigned checkpoint may be while there is a newer one.
    pub max_lag: Duration,
    /// Whether no record is taken while they are later than that.
    pub stops: bool,
}

/// Where following stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Followed {
    /// The size of the newest checkpoint with a quorum.
    pub size: u64,
    /// How many witnesses cosigned when last asked.
    pub cosigned: usize,
    /// How old the newest cosigned checkpoint is while there is a newer one, in milliseconds.
    pub lag_ms: i64,
    /// Whether that is too old.
    pub behind: bool,
}

/// One witness, as far as it is known.
struct Peer {
    key: VerifierKey,
    carrier: Arc<dyn Carrier>,
    /// What it was last known to hold.
    known: u64,
    /// After failures: how long to wait, and until when.
    pause: Duration,
    until: Option<Instant>,
}

/// Follows one ledger.
pub struct Follower {
    ledger: Ledger,
    dir: PathBuf,
    peers: Vec<Peer>,
    policy: Policy,
    clock: Arc<dyn Clock>,
    lag: Lag,
    followed: Followed,
}

impl Follower {
    /// A follower of the ledger in `dir`. What was kept in an earlier life counts: a restart makes
    /// no witness early.
    pub fn new(
        ledger: Ledger,
        dir: PathBuf,
        witnesses: Vec<(VerifierKey, Arc<dyn Carrier>)>,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keys: Vec<VerifierKey> = witnesses.iter().map(|(key, _)| key.clone()).collect();
        let note = kept(&dir).ok().flatten().and_then(|text| Note::parse(&text).ok());
        let own = note.filter(|note| note.signed_by(ledger.verifier_key()));
        let old = own.and_then(|note| Some((Checkpoint::parse(note.text()).ok()?.size, note)));
        let now = clock.now().millis();
        let (mut size, mut newest) = (0, now);
        let mut peers: Vec<Peer> = witnesses
            .into_iter()
            .map(|(key, carrier)| Peer {
                key,
                carrier,
                known: 0,
                pause: Duration::ZERO,
                until: None,
            })
            .collect();
        if let Some((of, note)) = &old {
            for peer in &mut peers {
                peer.known = note.cosigned_by(&peer.key).map_or(0, |_| *of);
            }
            let mut times: Vec<u64> =
                cosigners(note, &keys).into_iter().map(|(_, time)| time).collect();
            times.sort_unstable();
            // The latest moment at which a quorum had cosigned it.
            if let Some(time) = policy.quorum.checked_sub(1).and_then(|at| times.get(at)) {
                size = *of;
                let millis = i64::try_from(time.saturating_mul(1000)).unwrap_or(i64::MAX);
                newest = millis.min(now);
            }
        }
        let max_ms = i64::try_from(policy.max_lag.as_millis()).unwrap_or(i64::MAX);
        let lag = Lag::new(max_ms, newest);
        let followed = Followed { size, ..Followed::default() };
        Self { ledger, dir, peers, policy, clock, lag, followed }
    }

    /// One look: brings the latest checkpoint to the witnesses, if it is new. Call it again and again.
    pub async fn turn(&mut self) -> Followed {
        let text = self.ledger.latest_checkpoint();
        let size = size_of(&text);
        if self.ledger.failure().is_some() || size.is_none() {
            return self.followed;
        }
        if size.is_some_and(|size| size <= self.followed.size) && !self.lag.is_behind() {
            self.lag.idle(self.clock.now().millis());
            self.followed.lag_ms = 0;
            return self.followed;
        }
        let lines = self.ask_all(&text).await;
        if self.ledger.failure().is_some() {
            return self.followed;
        }
        let met = self.keep(&text, &lines).await;
        let now = self.clock.now().millis();
        let turn = match met {
            true => {
                self.followed.size = size.unwrap_or(self.followed.size);
                self.lag.met(now)
            }
            false => self.lag.unmet(now),
        };
        self.followed.behind = self.lag.is_behind();
        self.followed.lag_ms = if met { 0 } else { self.lag.lag_ms(now) };
        if let Some(turn) = turn {
            self.act(turn).await;
        }
        self.followed
    }

    /// Asks every witness that is not being waited for; the signature lines of those that cosigned.
    async fn ask_all(&mut self, text: &str) -> Vec<String> {
        let mut asked = JoinSet::new();
        let now = Instant::now();
        for (place, peer) in self.peers.iter().enumerate() {
            if peer.until.is_some_and(|until| until > now) {
                continue;
            }
            let (carrier, key, known) = (Arc::clone(&peer.carrier), peer.key.clone(), peer.known);
            let (dir, text) = (self.dir.clone(), text.to_owned());
            asked.spawn(async move { (place, ask(&*carrier, &key, &dir, known, &text).await) });
        }
        let mut lines = Vec::new();
        while let Some(answer) = asked.join_next().await {
            let Ok((place, answer)) = answer else { continue };
            lines.extend(self.hear(place, answer, text).await);
        }
        lines
    }

    async fn hear(
        &mut self,
        place: usize,
        answer: Result<Found, AskError>,
        text: &str,
    ) -> Option<String> {
        let peer = self.peers.get_mut(place)?;
        let name = peer.key.name().to_owned();
        match answer {
            Ok(Found::Cosigned { line, .. }) => {
                if !peer.pause.is_zero() {
                    tracing::info!(witness = name, "the witness answers again");
                }
                (peer.pause, peer.until) = (Duration::ZERO, None);
                peer.known = size_of(text).unwrap_or(peer.known);
                Some(line)
            }
            Ok(Found::Ahead(held)) => {
                // The log may have grown since that checkpoint was signed: look at all of it.
                let whole = self.ledger.checkpoint().await.ok().and_then(|text| size_of(&text))?;
                if held <= whole {
                    peer.known = held;
                    return None;
                }
                let reason = format!(
                    "witness {name} cosigned {held} leaves of this ledger, and only {whole} are \
                     here: it was cut or rolled back. Nothing more is signed. Put the missing part \
                     back or, if it is lost, restore from a backup"
                );
                self.halt(Refused::Ahead(held), &reason);
                None
            }
            Ok(Found::Fork(size)) => {
                let reason = format!(
                    "witness {name} cosigned another history of this ledger at {size} leaves: it \
                     was changed, or a copy of it is running elsewhere. Nothing more is signed. \
                     Find the other history before anything else"
                );
                self.halt(Refused::Fork(size), &reason);
                None
            }
            Err(error) => {
                if peer.pause.is_zero() {
                    tracing::warn!(witness = name, %error, "a witness did not cosign");
                }
                peer.pause = (peer.pause * 2).clamp(Duration::from_secs(1), MAX_PAUSE);
                peer.until = Some(Instant::now() + peer.pause);
                None
            }
        }
    }

    fn halt(&self, what: Refused, reason: &str) {
        self.ledger.halt(reason);
        if let Err(error) = refuse(&self.dir, what, reason) {
            tracing::error!(%error, "what the witness said could not be kept");
        }
    }

    /// Keeps the note if a quorum cosigned; whether it is kept.
    async fn keep(&mut self, text: &str, lines: &[String]) -> bool {
        let keys: Vec<VerifierKey> = self.peers.iter().map(|peer| peer.key.clone()).collect();
        let note = Note::parse(&format!("{text}{}", lines.concat()));
        let cosigned = note.map_or(0, |note| cosigners(&note, &keys).len());
        self.followed.cosigned = cosigned;
        if cosigned < self.policy.quorum || cosigned == 0 {
            return false;
        }
        let (dir, text, lines) = (self.dir.clone(), text.to_owned(), lines.to_vec());
        let kept = tokio::task::spawn_blocking(move || keep(&dir, &text, &lines)).await;
        match kept {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "the cosigned checkpoint could not be kept");
                false
            }
            Err(_) => false,
        }
    }

    async fn act(&self, turn: Turn) {
        let quorum = self.policy.quorum;
        let of = self.peers.len();
        let detail = match turn {
            Turn::Began => format!("{quorum} of {of} witnesses cosign"),
            Turn::FellBehind => {
                let reason = format!(
                    "fewer than {quorum} of {of} witnesses cosigned within {} s",
                    self.policy.max_lag.as_secs()
                );
                if self.policy.stops {
                    self.ledger.suspend(WHO, &reason);
                } else {
                    tracing::warn!(reason, "the witnesses lag");
                }
                reason
            }
            Turn::CaughtUp => {
                self.ledger.resume(WHO);
                format!("{quorum} of {of} witnesses cosign again")
            }
        };
        let size = self.followed.size;
        let body = Body {
            detail: Some(format!("{detail}; cosigned up to {size} leaves")),
            ..Body::default()
        };
        if let Err(fault) = self.ledger.append_open(Kind::LedgerWitnessed, &body).await {
            tracing::error!(%fault, "the witnesses' state could not be recorded");
        }
    }
}

fn size_of(text: &str) -> Option<u64> {
    Some(Checkpoint::parse(Note::parse(text).ok()?.text()).ok()?.size)
}
