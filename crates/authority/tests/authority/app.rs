//! What an app and its person do: ask, sign in, consent, redeem, refresh.

use authority::{
    Attempt, AuthorizeRefusal, Begun, Decision, FlowRef, Parameters, PresentedCredentials, Step,
    TokenRequest, TokenResponse,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Duration, Reject, Secret};
use identity::Refusal;
use keys::signing::SigningKey;
use serde_json::{Value, json};

use crate::world::{
    CALLBACK, CHALLENGE, FHIR, ISSUER, PASSWORD, TOKEN_URL, USUAL, VERIFIER, World,
};

/// How the token endpoint answers.
pub type Answer = Result<TokenResponse, Refusal>;

/// Form or query parameters that a test may spoil.
#[derive(Clone, Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(pairs.iter().map(own).collect())
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(own, _)| own != name);
        self
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Once more, even if it is there.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn parameters(&self) -> Parameters {
        Parameters::new(self.0.clone())
    }
}

/// A request as most apps make it.
pub fn ask(client: &str, scope: &str) -> Form {
    Form::of(&[
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("scope", scope),
        ("state", "st&te"),
        ("nonce", "n-1"),
        ("aud", FHIR),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ])
}

/// The form that redeems a code.
pub fn redemption(code: &str) -> Form {
    Form::of(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ])
}

pub fn refreshing(token: &str) -> Form {
    Form::of(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

/// The parameters of a redirect to the app.
pub fn answer(location: &str) -> Vec<(String, String)> {
    let query =
        location.strip_prefix(&format!("{CALLBACK}?")).unwrap_or_else(|| panic!("{location}"));
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub fn member<'a>(answer: &'a [(String, String)], name: &str) -> &'a str {
    answer.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
}

/// A member of a token response.
pub fn text(response: &TokenResponse, name: &str) -> String {
    response.to_json()[name].as_str().unwrap_or_default().to_owned()
}

/// A browser in front of the server.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub cookie: String,
    pub session: Option<String>,
    pub flow: String,
}

impl Browser {
    pub fn flow(&self) -> FlowRef<'_> {
        FlowRef { flow: &self.flow, browser: &self.cookie }
    }

    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }
}

impl World {
    pub async fn authorize(
        &self,
        browser: &mut Browser,
        form: &Form,
    ) -> Result<(), AuthorizeRefusal> {
        let cookie = (!browser.cookie.is_empty()).then_some(browser.cookie.as_str());
        let parameters = form.parameters();
        let begun: Begun = self
            .authority
            .authorize(&parameters, cookie, browser.session.as_deref(), &self.caller())
            .await?;
        browser.flow = begun.flow.expose().to_owned();
        if let Some(cookie) = begun.browser {
            browser.cookie = cookie.expose().to_owned();
        }
        Ok(())
    }

    /// A browser in which this request waits for its person.
    pub async fn begin(&self, form: &Form) -> Browser {
        let mut browser = Browser::default();
        self.authorize(&mut browser, form).await.unwrap();
        browser
    }

    pub async fn sign_in(&self, browser: &mut Browser, name: &str) {
        let secret = self.attempt(browser, name, PASSWORD).await.unwrap();
        browser.session = Some(secret);
    }

    pub async fn attempt(
        &self,
        browser: &Browser,
        name: &str,
        password: &str,
    ) -> Result<String, Refusal> {
        let attempt = Attempt { username: name.into(), password: Secret::new(password.into()) };
        let secret = self.authority.sign_in(browser.flow(), attempt, &self.caller()).await?;
        Ok(secret.expose().to_owned())
    }

    pub async fn step(&self, browser: &Browser) -> Result<Step, AuthorizeRefusal> {
        self.authority.step(browser.flow(), browser.session(), &self.caller()).await
    }

    pub async fn choose(&self, browser: &Browser, patient: &str) -> Result<(), AuthorizeRefusal> {
        let caller = self.caller();
        self.authority.choose_patient(browser.flow(), browser.session(), patient, &caller).await
    }

    pub async fn decide(
        &self,
        browser: &Browser,
        decision: Decision,
    ) -> Result<String, AuthorizeRefusal> {
        self.authority.decide(browser.flow(), browser.session(), decision, &self.caller()).await
    }

    /// Shown the consent page, the person ticks these.
    pub async fn allow(&self, browser: &Browser, scopes: &str, duration: Duration) -> String {
        assert!(matches!(self.step(browser).await.unwrap(), Step::Consent(_)));
        let scopes = scopes.split(' ').map(str::to_owned).collect();
        let location = self.decide(browser, Decision::Approve { scopes, duration }).await.unwrap();
        let answer = answer(&location);
        assert_eq!(member(&answer, "iss"), ISSUER);
        member(&answer, "code").to_owned()
    }

    /// Amina allows an app all that it asks, for ninety days: the code.
    pub async fn code(&self, client: &str, scope: &str) -> String {
        let mut browser = self.begin(&ask(client, scope)).await;
        self.sign_in(&mut browser, "amina").await;
        self.allow(&browser, scope, Duration::NinetyDays).await
    }

    /// How a client shows who it is.
    pub fn credentials(&self, client: &str) -> PresentedCredentials {
        let id = client.to_owned();
        match client {
            "web" | "web2" | "expander" => PresentedCredentials::Bare(id),
            "robot" => PresentedCredentials::Assertion {
                assertion: Secret::new(self.assertion(&self.assertion_claims())),
                id: None,
            },
            _ => PresentedCredentials::Secret { id, secret: Secret::new(self.secret(client)) },
        }
    }

    pub fn token<'w>(
        &'w self,
        client: &str,
        form: &Form,
    ) -> impl Future<Output = Answer> + use<'w> {
        self.token_as(Ok(self.credentials(client)), form)
    }

    pub fn token_as<'w>(
        &'w self,
        credentials: Result<PresentedCredentials, Reject>,
        form: &Form,
    ) -> impl Future<Output = Answer> + use<'w> {
        let request = TokenRequest::read(&form.parameters());
        async move { self.authority.token(credentials, request, &self.caller()).await }
    }

    /// A client that Amina allowed all that it asked redeems its code.
    pub async fn connected(&self, client: &str, scope: &str) -> TokenResponse {
        let code = self.code(client, scope).await;
        self.token(client, &redemption(&code)).await.unwrap()
    }

    /// A refresh token of such a client.
    pub async fn refresh_token(&self, client: &str) -> String {
        text(&self.connected(client, USUAL).await, "refresh_token")
    }

    pub fn refresh<'w>(
        &'w self,
        client: &str,
        token: &str,
    ) -> impl Future<Output = Answer> + use<'w> {
        self.token(client, &refreshing(token))
    }

    pub async fn userinfo(&self, token: &str) -> Result<Value, Refusal> {
        self.authority.userinfo(Ok(Secret::new(token.to_owned())), &self.caller()).await
    }

    pub async fn introspect(&self, client: &str, token: &str) -> Result<Value, Refusal> {
        let form = Form::of(&[("token", token)]).parameters();
        self.authority.introspect(Ok(self.credentials(client)), &form, &self.caller()).await
    }

    pub async fn revoke(&self, client: &str, token: &str) -> Result<(), Refusal> {
        let form = Form::of(&[("token", token)]).parameters();
        self.authority.revoke(Ok(self.credentials(client)), &form, &self.caller()).await
    }

    /// The claims of a good assertion of `robot`, each with a `jti` of its own.
    pub fn assertion_claims(&self) -> Value {
        let jti = self.caller().correlation.to_string();
        json!({
            "iss": "robot", "sub": "robot", "aud": TOKEN_URL, "jti": jti,
            "exp": self.now().secs() + 240, "iat": self.now().secs(),
        })
    }

    pub fn assertion(&self, claims: &Value) -> String {
        signed(&self.robot, claims)
    }
}

/// A JWT as a client would sign it.
pub fn signed(key: &SigningKey, claims: &Value) -> String {
    let header = json!({ "alg": key.algorithm().as_str(), "kid": key.kid(), "typ": "JWT" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap());
    format!("{input}.{signature}")
}

/// Where and why an authorization was refused: the redirect, if there was one.
pub fn refused<T>(result: Result<T, AuthorizeRefusal>) -> (Reject, Option<String>) {
    match result {
        Ok(_) => panic!("not refused"),
        Err(AuthorizeRefusal::Page(reject)) => (*reject.get(), None),
        Err(AuthorizeRefusal::Redirect { location, reject }) => (*reject.get(), Some(location)),
        Err(AuthorizeRefusal::Fault(fault)) => panic!("{fault:?}"),
    }
}
