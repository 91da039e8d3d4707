//! An app of ours: code + PKCE, refresh, revoke, with the freedom to do each of them wrong.

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::demo::Demo;
use crate::https::{Answer, Client, encode};
use crate::person::{Person, Return};

/// Laboratory results of the patient in context, and nothing else.
pub const LAB_SCOPE: &str = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory";

/// A registered client of a demo.
#[derive(Debug, Clone)]
pub struct App {
    client: Client,
    issuer: String,
    fhir_base: String,
    /// The `client_id`.
    pub client_id: String,
    secret: Option<String>,
    /// The redirect URI it uses.
    pub redirect_uri: String,
}

/// One authorization request under way.
#[derive(Debug, Clone)]
pub struct Request {
    /// The URL to send the person to.
    pub url: String,
    /// The state sent.
    pub state: String,
    /// The PKCE verifier kept.
    pub verifier: String,
}

/// A token response that granted something.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The whole response.
    pub response: Value,
}

impl App {
    /// A client of the demo by id, at its registered redirect URI.
    pub fn of(demo: &Demo, client_id: &str) -> Self {
        let known = demo.ready.client(client_id);
        Self {
            client: demo.client.clone(),
            issuer: demo.ready.issuer.clone(),
            fhir_base: demo.ready.fhir_base.clone(),
            client_id: client_id.to_owned(),
            secret: known.client_secret.clone(),
            redirect_uri: known.redirect_uri.clone().unwrap_or_default(),
        }
    }

    /// An authorization request for these scopes, with a fresh state and challenge.
    pub fn request(&self, scope: &str) -> Request {
        self.request_with(scope, &[])
    }

    /// The same with further parameters, which may repeat or contradict the usual ones.
    pub fn request_with(&self, scope: &str, more: &[(&str, &str)]) -> Request {
        let (state, verifier) = (random(), random());
        let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(hash);
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", scope),
            ("state", &state),
            ("aud", &self.fhir_base),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        parameters.extend_from_slice(more);
        let url = format!("{}/oauth/authorize?{}", self.issuer, encode(&parameters));
        Request { url, state, verifier }
    }

    /// The whole way: request, person, code, tokens. Checks `state` and `iss` of the return.
    pub async fn connect(&self, person: &mut Person, scope: &str) -> Grant {
        let request = self.request(scope);
        let back = person.authorize(&request.url, &self.redirect_uri).await;
        assert_eq!(back.get("state"), request.state);
        assert_eq!(back.get("iss"), self.issuer);
        self.redeem(&back, &request).await.into_grant()
    }

    /// Exchanges the code of a return.
    pub async fn redeem(&self, back: &Return, request: &Request) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", back.get("code")),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &request.verifier),
        ])
        .await
    }

    /// Refreshes.
    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.token(&form).await
    }

    /// Any request to the token endpoint, authenticated as this client.
    pub async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/oauth/token", form).await
    }

    /// Asks about a token (RFC 7662).
    pub async fn introspect(&self, token: &str) -> Answer {
        self.post("/oauth/introspect", &[("token", token)]).await
    }

    /// Revokes a token (RFC 7009).
    pub async fn revoke(&self, token: &str) -> Answer {
        self.post("/oauth/revoke", &[("token", token)]).await
    }

    /// Any form to an endpoint of the issuer, authenticated as this client: Basic where it has a secret.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let url = format!("{}{path}", self.issuer);
        match &self.secret {
            Some(secret) => {
                // RFC 6749 §2.3.1: both parts are form-encoded first.
                let part = |text: &str| encode(&[("", text)]).split_off(1);
                let pair = format!("{}:{}", part(&self.client_id), part(secret));
                let basic = format!("Basic {}", STANDARD.encode(pair));
                self.client.post_form(&url, &[("authorization", &basic)], form).await
            }
            None => {
                let mut all = vec![("client_id", self.client_id.as_str())];
                all.extend_from_slice(form);
                self.client.post_form(&url, &[], &all).await
            }
        }
    }

    /// GET under the FHIR base with a token, which may find nobody there any more.
    ///
    /// # Errors
    /// What the network said.
    pub async fn try_read(
        &self,
        path: &str,
        token: &str,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let url = format!("{}/{path}", self.fhir_base);
        self.client.try_send("GET", &url, &headers, "").await
    }

    /// GET under the FHIR base with a token.
    pub async fn read(&self, path: &str, token: &str) -> Answer {
        self.client.read(&format!("{}/{path}", self.fhir_base), token).await
    }

    /// Every resource of a search, page by page as its `next` links say.
    pub async fn search(&self, path: &str, token: &str) -> Vec<Value> {
        let mut answer = self.read(path, token).await;
        let mut found = Vec::new();
        for _ in 0..100 {
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            found.extend(answer.resources());
            let Some(next) = answer.next() else { return found };
            assert!(next.starts_with(&self.fhir_base), "`next` leaves the gateway: {next}");
            answer = self.client.read(&next, token).await;
        }
        panic!("{path} has no last page");
    }
}

impl Answer {
    /// The grant in a token response; panics with the error if there is none.
    pub fn into_grant(self) -> Grant {
        assert_eq!(self.status, 200, "no token: {}", self.text());
        assert_eq!(self.header("cache-control"), Some("no-store"));
        Grant { response: self.json() }
    }
}

impl Grant {
    /// The access token.
    pub fn access_token(&self) -> &str {
        self.response["access_token"].as_str().expect("an access token")
    }

    /// The refresh token.
    pub fn refresh_token(&self) -> &str {
        self.response["refresh_token"].as_str().expect("a refresh token")
    }

    /// The scopes granted, sorted.
    pub fn scopes(&self) -> Vec<&str> {
        let mut scopes: Vec<&str> =
            self.response["scope"].as_str().expect("a scope").split(' ').collect();
        scopes.sort_unstable();
        scopes
    }

    /// The patient in context.
    pub fn patient(&self) -> &str {
        self.response["patient"].as_str().expect("a patient")
    }

    /// The access token's claims, unverified.
    pub fn claims(&self) -> Value {
        let payload = self.access_token().split('.').nth(1).expect("a JWT");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }
}

/// Whether an answer refuses in OAuth's way: this status, this `error`, and a correlation id.
pub fn refusal(answer: &Answer, status: u16, error: &str) -> bool {
    let body = answer.json();
    answer.status == status && body["error"] == error && body["correlation_id"].is_string()
}

/// A number below `limit`, at random.
pub fn below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes) % limit
}

/// 256 random bits in base64url: a PKCE verifier, a state.
fn random() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode(bytes)
}
