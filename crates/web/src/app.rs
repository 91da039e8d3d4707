//! One request after another: checked, routed by the table, answered, sealed. Each answer leaves with
//! the headers that every answer must have, and is counted without saying whose it was.

use std::{future::Future, pin::Pin, sync::Arc};

use authority::{Authority, Caller, Parameters};
use domain::{ClientId, Clock, Kind, Reject};
use gateway::Gateway;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts as Head};
use hyper::body::Incoming;
use keys::{Random, opaque::HashKey};
use ledger::Ledger;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use store::Store;

use crate::{
    answer::{self, Answer},
    arrival::{self, BodyProblem},
    cors::{self, Cors},
    form, guard,
    metrics::{Metrics, Surface},
    origins::Origins,
    pages::{self, Site},
    refusal,
    routes::{self, Found, Route},
    server::Handle,
};

/// The parts that the web is put together from.
pub struct Parts {
    /// The authorization server.
    pub authority: Authority,
    /// The gateway in front of the FHIR server.
    pub gateway: Gateway,
    /// Asked for registered origins and whether it answers.
    pub store: Store,
    /// Asked whether it can be written.
    pub ledger: Ledger,
    /// Who knows the time.
    pub clock: Arc<dyn Clock>,
    /// Who draws correlation ids.
    pub random: Arc<dyn Random>,
    /// The key that ties forms to browsers.
    pub hash_key: Arc<HashKey>,
    /// The name of the service, on pages.
    pub name: String,
    /// Whether the demo's own app has a page here.
    pub demo: bool,
}

/// Everything that answers on the TLS listener.
pub struct Web {
    pub(crate) authority: Authority,
    pub(crate) gateway: Gateway,
    pub(crate) hash_key: Arc<HashKey>,
    pub(crate) site: Site,
    pub(crate) origin: String,
    store: Store,
    ledger: Ledger,
    random: Arc<dyn Random>,
    origins: Origins,
    metrics: Metrics,
    hsts: bool,
    demo: bool,
}

/// A request whose head was checked, and who sent it.
pub(crate) struct Arrived {
    pub(crate) head: Head,
    pub(crate) body: Incoming,
    pub(crate) caller: Caller,
}

impl Web {
    /// Puts the parts together. Host and scheme of every URL come from the authority's issuer.
    pub fn new(parts: Parts) -> Self {
        let origin = parts.authority.settings().issuer.clone();
        let host = origin.strip_prefix("https://").unwrap_or(&origin).to_owned();
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let local = ["localhost", "127.0.0.1", "[::1]", "[:"].contains(&name);
        Self {
            hsts: !local,
            site: Site { name: parts.name, host },
            origin,
            origins: Origins::new(parts.store.clone(), parts.clock),
            authority: parts.authority,
            gateway: parts.gateway,
            hash_key: parts.hash_key,
            store: parts.store,
            ledger: parts.ledger,
            random: parts.random,
            metrics: Metrics::default(),
            demo: parts.demo,
        }
    }

    /// The counters, for the health listener.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the parts behind answer: what is not ready must not be sent requests.
    pub async fn is_ready(&self) -> bool {
        // Any read will do; no client has this name.
        let Ok(nobody) = ClientId::parse("readiness") else { return false };
        self.store.client(&nobody).await.is_ok() && self.ledger.failure().is_none()
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let Ok(correlation) = arrival::correlation(&*self.random) else {
            return answer::text(StatusCode::INTERNAL_SERVER_ERROR, "Try again in a moment.\n");
        };
        let Some(caller) = arrival::caller(&head, correlation.clone()) else {
            return answer::malformed();
        };
        let found = routes::find(head.uri.path(), pages::css_path());
        let surface = Surface::of(found.map(|found| found.route));
        let checked = guard::check(&head, &self.site.host);
        let wants_head_only = head.method == Method::HEAD;
        let mut response = match (checked, found) {
            (Err(guard::Malformed), found) => self.malformed(found, &caller).await,
            (Ok(()), None) => {
                answer::problem(StatusCode::NOT_FOUND, "There is nothing here.", &correlation)
            }
            (Ok(()), Some(found)) => self.route(found, Arrived { head, body, caller }).await,
        };
        answer::seal(response.headers_mut(), &correlation, self.hsts);
        self.metrics.count(surface, response.status());
        if wants_head_only { answer::head_only(response) } else { response }
    }

    async fn malformed(&self, found: Option<Found>, caller: &Caller) -> Answer {
        let kind = found.map_or(Kind::TokenRefused, |found| kind(found.route));
        self.authority.refuse(caller, kind, Reject::RequestMalformed).await;
        answer::malformed()
    }

    async fn route(&self, found: Found, arrived: Arrived) -> Answer {
        let headers = &arrived.head.headers;
        let named = match found.cors {
            Cors::Registered => cors::origin(headers),
            Cors::Open | Cors::Closed => None,
        };
        let registered = match named {
            Some(origin) if self.origins.is_registered(origin).await => Some(origin.to_owned()),
            _ => None,
        };
        if cors::is_preflight(&arrived.head.method, headers) {
            return cors::preflight(found.cors, registered.as_deref());
        }
        let mut response = if found.methods.contains(&arrived.head.method) {
            // Each handler's future is large; one allocation keeps the connection's small.
            Box::pin(self.dispatch(found.route, arrived)).await
        } else {
            self.method_not_allowed(found, &arrived).await
        };
        cors::expose(found.cors, registered.as_deref(), response.headers_mut());
        response
    }

    async fn method_not_allowed(&self, found: Found, arrived: &Arrived) -> Answer {
        let reject = Reject::MethodNotAllowed;
        self.authority.refuse(&arrived.caller, kind(found.route), reject).await;
        let correlation = &arrived.caller.correlation;
        let mut response = answer::problem(refusal::status(reject), reject.text(), correlation);
        let names: Vec<&str> = found.methods.iter().map(Method::as_str).collect();
        if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
            response.headers_mut().insert(header::ALLOW, value);
        }
        response
    }

    async fn dispatch(&self, route: Route, arrived: Arrived) -> Answer {
        match route {
            Route::Fhir => self.fhir(arrived).await,
            Route::Token => self.token(arrived).await,
            Route::Introspect => self.introspect(arrived).await,
            Route::Revoke => self.revoke(arrived).await,
            Route::UserInfo => self.userinfo(arrived).await,
            Route::Authorize => self.authorize(arrived).await,
            Route::Login | Route::Patient | Route::Consent => self.interact(route, arrived).await,
            Route::DemoStart => self.demo_start(&arrived),
            Route::DemoCallback => self.callback(&arrived),
            Route::Css => pages::css(),
            Route::AuthorizationServerMetadata
            | Route::OpenIdConfiguration
            | Route::SmartConfiguration
            | Route::ProtectedResource
            | Route::Jwks => self.document(route),
            Route::LedgerProof => self.ledger_proof(arrived).await,
            Route::NotBuilt => not_built(&arrived.caller),
        }
    }

    /// What the demo's own app asks for: one patient's labs. Its challenge is RFC 7636's example,
    /// for a walk in a browser keeps no secret.
    fn demo_start(&self, arrived: &Arrived) -> Answer {
        let scope = "launch/patient patient/Observation.rs?category=\
                     http://terminology.hl7.org/CodeSystem/observation-category|laboratory";
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let origin = &self.origin;
        let location = format!(
            "{origin}/oauth/authorize?response_type=code&client_id=demo-web&state=demo\
             &redirect_uri={}&aud={}&scope={}&code_challenge_method=S256\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            encode(&format!("{origin}/demo/callback")),
            encode(&format!("{origin}/fhir")),
            encode(scope),
        );
        match answer::see_other(&location) {
            Some(answer) if self.demo => answer,
            _ => nothing_here(arrived),
        }
    }

    fn callback(&self, arrived: &Arrived) -> Answer {
        if !self.demo {
            return nothing_here(arrived);
        }
        let pairs = form::query(arrived.head.uri.query()).unwrap_or_default();
        let allowed = pairs.iter().any(|(name, value)| name == "code" && !value.is_empty());
        let page = pages::CallbackPage { site: &self.site, allowed };
        pages::show(StatusCode::OK, &page, None)
    }

    /// The form of a request, or the answer that says why there is none.
    pub(crate) async fn form_or_answer(
        &self,
        route: Route,
        head: &Head,
        body: Incoming,
        caller: &Caller,
    ) -> Result<Parameters, Answer> {
        match arrival::form(&head.headers, body).await {
            Ok(form) => Ok(form),
            Err(problem) => Err(self.body_problem(route, problem, caller).await),
        }
    }

    /// The answer to a body that could not be read.
    async fn body_problem(&self, route: Route, problem: BodyProblem, caller: &Caller) -> Answer {
        let mut response = match problem {
            BodyProblem::Refused(reject) => {
                let refused = self.authority.refuse(caller, kind(route), reject).await;
                match route {
                    Route::Login | Route::Patient | Route::Consent | Route::Authorize => {
                        refusal::on_page(&refused, &self.site, caller)
                    }
                    _ => refusal::oauth(&refused, caller, refusal::Scheme::None),
                }
            }
            BodyProblem::Broken => answer::malformed(),
            BodyProblem::Slow => {
                answer::text(StatusCode::REQUEST_TIMEOUT, "The request took too long.\n")
            }
        };
        // What is left of the body is not read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn nothing_here(arrived: &Arrived) -> Answer {
    let correlation = &arrived.caller.correlation;
    answer::problem(StatusCode::NOT_FOUND, "There is nothing here.", correlation)
}

impl Handle for Web {
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(request).await })
    }
}

/// Under which kind of event the refusals of a route stand.
const fn kind(route: Route) -> Kind {
    match route {
        Route::Fhir => Kind::PhiDenied,
        Route::LedgerProof => Kind::LedgerRead,
        Route::UserInfo => Kind::UserInfoRead,
        Route::Authorize | Route::Login | Route::Patient | Route::Consent => {
            Kind::AuthorizationRequested
        }
        _ => Kind::TokenRefused,
    }
}

fn not_built(caller: &Caller) -> Answer {
    let reject = Reject::NotInThisVersion;
    answer::problem(refusal::status(reject), reject.text(), &caller.correlation)
}
