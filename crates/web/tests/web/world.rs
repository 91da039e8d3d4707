//! A running web, and a small HTTP client that keeps cookies.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use authority::{Authority, NewClient, NewPerson};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use domain::{
    ClientAuthentication, ClientDraft, ClientId, Clock, FhirId, GrantType, PersonRole, Phi,
    RedirectUri, ResourceType, Secret, Timestamp, Username, Wildcard, scope::ScopeSet,
};
use gateway::{Gateway, SearchMethod, Upstream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use identity::Identity;
use keys::{
    SystemRandom,
    custody::{Custody, FileKek},
    opaque::HashKey,
    seal::SealKey,
    signing::KeyRing,
};
use ledger::{Ledger, LedgerOptions};
use phiward_web::{
    Parts, Web,
    health::Health,
    server::{self, Handle, ServerLimits, Transport},
};
use store::{Store, StoreKey};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::OnceCell,
};

pub const ISSUER: &str = "https://localhost:8443";
pub const HOST: &str = "localhost:8443";
pub const CALLBACK: &str = "https://app.example/callback";
pub const PASSWORD: &str = "correct horse battery staple";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const LABS: &str = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

struct Watch(AtomicI64);

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub address: SocketAddr,
    pub health: SocketAddr,
    pub secret: String,
    _dir: TempDir,
}

async fn ring() -> Arc<KeyRing> {
    static RING: OnceCell<Arc<KeyRing>> = OnceCell::const_new();
    let ring = RING.get_or_init(|| async { Arc::new(KeyRing::generate().unwrap()) });
    Arc::clone(ring.await)
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random = Arc::new(SystemRandom);
        let kek = dir.path().join("kek");
        let custody: Arc<dyn Custody> = Arc::new(FileKek::create(&kek, random.clone()).unwrap());
        let clock = Arc::new(Watch(AtomicI64::new(1_790_000_000_000)));
        let mut options = LedgerOptions::new(
            dir.path().join("ledger"),
            dir.path().join("ledger-keys"),
            "localhost/ledger",
            custody,
            clock.clone(),
            random.clone(),
        );
        options.segment_bytes = 1 << 20;
        let (ledger, _) = Ledger::open(options).unwrap();
        let url = format!("sqlite:{}", dir.path().join("db").display());
        let key = StoreKey::from_slice(&[7; 32]).unwrap();
        let store = Store::open(&url, key, random.clone()).await.unwrap();
        let hash_key = Arc::new(HashKey::new(Secret::new([8; 32])));
        let ring = ring().await;
        let identity = Identity::new(
            store.clone(),
            ledger.clone(),
            clock.clone(),
            random.clone(),
            Arc::clone(&hash_key),
        )
        .unwrap();
        let authority = Authority::new(
            authority::Parts {
                store: store.clone(),
                ledger: ledger.clone(),
                identity,
                key_ring: Arc::clone(&ring),
                hash_key: Arc::clone(&hash_key),
                clock: clock.clone(),
                random: random.clone(),
            },
            authority::Settings::new(ISSUER),
        );
        let secret = populate(&authority).await;
        let gateway = Gateway::new(gateway::Parts {
            store: store.gateway(),
            ledger: ledger.clone(),
            keys: ring,
            page_key: SealKey::new(&[9; 32]).unwrap(),
            receipt_key: SealKey::new(&[10; 32]).unwrap(),
            clock: clock.clone(),
            random: random.clone(),
            upstream: upstream().await,
            settings: gateway_settings(),
        });
        let web = Arc::new(Web::new(Parts {
            authority,
            gateway,
            store,
            ledger,
            clock,
            random,
            hash_key,
            name: "Phiward".into(),
            demo: true,
        }));
        let health = serve(Arc::new(Health::new(Arc::clone(&web)))).await;
        Self { address: serve(web).await, health, secret, _dir: dir }
    }

    pub async fn send(&self, request: Request<Bytes>) -> Reply {
        send(self.address, request).await
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(request(Method::GET, path, headers, "")).await
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Reply {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.send(request(Method::POST, path, &headers, &encode(form))).await
    }
}

async fn serve(handler: Arc<impl Handle>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ServerLimits::default();
    let never = std::future::pending();
    tokio::spawn(server::serve(listener, Transport::LoopbackPlain, handler, limits, never));
    address
}

/// A record server that is not there.
async fn upstream() -> Upstream {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let base = format!("http://127.0.0.1:{port}/fhir");
    let policy = outbound::PeerPolicy::ExactOrigin(outbound::Origin::of(&base).unwrap());
    let client = outbound::Client::new(outbound::Options::new(policy)).unwrap();
    Upstream { base, client, credential: None, search: SearchMethod::Post }
}

fn gateway_settings() -> gateway::Settings {
    let url = |path: &str| format!("{ISSUER}{path}");
    gateway::Settings {
        issuer: ISSUER.into(),
        fhir_base: url("/fhir"),
        resource_metadata: url("/.well-known/oauth-protected-resource/fhir"),
        authorize: url("/oauth/authorize"),
        token: url("/oauth/token"),
        revoke: url("/oauth/revoke"),
        introspect: url("/oauth/introspect"),
    }
}

/// Registers `app` (public), `server` (with the secret returned), `amina` and `yusuf`, whom she
/// acts for.
async fn populate(authority: &Authority) -> String {
    let draft = |id: &str, authentication| {
        ClientDraft {
        id: ClientId::parse(id).unwrap(),
        name: "Lab <Trends>".into(),
        legal_name: "Lab Trends Ltd".into(),
        purpose: "To draw curves".into(),
        authentication,
        redirect_uris: vec![
            RedirectUri::parse(CALLBACK).unwrap(),
            RedirectUri::parse("http://127.0.0.1:9999/callback").unwrap(),
        ],
        grants: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: ScopeSet::parse(
            "openid fhirUser profile launch/patient offline_access patient/Observation.rs patient/Patient.rs",
        )
        .unwrap(),
        wildcard: Wildcard::Refuse,
        password_exception: None,
        receipts: false,
    }
    };
    let app = NewClient { draft: draft("app", ClientAuthentication::None) };
    authority.register_client(app, "test").await.unwrap();
    let hash = String::new();
    let server = NewClient { draft: draft("server", ClientAuthentication::Secret { hash }) };
    let registered = authority.register_client(server, "test").await.unwrap();
    for (name, own, others) in
        [("amina", "pat-a", vec![]), ("dana", "pat-d", vec![("pat-a", "Amina Diallo")])]
    {
        let person = NewPerson {
            username: Username::parse(name).unwrap(),
            display_name: Phi::new(format!("{name} Diallo")),
            role: PersonRole::Patient,
            own_record: FhirId::parse(own).ok(),
            acts_for: others
                .iter()
                .map(|(id, name)| (FhirId::parse(id).unwrap(), Phi::new((*name).to_owned())))
                .collect(),
            fhir_user: FhirId::parse(own).ok().map(|id| (ResourceType::Patient, id)),
            password: Secret::new(PASSWORD.into()),
        };
        authority.add_person(person, "test").await.unwrap();
    }
    registered.secret.unwrap().expose().to_owned()
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The value of a hidden field.
    pub fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest =
            self.body.split_once(&start).unwrap_or_else(|| panic!("{name}: {}", self.body)).1;
        rest.split_once('"').unwrap().0.to_owned()
    }
}

pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", HOST);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

pub async fn send(address: SocketAddr, request: Request<Bytes>) -> Reply {
    let stream = TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let response: Response<_> = sender.send_request(request.map(Full::new)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

pub fn encode(form: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
    let pairs: Vec<String> =
        form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

/// A browser: it follows redirects on our origin when told, and keeps cookies.
pub struct Browser<'w> {
    pub world: &'w World,
    pub cookies: BTreeMap<String, String>,
}

impl<'w> Browser<'w> {
    pub fn new(world: &'w World) -> Self {
        Self { world, cookies: BTreeMap::new() }
    }

    fn cookie_header(&self) -> String {
        let pairs: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&mut self, reply: &Reply) {
        for value in reply.headers.get_all(header::SET_COOKIE) {
            let text = value.to_str().unwrap();
            let (name, rest) = text.split_once('=').unwrap();
            let attributes = "; Path=/; Secure; HttpOnly; SameSite=Lax";
            let value = rest.strip_suffix(attributes).unwrap_or_else(|| panic!("{text}"));
            assert!(name.starts_with("__Host-"), "{text}");
            self.cookies.insert(name.into(), value.into());
        }
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        let cookie = self.cookie_header();
        let reply = self.world.get(path, &[("cookie", &cookie)]).await;
        self.keep(&reply);
        reply
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Reply {
        let cookie = self.cookie_header();
        let headers = [("cookie", &*cookie), ("origin", "null"), ("sec-fetch-site", "same-origin")];
        let reply = self.world.post(path, &headers, form).await;
        self.keep(&reply);
        reply
    }

    /// Follows redirects while they stay here.
    pub async fn follow(&mut self, mut reply: Reply) -> Reply {
        while reply.status == StatusCode::SEE_OTHER {
            let location = reply.header(header::LOCATION).to_owned();
            if !location.starts_with('/') {
                break;
            }
            reply = self.get(&location).await;
        }
        reply
    }

    pub async fn authorize(&mut self, client: &str, scope: &str) -> Reply {
        let path = format!("/oauth/authorize?{}", encode(&parameters(client, scope)));
        let reply = self.get(&path).await;
        self.follow(reply).await
    }

    pub async fn sign_in(&mut self, page: &Reply, username: &str, password: &str) -> Reply {
        let (request, csrf) = (page.field("request"), page.field("csrf"));
        let form = [
            ("request", &*request),
            ("csrf", &csrf),
            ("username", username),
            ("password", password),
        ];
        let reply = self.post("/login", &form).await;
        self.follow(reply).await
    }

    pub async fn approve(&mut self, page: &Reply, scopes: &[&str], duration: &str) -> Reply {
        let (request, csrf) = (page.field("request"), page.field("csrf"));
        let mut form = vec![("request", &*request), ("csrf", &csrf), ("duration", duration)];
        form.extend(scopes.iter().map(|scope| ("scope", *scope)));
        form.push(("decision", "approve"));
        self.post("/consent", &form).await
    }
}

pub fn parameters<'a>(client: &'a str, scope: &'a str) -> Vec<(&'static str, &'a str)> {
    // RFC 7636, appendix B: the challenge of VERIFIER.
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("scope", scope),
        ("state", "st&te"),
        ("aud", "https://localhost:8443/fhir"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ]
}

/// The decoded parameters of a redirect to the app.
pub fn returned(reply: &Reply) -> BTreeMap<String, String> {
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let location = reply.header(header::LOCATION);
    let query =
        location.strip_prefix(&format!("{CALLBACK}?")).unwrap_or_else(|| panic!("{location}"));
    phiward_web::form::decode(query.as_bytes()).unwrap().into_iter().collect()
}

/// The claims of a JWT, unverified.
pub fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
