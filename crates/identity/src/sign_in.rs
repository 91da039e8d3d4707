//! Signing in with a password. Unknown name, wrong password and disabled account are one answer in
//! one time (attack D2); each attempt is recorded before its answer leaves.

use std::net::IpAddr;

use domain::{CorrelationId, Kind, Outcome, Person, PersonId, Reject, Secret, Username};
use keys::opaque::Opaque;
use ledger::{Body, Entry, Recorded};

use crate::{Fault, Identity, SignedIn};

/// From where a request came, for throttling and the record.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The peer's address.
    pub address: IpAddr,
    /// The `User-Agent` header, cut to a bounded length.
    pub user_agent: Option<String>,
    /// Ties the answer to its record.
    pub correlation: CorrelationId,
}

impl Caller {
    /// A record body that says from where, to be completed.
    pub fn body(&self) -> Body {
        Body {
            address: Some(self.address),
            user_agent: self.user_agent.clone(),
            correlation: Some(self.correlation.clone()),
            ..Body::default()
        }
    }
}

/// A refusal that stands in the ledger, or a part that failed.
#[derive(Debug)]
pub enum Refusal {
    /// Refused and recorded.
    Rejected(Recorded<Reject>),
    /// Something of ours failed.
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for Refusal {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

/// What a person typed.
#[derive(Debug)]
pub struct Attempt {
    /// The name, as typed.
    pub username: String,
    /// The password, as typed.
    pub password: Secret<String>,
}

/// How a password check ended, before it is recorded.
#[derive(Debug)]
pub enum Checked {
    /// It is this person.
    Person(Box<Person>),
    /// The name or the password is not right, or the account is disabled. Whose account it is, if
    /// there is one, is for the record alone.
    Wrong(Option<PersonId>),
    /// Too many attempts.
    Throttled,
    /// Too many people at once.
    Saturated,
}

impl Identity {
    /// Checks a name and a password, throttled, without opening a session or recording anything.
    ///
    /// # Errors
    /// [`Fault`] if a part of ours failed.
    pub async fn check(&self, attempt: Attempt, address: IpAddr) -> Result<Checked, Fault> {
        let now = self.clock.now();
        let counters = self.counters(&attempt.username, address);
        if !self.claim(&counters, now).await? {
            return Ok(Checked::Throttled);
        }
        let account = match Username::parse(&attempt.username) {
            Ok(username) => self.store.person_by_username(&username).await?,
            Err(_) => None,
        };
        let (person, phc) = account.map_or((None, None), |(person, phc)| (Some(person), phc));
        let Ok(fits) = self.passwords.verify(attempt.password, phc).await else {
            return Ok(Checked::Saturated);
        };
        match person {
            Some(person) if fits && person.disabled.is_none() => {
                self.forgive(&counters, now).await?;
                Ok(Checked::Person(Box::new(person)))
            }
            person => {
                self.count_failure(&counters, now).await?;
                Ok(Checked::Wrong(person.map(|person| person.id)))
            }
        }
    }

    /// Signs a person in: checked, recorded, and only then a session.
    ///
    /// # Errors
    /// [`Refusal`], recorded, if the person is not let in.
    pub async fn sign_in(
        &self,
        attempt: Attempt,
        caller: &Caller,
    ) -> Result<(Opaque, SignedIn), Refusal> {
        let reject = match self.check(attempt, caller.address).await? {
            Checked::Person(person) => {
                let (secret, signed_in) = self.open_session(*person, self.clock.now()).await?;
                let body = Body {
                    subject: Some(signed_in.person.id.to_string()),
                    session: Some(signed_in.session.clone()),
                    authentication: Some("pwd".to_owned()),
                    ..caller.body()
                };
                let entry = Entry { kind: Kind::SignIn, outcome: Outcome::Success, body };
                self.ledger.append(vec![entry]).await?;
                return Ok((secret, signed_in));
            }
            Checked::Wrong(whose) => {
                let body = Body {
                    subject: whose.map(|person| person.to_string()),
                    authentication: Some("pwd".to_owned()),
                    ..caller.body()
                };
                return Err(self.refuse(Kind::SignIn, Reject::SignInFailed, body).await);
            }
            Checked::Throttled => Reject::SignInThrottled,
            Checked::Saturated => Reject::SignInSaturated,
        };
        Err(self.refuse(Kind::SignIn, reject, caller.body()).await)
    }

    async fn refuse(&self, kind: Kind, reject: Reject, body: Body) -> Refusal {
        Refusal::Rejected(self.ledger.refused(Entry::new(kind, body), reject).await)
    }
}
