//! Shredding and legal holds: two privacy officers sign in where the work is done; what is not due, or
//! held, stays; what is done is recorded before it is done.

use std::sync::Arc;

use domain::Kind;
use keys::custody::Custody;
use ledger::evidence::Source;
use ledger::hold::{self, Cover, Hold};
use ledger::retention::{self, RetentionError, ShredPlan, parse_period, period_text};
use ledger::{Body, Entry, Trouble};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::reading::Officer;
use super::work::Shop;
use super::{Answer, Credentials};
use crate::system::{StreamPlace, ledger_stream, streams};

/// What is to be put under a hold.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHold {
    pub(crate) id: String,
    /// What it covers, as [`Cover::text`] writes it.
    pub(crate) cover: String,
    pub(crate) reason: String,
    /// How many records the evidence holds.
    pub(crate) count: u32,
    /// SHA-256 of the evidence, in hexadecimal.
    pub(crate) sha256: String,
}

type Stop = Box<Answer>;

/// Held by whatever judges or changes what is held: a hold that is placed while months are judged must
/// not be answered before they are gone or kept. One process at a time holds a ledger.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn trouble(trouble: Trouble, message: impl Into<String>) -> Stop {
    Box::new(Answer::Trouble { id: trouble.id().to_owned(), message: message.into() })
}

fn refused(error: &dyn std::fmt::Display) -> Stop {
    Box::new(Answer::Refused(error.to_string()))
}

fn told(error: &RetentionError) -> Stop {
    match error {
        RetentionError::Damaged(_) => trouble(Trouble::Corrupt, error.to_string()),
        RetentionError::Io { .. } | RetentionError::Tiles(_) => refused(error),
    }
}

impl Shop {
    /// Two different privacy officers, signed in.
    async fn two(&self, officers: Vec<Credentials>, actor: &str) -> Result<[Officer; 2], Stop> {
        match self.desk.officers(officers, actor).await {
            Answer::Done(found) => {
                serde_json::from_value(found).map_err(|_| refused(&"something of ours failed"))
            }
            other => Err(Box::new(other)),
        }
    }

    /// Shreds these months, or all that are due.
    pub(crate) async fn shred(
        &self,
        months: Vec<String>,
        officers: Vec<Credentials>,
        actor: &str,
    ) -> Answer {
        match self.try_shred(months, officers, actor).await {
            Ok(done) => Answer::Done(done),
            Err(stop) => *stop,
        }
    }

    async fn try_shred(
        &self,
        months: Vec<String>,
        officers: Vec<Credentials>,
        actor: &str,
    ) -> Result<Value, Stop> {
        let officers = self.two(officers, actor).await?;
        let _alone = ONE_AT_A_TIME.lock().await;
        let every = streams(&self.config);
        let sources: Vec<_> = every.iter().map(|place| self.source_dir(place)).collect();
        let now = u64::try_from(self.clock.now().millis()).unwrap_or(0);
        let days = self.config.ledger.retention_days;
        let due_only = months.is_empty();
        let mut asked = Vec::new();
        for month in &months {
            let period = parse_period(month)
                .ok_or_else(|| refused(&format!("{month} is not a month like 2020-01")))?;
            if !retention::is_due(period, days, now) {
                let what =
                    format!("{month}: records are kept for {days} days after the month's end");
                return Err(trouble(Trouble::TooYoung, what));
            }
            asked.push(period);
        }
        // All is judged before anything is done.
        let custody = Arc::clone(&self.switch) as Arc<dyn Custody>;
        let opened: Vec<Source<'_>> = every
            .iter()
            .zip(&sources)
            .map(|(place, dir)| Source {
                dir,
                keys_dir: &place.keys_dir,
                origin: &place.origin,
                stream: place.stream,
                custody: Arc::clone(&custody),
            })
            .collect();
        let wanted =
            |period| asked.contains(&period) || (due_only && retention::is_due(period, days, now));
        let (todo, held) = block_in_place(|| judge(&opened, &wanted, due_only))?;
        let mut done = Vec::new();
        for (source, period) in todo {
            if let Some(one) = self.shred_month(source, period, &officers).await? {
                done.push(one);
            }
        }
        let held: Vec<Value> = held
            .iter()
            .map(|(period, id)| json!({ "month": period_text(*period), "hold": id }))
            .collect();
        Ok(json!({ "shredded": done, "held": held }))
    }

    async fn shred_month(
        &self,
        source: &Source<'_>,
        period: u32,
        officers: &[Officer; 2],
    ) -> Result<Option<Value>, Stop> {
        let current = source.stream == ledger_stream(&self.config);
        let month = period_text(period);
        let (open, plan) = if current {
            let key = self.desk.ledger.verifier_key();
            let made = block_in_place(|| ShredPlan::new(source.dir, source.keys_dir, period, key));
            let plan = made.map_err(|error| told(&error))?;
            if plan.is_done() {
                return Ok(None);
            }
            (plan.shred.body(), Some(plan))
        } else if retention::has_key(source.keys_dir, period) {
            // Nothing is written to a stream that has ended: its segments stay, sealed for good.
            let detail = Some(format!("the key of stream {}", source.stream));
            (Body { period: Some(period), detail, ..Body::default() }, None)
        } else {
            return Ok(None);
        };
        let body = Body { period: Some(period), ..named(officers) };
        let kind = Kind::LedgerShredded;
        // Recorded already by a run that was cut short: then it is only finished.
        let before = block_in_place(|| retention::shreds(source.dir));
        let before = before.map_err(|error| refused(&error))?;
        let known = plan.as_ref().is_some_and(|plan| before.contains(&plan.shred));
        if !known {
            let recorded =
                self.desk.ledger.append_both(&[(kind, open)], vec![Entry::new(kind, body)]).await;
            recorded.map_err(|fault| {
                let what =
                    format!("{month} was not shredded, because it could not be recorded: {fault}");
                trouble(Trouble::NotWritable, what)
            })?;
        }
        let carried = block_in_place(|| match &plan {
            Some(plan) => plan.carry_out(),
            None => retention::destroy_key(source.keys_dir, period),
        });
        carried.map_err(|error| {
            let what = format!(
                "{month} is recorded as shredded, but not all of it is gone: {error}; run it again"
            );
            trouble(Trouble::NotWritable, what)
        })?;
        let segments = plan.as_ref().and_then(|plan| plan.shred.segments);
        let count = segments.map_or(0, |(first, last)| last.saturating_sub(first) + 1);
        let bytes = plan.as_ref().map_or(0, |plan| plan.bytes);
        Ok(Some(json!({
            "month": month, "stream": source.stream, "segments": count, "bytes": bytes,
        })))
    }

    /// Records a hold whose evidence was made.
    pub(crate) async fn place_hold(
        &self,
        new: NewHold,
        officers: Vec<Credentials>,
        actor: &str,
    ) -> Answer {
        let [first, second] = match self.two(officers, actor).await {
            Ok(officers) => officers,
            Err(stop) => return *stop,
        };
        let _alone = ONE_AT_A_TIME.lock().await;
        let Some(cover) = Cover::parse(&new.cover).filter(|_| !new.reason.trim().is_empty()) else {
            return Answer::Refused("a hold needs what it covers, and a reason".to_owned());
        };
        // A release names an id: two holds of one id would be lifted as one.
        match self.holds() {
            Err(error) => return Answer::Refused(error),
            Ok(holds) if holds.iter().any(|hold| hold.id == new.id) => {
                return Answer::Refused(format!("there is a hold {} already", new.id));
            }
            Ok(_) => {}
        }
        let hold = Hold {
            id: new.id,
            cover,
            reason: new.reason,
            by: (first.sub, second.sub),
            stream: ledger_stream(&self.config),
            placed: 0,
            count: new.count,
            released: None,
        };
        let mut hash = [0; 32];
        if !super::work::decode_hex(&new.sha256, &mut hash) {
            return Answer::Refused("the hash of the evidence is none".to_owned());
        }
        let body = Body { body_sha256: Some(hash), ..hold.body() };
        self.record_hold(Kind::HoldPlaced, hold.id, body).await
    }

    /// Lifts a hold.
    pub(crate) async fn release_hold(
        &self,
        id: String,
        reason: String,
        officers: Vec<Credentials>,
        actor: &str,
    ) -> Answer {
        let officers = match self.two(officers, actor).await {
            Ok(officers) => officers,
            Err(stop) => return *stop,
        };
        let _alone = ONE_AT_A_TIME.lock().await;
        let holds = match self.holds() {
            Ok(holds) => holds,
            Err(error) => return Answer::Refused(error),
        };
        match holds.iter().find(|hold| hold.id == id) {
            None => {
                return Answer::Refused(format!(
                    "there is no hold {id}; see: phiward ledger hold list"
                ));
            }
            Some(hold) if hold.released.is_some() => {
                return Answer::Refused(format!("{id} was released already"));
            }
            Some(_) => {}
        }
        let purpose = Some(reason).filter(|reason| !reason.trim().is_empty());
        let body = Body { hold: Some(id.clone()), purpose, ..named(&officers) };
        self.record_hold(Kind::HoldReleased, id, body).await
    }

    async fn record_hold(&self, kind: Kind, id: String, body: Body) -> Answer {
        let open = Body { hold: Some(id.clone()), ..Body::default() };
        let entry = Entry::new(kind, body);
        match self.desk.ledger.append_both(&[(kind, open)], vec![entry]).await {
            Ok(positions) => Answer::Done(json!({
                "hold": id, "seq": positions.first().map(|position| position.seq),
            })),
            Err(fault) => *trouble(
                Trouble::NotWritable,
                format!("nothing was changed, because it could not be recorded: {fault}"),
            ),
        }
    }

    fn holds(&self) -> Result<Vec<Hold>, String> {
        let custody = Arc::clone(&self.switch) as Arc<dyn Custody>;
        block_in_place(|| holds_of(&self.config, &custody))
    }

    fn source_dir(&self, place: &StreamPlace) -> std::path::PathBuf {
        crate::system::stream_dir(&self.config, place.stream)
    }
}

/// Which of the wanted months can go, and which are held: a held one that was asked for by name ends it.
#[allow(clippy::type_complexity, reason = "two lists, taken apart at once")]
fn judge<'a, 'b>(
    sources: &'b [Source<'a>],
    wanted: &dyn Fn(u32) -> bool,
    due_only: bool,
) -> Result<(Vec<(&'b Source<'a>, u32)>, Vec<(u32, String)>), Stop> {
    let holds = hold::holds(sources).map_err(|error| refused(&error))?;
    let (mut todo, mut held) = (Vec::new(), Vec::new());
    for source in sources {
        let present = retention::periods(source.dir, source.keys_dir);
        for period in present.map_err(|error| told(&error))? {
            if !wanted(period) {
                continue;
            }
            match hold::keeping(&holds, source, period).map_err(|error| refused(&error))? {
                Some(hold) if due_only => held.push((period, hold.id.clone())),
                Some(hold) => {
                    let month = period_text(period);
                    let what =
                        format!("{month} is held by {}; see: phiward ledger hold list", hold.id);
                    return Err(trouble(Trouble::Held, what));
                }
                None => todo.push((source, period)),
            }
        }
    }
    Ok((todo, held))
}

/// Every hold that this node's streams tell of.
pub(crate) fn holds_of(
    config: &crate::config::Config,
    custody: &Arc<dyn Custody>,
) -> Result<Vec<Hold>, String> {
    let every = streams(config);
    let dirs: Vec<_> =
        every.iter().map(|place| crate::system::stream_dir(config, place.stream)).collect();
    let sources: Vec<Source<'_>> = every
        .iter()
        .zip(&dirs)
        .filter(|(_, dir)| dir.is_dir())
        .map(|(place, dir)| Source {
            dir,
            keys_dir: &place.keys_dir,
            origin: &place.origin,
            stream: place.stream,
            custody: Arc::clone(custody),
        })
        .collect();
    hold::holds(&sources).map_err(|error| error.to_string())
}

/// The two people of a record.
fn named([first, second]: &[Officer; 2]) -> Body {
    Body {
        subject: Some(first.sub.clone()),
        approved_by: Some(second.sub.clone()),
        role: Some("privacy_officer".to_owned()),
        ..Body::default()
    }
}
