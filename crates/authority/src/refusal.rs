//! Recording a refusal, in one place.

use domain::{ClientId, Kind, Reject};
use identity::{Caller, Refusal};
use ledger::{Body, Entry};

use crate::Authority;

impl Authority {
    /// Records a refusal and turns it into the answer.
    pub async fn refuse(&self, caller: &Caller, kind: Kind, reject: Reject) -> Refusal {
        self.refuse_with(kind, reject, caller.body()).await
    }

    pub(crate) async fn refuse_client(
        &self,
        caller: &Caller,
        kind: Kind,
        reject: Reject,
        client: Option<&ClientId>,
    ) -> Refusal {
        self.refuse_with(kind, reject, Body { client: client.cloned(), ..caller.body() }).await
    }

    pub(crate) async fn refuse_with(&self, kind: Kind, reject: Reject, body: Body) -> Refusal {
        Refusal::Rejected(self.parts.ledger.refused(Entry::new(kind, body), reject).await)
    }
}
