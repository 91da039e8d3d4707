//! Whoever reads the record stands in it before the first byte is read: who, in which role, what was
//! asked. Where a privacy officer is asked for, only one who signed in gets through; every refusal is
//! recorded, and all of them sound and last the same.

use std::net::{IpAddr, Ipv4Addr};

use domain::{FhirId, Kind, PersonRole, Phi, Reject, Secret};
use identity::{Attempt, Checked, Fault, Identity};
use ledger::{Body, Entry, Ledger, LedgerFault, Trouble};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Answer;

/// Kinds under which reading may be recorded.
const KINDS: [Kind; 3] = [Kind::LedgerRead, Kind::ReportRun, Kind::LedgerExported];

/// A user name and its password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// What somebody is about to read.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ReadingRecord {
    /// The name of a kind of record.
    pub(crate) kind: String,
    /// The command.
    pub(crate) through: String,
    /// What was asked for, as a query string; PHI.
    pub(crate) query: String,
    /// The patient asked about, so that a search for the patient finds the reading, too.
    pub(crate) patient: Option<String>,
    pub(crate) officer: Option<Credentials>,
}

impl std::fmt::Debug for ReadingRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadingRecord")
    }
}

/// Where readings are recorded: in the server, or in a command while no server runs.
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    /// Who checks passwords; without one nobody can sign in.
    pub(crate) identity: Option<Identity>,
    /// Whether only a privacy officer reads.
    pub(crate) officer_reads: bool,
}

/// Nobody got through.
enum Refused {
    /// Because of who asks.
    Person(Reject),
    /// Because something of ours failed.
    Fault(&'static str),
}

impl Desk {
    /// Records a reading; whoever gets `Done` may read.
    pub(crate) async fn record(&self, reading: ReadingRecord, actor: &str) -> Answer {
        let kind = KINDS.into_iter().find(|kind| kind.as_str() == reading.kind);
        let (Some(kind), Ok(patient)) =
            (kind, reading.patient.as_deref().map(FhirId::parse).transpose())
        else {
            return Answer::Refused("not a reading of this version".to_owned());
        };
        let mut body = Body {
            interaction: Some(reading.through),
            query: Some(Phi::new(reading.query)).filter(|query| !query.expose().is_empty()),
            patient,
            ..by_operator(actor)
        };
        if let Some(officer) = reading.officer {
            match self.officer(officer).await {
                Ok(officer) => body = by_officer(&officer, actor, body),
                Err(refused) => return self.refuse(kind, body, refused).await,
            }
        } else if self.officer_reads {
            return self.refuse(kind, body, Refused::Person(Reject::LoginRequired)).await;
        }
        let who = json!({ "reader": body.subject, "role": body.role });
        match self.ledger.append(vec![Entry::new(kind, body)]).await {
            Ok(_) => Answer::Done(who),
            Err(fault) => unrecorded(fault),
        }
    }

    /// Signs privacy officers in, for something that takes two of them. Each is recorded.
    pub(crate) async fn officers(&self, officers: Vec<Credentials>, actor: &str) -> Answer {
        let asked = Body { interaction: Some("two officers".to_owned()), ..by_operator(actor) };
        if officers.len() > 2 {
            return Answer::Refused("not a command of this version".to_owned());
        }
        let mut found: Vec<Officer> = Vec::new();
        for credentials in officers {
            match self.officer(credentials).await {
                Ok(officer) => found.push(officer),
                Err(refused) => return self.refuse(Kind::SignIn, asked, refused).await,
            }
        }
        let [first, second] = found.as_slice() else { return second_person() };
        if first.sub == second.sub {
            return second_person();
        }
        let entries = [first, second]
            .map(|officer| Entry::new(Kind::SignIn, by_officer(officer, actor, asked.clone())));
        match self.ledger.append(entries.to_vec()).await {
            Ok(_) => Answer::Done(json!([first, second])),
            Err(fault) => unrecorded(fault),
        }
    }

    /// The privacy officer of these credentials. Every other person takes as long and sounds the same.
    async fn officer(&self, credentials: Credentials) -> Result<Officer, Refused> {
        let Some(identity) = &self.identity else {
            return Err(Refused::Fault("the database is not open"));
        };
        let Credentials { username, password } = credentials;
        let attempt = Attempt { username, password: Secret::new(password) };
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        match identity.check(attempt, here).await {
            Ok(Checked::Person(person)) if person.role == PersonRole::PrivacyOfficer => {
                Ok(Officer { username: person.username.to_string(), sub: person.id.to_string() })
            }
            Ok(Checked::Person(_) | Checked::Wrong(_)) => {
                Err(Refused::Person(Reject::SignInFailed))
            }
            Ok(Checked::Throttled) => Err(Refused::Person(Reject::SignInThrottled)),
            Ok(Checked::Saturated) => Err(Refused::Person(Reject::SignInSaturated)),
            Err(Fault::Store) => Err(Refused::Fault("the database does not answer")),
            Err(_) => Err(Refused::Fault("something of ours failed; see the log")),
        }
    }

    async fn refuse(&self, kind: Kind, body: Body, refused: Refused) -> Answer {
        let reject = match refused {
            Refused::Fault(what) => return trouble(Trouble::NotAllowed, what),
            Refused::Person(reject) => reject,
        };
        // A refusal is given even where it cannot be recorded.
        let reject = self.ledger.refused(Entry::new(kind, body), reject).await.into_inner();
        trouble(
            Trouble::NotAllowed,
            match reject {
                Reject::LoginRequired => {
                    "only a privacy officer may read here: sign in with --officer USERNAME"
                }
                Reject::SignInThrottled | Reject::SignInSaturated => reject.text(),
                _ => "the user name or password is not right, or that person is no privacy officer",
            },
        )
    }
}

/// A privacy officer who signed in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Officer {
    /// What they sign in with.
    pub(crate) username: String,
    /// Their subject: what records call them.
    pub(crate) sub: String,
}

fn by_operator(actor: &str) -> Body {
    Body {
        subject: Some(actor.to_owned()),
        authentication: user_name(actor).map(|name| format!("local user {name}")),
        role: Some("operator".to_owned()),
        ..Body::default()
    }
}

/// The officer is named as who acted, and the account on this host as from where.
fn by_officer(officer: &Officer, actor: &str, body: Body) -> Body {
    Body {
        subject: Some(officer.sub.clone()),
        authentication: Some("pwd".to_owned()),
        user_agent: Some(actor.to_owned()),
        role: Some(PersonRole::PrivacyOfficer.as_str().to_owned()),
        ..body
    }
}

/// The name of a local account, from `local uid N`.
fn user_name(actor: &str) -> Option<String> {
    let uid = actor.strip_prefix("local uid ")?;
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut names = accounts.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    names.next()
}

fn trouble(trouble: Trouble, message: &str) -> Answer {
    Answer::Trouble { id: trouble.id().to_owned(), message: message.to_owned() }
}

fn second_person() -> Answer {
    trouble(
        Trouble::SecondPerson,
        "this takes two different privacy officers: --officer A --officer B",
    )
}

fn unrecorded(fault: LedgerFault) -> Answer {
    let what = match fault {
        LedgerFault::TooLarge => "ask for less at a time",
        _ => "see `phiward doctor` and the server's log",
    };
    let message = format!("nothing was read, because it could not be recorded: {fault}; {what}");
    trouble(Trouble::NotWritable, &message)
}
