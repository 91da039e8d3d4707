//! An authorization server with a real store and ledger, people and clients of every kind, a clock
//! that is set by hand, and the record read back after each refusal.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use authority::{Authority, NewClient, NewPerson, PasswordGrant, RegisteredClient, Settings};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::scope::ScopeSet;
use domain::{
    ClientAuthentication, ClientDraft, ClientId, Clock, CorrelationId, FhirId, Grant, GrantType,
    PasswordException, Person, PersonRole, Phi, RedirectUri, ResourceType, Secret, Timestamp,
    Username, Wildcard,
};
use identity::{Caller, Identity};
use keys::custody::{Custody, FileKek};
use keys::opaque::HashKey;
use keys::signing::{KeyRing, SigningKey};
use keys::{Algorithm, SystemRandom};
use ledger::read::Reader;
use ledger::{Ledger, LedgerOptions};
use store::{Store, StoreKey};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub const ISSUER: &str = "https://phi.example";
pub const FHIR: &str = "https://phi.example/fhir";
pub const TOKEN_URL: &str = "https://phi.example/oauth/token";
pub const CALLBACK: &str = "https://app.example/callback";
pub const OTHER_CALLBACK: &str = "https://app.example/other";
pub const LOOPBACK: &str = "http://127.0.0.1:9999/callback";
pub const PASSWORD: &str = "correct horse battery staple";
/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// What an app asks for unless a test says otherwise.
pub const USUAL: &str = "openid offline_access patient/Observation.rs patient/Patient.rs";
const REGISTERED: &str = "openid fhirUser profile launch/patient offline_access online_access \
     patient/Condition.rs patient/Observation.rs patient/Patient.rs user/Observation.rs";
const START: i64 = 1_790_000_000_000;

struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub authority: Authority,
    pub store: Store,
    pub ledger: Ledger,
    /// The key of the client `robot`.
    pub robot: SigningKey,
    pub parts: authority::Parts,
    secrets: Vec<(&'static str, String)>,
    clock: Arc<Watch>,
    custody: Arc<dyn Custody>,
    dir: TempDir,
    counter: AtomicU32,
}

async fn ring() -> Arc<KeyRing> {
    static RING: OnceCell<Arc<KeyRing>> = OnceCell::const_new();
    Arc::clone(RING.get_or_init(|| async { Arc::new(KeyRing::generate().unwrap()) }).await)
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random = Arc::new(SystemRandom);
        let custody: Arc<dyn Custody> =
            Arc::new(FileKek::create(&dir.path().join("kek"), random.clone()).unwrap());
        let clock = Arc::new(Watch(AtomicI64::new(START)));
        let (log, log_keys) = (dir.path().join("ledger"), dir.path().join("ledger-keys"));
        let mut options = LedgerOptions::new(
            log,
            log_keys,
            "phi.example/ledger",
            Arc::clone(&custody),
            clock.clone(),
            random.clone(),
        );
        options.segment_bytes = 1 << 20;
        let (ledger, _) = Ledger::open(options).unwrap();
        let url = format!("sqlite:{}", dir.path().join("db").display());
        let key = StoreKey::from_slice(&[7; 32]).unwrap();
        let store = Store::open(&url, key, random.clone()).await.unwrap();
        let hash_key = Arc::new(HashKey::new(Secret::new([8; 32])));
        let identity = Identity::new(
            store.clone(),
            ledger.clone(),
            clock.clone(),
            random.clone(),
            Arc::clone(&hash_key),
        )
        .unwrap();
        let parts = authority::Parts {
            store: store.clone(),
            ledger: ledger.clone(),
            identity,
            key_ring: ring().await,
            hash_key,
            clock: clock.clone(),
            random,
        };
        let authority = Authority::new(parts.clone(), Settings::new(ISSUER));
        let robot = SigningKey::generate(Algorithm::Es384).unwrap();
        let mut world = Self {
            authority,
            store,
            ledger,
            robot,
            parts,
            secrets: Vec::new(),
            clock,
            custody,
            dir,
            counter: AtomicU32::new(0),
        };
        world.populate().await;
        world
    }

    async fn populate(&mut self) {
        use GrantType::{AuthorizationCode, ClientCredentials, Password, RefreshToken};
        let app = [AuthorizationCode, RefreshToken];
        let secret = || ClientAuthentication::Secret { hash: String::new() };
        let jwks = serde_json::json!({ "keys": [self.robot.public_jwk()] }).to_string();
        let key = ClientAuthentication::PrivateKeyJwt { jwks };
        let system = "system/Observation.rs system/Patient.rs";
        for draft in [
            draft("web", ClientAuthentication::None, &app, REGISTERED),
            draft("web2", ClientAuthentication::None, &app, REGISTERED),
            draft("server", secret(), &app, REGISTERED),
            draft("server2", secret(), &app, REGISTERED),
            draft("robot", key, &[ClientCredentials], system),
            draft("batch", secret(), &[ClientCredentials], "openid"),
            ClientDraft {
                wildcard: Wildcard::Expand,
                ..draft("expander", ClientAuthentication::None, &app, REGISTERED)
            },
            ClientDraft {
                password_exception: Some(self.exception()),
                ..draft(
                    "legacy",
                    secret(),
                    &[Password],
                    "openid offline_access patient/Observation.rs patient/Patient.cruds",
                )
            },
        ] {
            let name: &'static str = draft.id.as_str().to_owned().leak();
            let registered = self.register(draft).await;
            let secret = registered.secret.map(|secret| secret.expose().to_owned());
            self.secrets.extend(secret.map(|secret| (name, secret)));
        }
        self.add_person("amina", PersonRole::Patient, Some("pat-a"), &[]).await;
        self.add_person("dana", PersonRole::Patient, Some("pat-d"), &["pat-a"]).await;
        self.add_person("solis", PersonRole::Clinician, None, &["pat-a", "pat-d"]).await;
        self.add_person("officer", PersonRole::PrivacyOfficer, None, &[]).await;
        self.later(1);
    }

    pub fn exception(&self) -> PasswordException {
        let now = self.now();
        PasswordException {
            owner: "it".into(),
            reason: "migration".into(),
            since: now,
            until: now.plus_secs(30 * 86_400),
        }
    }

    pub async fn register(&self, draft: ClientDraft) -> RegisteredClient {
        self.authority.register_client(NewClient { draft }, "test").await.unwrap()
    }

    async fn add_person(&self, name: &str, role: PersonRole, own: Option<&str>, others: &[&str]) {
        let patient = |id: &str| FhirId::parse(id).unwrap();
        let new = NewPerson {
            username: Username::parse(name).unwrap(),
            display_name: Phi::new(format!("{name} Diallo")),
            role,
            own_record: own.map(patient),
            acts_for: others.iter().map(|id| (patient(id), Phi::new((*id).to_owned()))).collect(),
            fhir_user: own.map(|id| (ResourceType::Patient, patient(id))),
            password: Secret::new(PASSWORD.into()),
        };
        self.authority.add_person(new, "test").await.unwrap();
    }

    /// The same server, set differently.
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.authority = Authority::new(self.parts.clone(), settings);
        self
    }

    /// The same server with the password grant for those who have an exception.
    pub fn with_password_grant(self) -> Self {
        let mut settings = Settings::new(ISSUER);
        settings.password_grant = PasswordGrant::Exceptions;
        self.with_settings(settings)
    }

    pub fn secret(&self, client: &str) -> String {
        self.secrets.iter().find(|(name, _)| *name == client).unwrap().1.clone()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn later(&self, secs: i64) {
        self.clock.0.fetch_add(secs * 1_000, Ordering::SeqCst);
    }

    /// A request's caller, with a correlation id of its own.
    pub fn caller(&self) -> Caller {
        self.caller_at("192.0.2.7")
    }

    pub fn caller_at(&self, address: &str) -> Caller {
        let number = self.counter.fetch_add(1, Ordering::SeqCst);
        Caller {
            address: address.parse::<IpAddr>().unwrap(),
            user_agent: Some("test".into()),
            correlation: CorrelationId::parse(&format!("c-{number}")).unwrap(),
        }
    }

    pub async fn person(&self, name: &str) -> Person {
        self.store.person_by_username(&Username::parse(name).unwrap()).await.unwrap().unwrap().0
    }

    pub async fn grants(&self) -> Vec<Grant> {
        let mut all = Vec::new();
        for person in self.store.people().await.unwrap() {
            all.extend(self.store.grants_of_person(&person.id).await.unwrap());
        }
        all
    }

    /// The record reader's way in.
    pub fn reader(&self) -> Reader {
        let path = |name: &str| -> PathBuf { self.dir.path().join(name) };
        let custody = Arc::clone(&self.custody);
        Reader::open(&path("ledger"), &path("ledger-keys"), "phi.example/ledger", 1, custody)
    }
}

/// A registration like most.
pub fn draft(
    id: &str,
    authentication: ClientAuthentication,
    grants: &[GrantType],
    scopes: &str,
) -> ClientDraft {
    let uris = [CALLBACK, OTHER_CALLBACK, LOOPBACK];
    let redirects = grants.contains(&GrantType::AuthorizationCode);
    ClientDraft {
        id: ClientId::parse(id).unwrap(),
        name: "Lab Trends".into(),
        legal_name: "Lab Trends Ltd".into(),
        purpose: "To draw curves".into(),
        basis: None,
        address: String::new(),
        authentication,
        redirect_uris: uris
            .iter()
            .filter(|_| redirects)
            .map(|uri| RedirectUri::parse(uri).unwrap())
            .collect(),
        grants: grants.to_vec(),
        scopes: ScopeSet::parse(scopes).unwrap(),
        wildcard: Wildcard::Refuse,
        password_exception: None,
        receipts: false,
    }
}

/// The claims of a JWT, unverified.
pub fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
