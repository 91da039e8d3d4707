//! Work on the ledger and its keys that only the process which holds the ledger may do, in the server
//! or in a command while no server runs. What takes two people takes their passwords here, where the
//! work is done.

use std::sync::Arc;

use domain::{Clock, Kind};
use keys::custody::Switch;
use ledger::{Body, Entry};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Answer, Credentials, Desk, NewHold};
use crate::config::Config;
use crate::kek;

/// What can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Work {
    /// Go over to the key-encryption key that the configuration leads to now.
    CustodyReload,
    /// Record that everything is wrapped by another key-encryption key.
    KeyRotated {
        /// How many keys there are.
        keys: u32,
    },
    /// Record that a backup was made.
    BackupMade {
        /// SHA-256 of the file, in hexadecimal.
        sha256: String,
        /// Its length.
        bytes: u64,
    },
    /// Destroy months that are past their retention; all that are due, if none are named.
    Shred {
        /// The months, as `2020-01`.
        months: Vec<String>,
        officers: Vec<Credentials>,
    },
    /// Record a legal hold.
    HoldPlace { hold: NewHold, officers: Vec<Credentials> },
    /// Lift a legal hold.
    HoldRelease { id: String, reason: String, officers: Vec<Credentials> },
}

impl Work {
    /// Whether people sign in for it.
    pub(crate) const fn takes_people(&self) -> bool {
        matches!(self, Self::Shred { .. } | Self::HoldPlace { .. } | Self::HoldRelease { .. })
    }
}

/// What the work is done with.
pub(crate) struct Shop {
    pub(crate) config: Arc<Config>,
    pub(crate) switch: Arc<Switch>,
    pub(crate) desk: Desk,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Shop {
    /// Does it.
    pub(crate) async fn run(&self, work: Work, actor: &str) -> Answer {
        match work {
            Work::CustodyReload => self.reload(),
            Work::KeyRotated { keys } => {
                let body = Body {
                    detail: Some("the key-encryption key was changed".to_owned()),
                    count: Some(keys),
                    ..by(actor)
                };
                self.record(Kind::KeyEvent, body).await
            }
            Work::BackupMade { sha256, bytes } => {
                let mut hash = [0; 32];
                let whole = decode_hex(&sha256, &mut hash);
                let body =
                    Body { body_sha256: whole.then_some(hash), bytes: Some(bytes), ..by(actor) };
                self.record(Kind::BackupMade, body).await
            }
            Work::Shred { months, officers } => self.shred(months, officers, actor).await,
            Work::HoldPlace { hold, officers } => self.place_hold(hold, officers, actor).await,
            Work::HoldRelease { id, reason, officers } => {
                self.release_hold(id, reason, officers, actor).await
            }
        }
    }

    /// The [keys] section is read anew, so that keys can move into a token while the server runs.
    fn reload(&self) -> Answer {
        let custody = Config::read(&self.config.path)
            .map_err(|error| error.to_string())
            .and_then(|config| kek::custody(&config).map_err(|failure| failure.message()));
        match custody {
            Ok(custody) => {
                self.switch.set(custody);
                Answer::Done(json!({ "reloaded": true }))
            }
            Err(why) => Answer::Refused(format!("the server keeps its key-encryption key: {why}")),
        }
    }

    async fn record(&self, kind: Kind, body: Body) -> Answer {
        match self.desk.ledger.append(vec![Entry::new(kind, body)]).await {
            Ok(positions) => {
                Answer::Done(json!({ "seq": positions.first().map(|position| position.seq) }))
            }
            Err(fault) => Answer::Refused(format!("it could not be recorded: {fault}")),
        }
    }
}

/// Who acts on this host.
pub(super) fn by(actor: &str) -> Body {
    let role = Some("operator".to_owned());
    Body { subject: Some(actor.to_owned()), role, ..Body::default() }
}

pub(super) fn decode_hex(text: &str, out: &mut [u8; 32]) -> bool {
    text.len() == 64
        && out.iter_mut().enumerate().all(|(at, byte)| {
            let digits = text.get(at * 2..at * 2 + 2);
            let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            value.map(|value| *byte = value).is_some()
        })
}
