//! A gateway with everything real behind it but the record server.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use domain::scope::ScopeSet;
use domain::{
    ClientAuthentication, ClientDraft, ClientId, Clock, CorrelationId, FhirId, Grant, GrantId,
    LaunchContext, Person, PersonId, PersonRole, Phi, ResourceType, Timestamp, TokenId, Username,
    Wildcard,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keys::SystemRandom;
use keys::access_token::{AccessTokenClaims, Subject, sign};
use keys::custody::{Custody, FileKek};
use keys::seal::SealKey;
use keys::signing::KeyRing;
use ledger::{Ledger, LedgerOptions};
use outbound::{Client, Limits, Options, Origin, PeerPolicy};
use phiward_gateway::{
    Gateway, GatewayRequest, GatewayResponse, Parts, SearchMethod, Settings, Upstream,
};
use store::{Store, StoreKey};
use tempfile::TempDir;

use crate::upstream::Hostile;

pub const ISSUER: &str = "https://us.example";
pub const BASE: &str = "https://us.example/fhir";
pub const LABS: &str = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
const ORIGIN: &str = "us.example/ledger";

pub struct Watch(AtomicI64);

impl Watch {
    pub fn advance(&self, secs: i64) {
        self.0.fetch_add(secs * 1_000, Ordering::SeqCst);
    }
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub gateway: Gateway,
    pub ledger: Ledger,
    pub store: Store,
    pub clock: Arc<Watch>,
    pub up: Hostile,
    custody: Arc<dyn Custody>,
    dir: TempDir,
}

pub fn ring() -> Arc<KeyRing> {
    static RING: OnceLock<Arc<KeyRing>> = OnceLock::new();
    Arc::clone(RING.get_or_init(|| Arc::new(KeyRing::generate().unwrap())))
}

pub fn id(text: &str) -> FhirId {
    FhirId::parse(text).unwrap()
}

/// Who holds a token.
#[derive(Clone, Copy)]
pub enum Holder {
    /// `p_amina`, a patient: `pat-a`.
    Amina,
    /// `p_solis`, a clinician for `pat-a` and `pat-b`, who is `Practitioner/doc`.
    Solis,
    /// The client `backend` itself.
    Backend,
}

impl World {
    pub async fn new() -> Self {
        Self::node(ORIGIN).await
    }

    /// One of several nodes, whose ledger has this name; they share all keys but the ledger's.
    pub async fn node(origin: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random = Arc::new(SystemRandom);
        let custody: Arc<dyn Custody> =
            Arc::new(FileKek::create(&dir.path().join("kek"), random.clone()).unwrap());
        let clock = Arc::new(Watch(AtomicI64::new(1_790_000_000_000)));
        let mut options = LedgerOptions::new(
            dir.path().join("ledger"),
            dir.path().join("ledger-keys"),
            origin,
            Arc::clone(&custody),
            clock.clone(),
            random.clone(),
        );
        options.segment_bytes = 1 << 20;
        let (ledger, _) = Ledger::open(options).unwrap();
        let url = format!("sqlite:{}", dir.path().join("db").display());
        let key = StoreKey::from_slice(&[7; 32]).unwrap();
        let store = Store::open(&url, key, random.clone()).await.unwrap();
        populate(&store, clock.now()).await;
        let up = Hostile::start().await;
        let policy = PeerPolicy::ExactOrigin(Origin::of(&up.base).unwrap());
        let limits = Limits {
            body: 256 * 1024,
            total: std::time::Duration::from_millis(800),
            ..Limits::default()
        };
        let client = Client::new(Options { limits, ..Options::new(policy) }).unwrap();
        let url = |path: &str| format!("{ISSUER}{path}");
        let gateway = Gateway::new(Parts {
            store: store.gateway(),
            ledger: ledger.clone(),
            keys: ring(),
            page_key: SealKey::new(&[9; 32]).unwrap(),
            receipt_key: SealKey::new(&[10; 32]).unwrap(),
            clock: clock.clone(),
            random,
            upstream: Upstream {
                base: up.base.clone(),
                client,
                credential: Some(domain::Secret::new("Basic dXBzdHJlYW0=".into())),
                search: SearchMethod::Post,
            },
            settings: Settings {
                issuer: ISSUER.into(),
                fhir_base: BASE.into(),
                resource_metadata: url("/.well-known/oauth-protected-resource/fhir"),
                authorize: url("/oauth/authorize"),
                token: url("/oauth/token"),
                revoke: url("/oauth/revoke"),
                introspect: url("/oauth/introspect"),
            },
        });
        Self { gateway, ledger, store, clock, up, custody, dir }
    }

    pub fn claims(&self, holder: Holder, scope: &str, patient: Option<&str>) -> AccessTokenClaims {
        let (sub, client, grant) = match holder {
            Holder::Amina => (person("p_amina"), "app", Some("g-amina")),
            Holder::Solis => (person("p_solis"), "app", Some("g-solis")),
            Holder::Backend => {
                (Subject::Client(ClientId::parse("backend").unwrap()), "backend", None)
            }
        };
        let now = self.clock.now();
        AccessTokenClaims {
            iss: ISSUER.into(),
            sub,
            aud: BASE.into(),
            exp: now.plus_secs(300),
            iat: now,
            jti: TokenId::parse("token-1").unwrap(),
            client_id: ClientId::parse(client).unwrap(),
            scope: ScopeSet::parse(scope).unwrap(),
            grant: grant.map(|grant| GrantId::parse(grant).unwrap()),
            patient: patient.map(id),
            auth_time: None,
        }
    }

    pub fn token(&self, holder: Holder, scope: &str, patient: Option<&str>) -> String {
        sign(&ring(), &self.claims(holder, scope, patient)).unwrap().expose().clone()
    }

    /// Amina's token for her own record.
    pub fn hers(&self, scope: &str) -> String {
        self.token(Holder::Amina, scope, Some("pat-a"))
    }

    pub async fn get(&self, token: &str, target: &str) -> GatewayResponse {
        self.send(Method::GET, token, target, &[], "").await
    }

    pub async fn send(
        &self,
        method: Method,
        token: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> GatewayResponse {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let mut map = HeaderMap::new();
        if !token.is_empty() {
            map.append("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let request = GatewayRequest {
            query,
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..asking(&method, path, &map)
        };
        self.gateway.handle(request).await
    }

    /// Asks for the proof of a receipt.
    pub async fn proof(&self, token: &str, handle: &str) -> GatewayResponse {
        let mut map = HeaderMap::new();
        if !token.is_empty() {
            map.append("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        }
        self.gateway.proof(asking(&Method::GET, handle, &map)).await
    }

    /// The log's public key.
    pub fn log_key(&self) -> ledger::note::VerifierKey {
        self.ledger.verifier_key().clone()
    }

    /// Where the ledger is.
    pub fn ledger_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger")
    }

    /// Every record of the gateway's, oldest first.
    pub fn records(&self) -> Vec<ledger::read::Record> {
        let (dir, keys) = (self.dir.path().join("ledger"), self.dir.path().join("ledger-keys"));
        let mut reader =
            ledger::read::Reader::open(&dir, &keys, ORIGIN, 1, Arc::clone(&self.custody));
        let mut cursor = reader.from_seq(0).unwrap();
        let mut records = Vec::new();
        while let Some(record) = cursor.next_record().unwrap() {
            if record.kind.is_some_and(|kind| (32..50).contains(&kind.code())) {
                records.push(record);
            }
        }
        records
    }
}

fn asking<'a>(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> GatewayRequest<'a> {
    GatewayRequest {
        method,
        path,
        query: None,
        headers,
        body: Bytes::new(),
        peer: "192.0.2.7".parse().unwrap(),
        correlation: CorrelationId::parse("c-0001").unwrap(),
    }
}

pub fn text(response: &GatewayResponse) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

pub fn parsed(response: &GatewayResponse) -> serde_json::Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn person(text: &str) -> Subject {
    Subject::Person(PersonId::parse(text).unwrap())
}

async fn populate(store: &Store, now: Timestamp) {
    for client in ["app", "backend", "native", "other-native"] {
        let draft = ClientDraft {
            id: ClientId::parse(client).unwrap(),
            name: client.into(),
            legal_name: client.into(),
            purpose: "test".into(),
            basis: None,
            address: String::new(),
            authentication: ClientAuthentication::None,
            redirect_uris: vec![],
            grants: vec![],
            scopes: ScopeSet::EMPTY,
            wildcard: Wildcard::Refuse,
            password_exception: None,
            receipts: client.ends_with("native"),
        };
        assert!(store.insert_client(&draft, now).await.unwrap());
    }
    let doc = (ResourceType::Practitioner, id("doc"));
    let people = [
        ("amina", PersonRole::Patient, Some(id("pat-a")), vec![], None),
        ("solis", PersonRole::Clinician, None, vec!["pat-a", "pat-b"], Some(doc)),
    ];
    for (name, role, own_record, acts_for, fhir_user) in people {
        let person = Person {
            id: PersonId::parse(&format!("p_{name}")).unwrap(),
            username: Username::parse(name).unwrap(),
            display_name: Phi::new(name.into()),
            role,
            own_record,
            acts_for: acts_for.into_iter().map(|p| (id(p), Phi::new(p.into()))).collect(),
            fhir_user,
            created: now,
            disabled: None,
            password_set: None,
        };
        assert!(store.insert_person(&person, None).await.unwrap());
        let grant = Grant {
            id: GrantId::parse(&format!("g-{name}")).unwrap(),
            client: ClientId::parse("app").unwrap(),
            person: person.id.clone(),
            session: domain::SessionId::parse(&format!("s-{name}")).ok(),
            scopes: ScopeSet::EMPTY,
            audience: BASE.into(),
            context: LaunchContext { patient: None },
            auth_time: now,
            created: now,
            expires: now.plus_secs(86_400),
            withdrawn: None,
        };
        store.insert_grant(&grant).await.unwrap();
        for client in ["native", "other-native"] {
            for number in 1..=2 {
                let id = GrantId::parse(&format!("g-{name}-{client}-{number}")).unwrap();
                let client = ClientId::parse(client).unwrap();
                let expires = now.plus_secs(3_600 * number);
                let more = Grant { id, client, expires, ..grant.clone() };
                store.insert_grant(&more).await.unwrap();
            }
        }
    }
}
