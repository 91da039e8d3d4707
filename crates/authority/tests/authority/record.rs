//! What the record and the store say after a call: a refusal stands in the ledger once, and nothing
//! else has changed.

use domain::{Client, Grant, Kind, Outcome, Person, Reject};
use identity::{Fault, Refusal};
use ledger::read::Record;

use crate::world::World;

/// Everything that a refusal must leave alone, as far as the store lists it.
type State = (Vec<Client>, Vec<Person>, Vec<Grant>);

impl World {
    async fn state(&self) -> State {
        let clients = self.store.clients().await.unwrap();
        (clients, self.store.people().await.unwrap(), self.grants().await)
    }

    /// Every record about clients and people from this number on.
    pub fn records_from(&self, seq: u64) -> Vec<Record> {
        let mut reader = self.reader();
        let mut cursor = reader.from_seq(seq).unwrap();
        let mut records = Vec::new();
        while let Some(record) = cursor.next_record().unwrap() {
            if record.kind.unwrap().code() >= Kind::AuthorizationRequested.code() {
                records.push(record);
            }
        }
        records
    }

    pub fn mark(&self) -> u64 {
        self.reader().count().unwrap()
    }

    /// Kinds and outcomes from this number on.
    pub fn story(&self, seq: u64) -> Vec<(Kind, Outcome)> {
        let records = self.records_from(seq);
        records.iter().map(|record| (record.kind.unwrap(), record.outcome.unwrap())).collect()
    }

    /// The call is refused for this reason, recorded once as such, and nothing else changes.
    pub async fn refuses<T>(
        &self,
        kind: Kind,
        reject: Reject,
        call: impl Future<Output = Result<T, Refusal>>,
    ) {
        let before = self.state().await;
        self.ends_in(&[], kind, reject, call).await;
        assert!(self.state().await == before, "{reject:?} changed something");
    }

    /// The call is refused, recorded once, and the grant it was about is withdrawn.
    pub async fn withdraws<T>(
        &self,
        reject: Reject,
        call: impl Future<Output = Result<T, Refusal>>,
    ) {
        let withdrawn = (Kind::ConsentWithdrawn, Outcome::Success);
        self.ends_in(&[withdrawn], Kind::TokenRefused, reject, call).await;
        assert!(self.grants().await.iter().any(|grant| grant.withdrawn.is_some()));
    }

    async fn ends_in<T>(
        &self,
        first: &[(Kind, Outcome)],
        kind: Kind,
        reject: Reject,
        call: impl Future<Output = Result<T, Refusal>>,
    ) {
        let mark = self.mark();
        assert_eq!(rejected(Box::pin(call).await), reject);
        let expected: Vec<_> =
            first.iter().copied().chain([(kind, Outcome::Refused(reject))]).collect();
        assert_eq!(self.story(mark), expected);
    }
}

/// Why a call was refused.
pub fn rejected<T>(answer: Result<T, Refusal>) -> Reject {
    match answer {
        Ok(_) => panic!("not refused"),
        Err(Refusal::Rejected(reject)) => *reject.get(),
        Err(Refusal::Fault(fault)) => panic!("{fault:?}"),
    }
}

pub fn faulted<T>(answer: Result<T, Refusal>) -> Fault {
    match answer {
        Err(Refusal::Fault(fault)) => fault,
        Err(Refusal::Rejected(reject)) => panic!("{:?}", reject.get()),
        Ok(_) => panic!("not refused"),
    }
}
