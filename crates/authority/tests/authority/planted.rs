//! States that an administrator or another version could have left behind, put into the store by hand.

use domain::scope::ScopeSet;
use domain::{ClientId, FhirId, Grant, GrantId, LaunchContext};
use keys::opaque::{Opaque, OpaqueKind};
use serde_json::Value;
use store::NewRefresh;

use crate::app::Browser;
use crate::world::{FHIR, World};

impl World {
    /// A refresh token of `server` for a grant that this person gave once.
    pub async fn plant(&self, name: &str, patient: Option<&str>, scopes: &str) -> String {
        let now = self.now();
        let random = &*self.parts.random;
        let grant = Grant {
            id: GrantId::parse(&keys::random_id("g_", random).unwrap()).unwrap(),
            client: ClientId::parse("server").unwrap(),
            person: self.person(name).await.id,
            session: None,
            scopes: ScopeSet::parse(scopes).unwrap(),
            audience: FHIR.into(),
            context: LaunchContext { patient: patient.map(|id| FhirId::parse(id).unwrap()) },
            auth_time: now,
            created: now,
            expires: now.plus_secs(86_400),
            withdrawn: None,
        };
        let token = Opaque::generate(OpaqueKind::Refresh, random).unwrap();
        let refresh = NewRefresh {
            hash: self.parts.hash_key.hash(&token),
            grant: grant.id.clone(),
            client: grant.client.clone(),
            generation: 0,
            issued: now,
            idle_expires: grant.expires,
            expires: grant.expires,
        };
        self.store.insert_grant(&grant).await.unwrap();
        assert!(self.store.insert_refresh(&refresh).await.unwrap());
        token.expose().to_owned()
    }

    /// Changes what is kept of a flow.
    pub async fn rewrite_flow(&self, browser: &Browser, change: impl FnOnce(&mut Value)) {
        let hash = |kind, text: &str| self.parts.hash_key.hash(&Opaque::parse(kind, text).unwrap());
        let id = hash(OpaqueKind::Flow, &browser.flow);
        let owner = hash(OpaqueKind::Browser, &browser.cookie);
        let bytes = self.store.flow(&id, &owner, self.now()).await.unwrap().unwrap();
        let mut flow: Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut flow);
        let bytes = serde_json::to_vec(&flow).unwrap();
        assert!(self.store.update_flow(&id, &owner, &bytes, self.now()).await.unwrap());
    }
}
