//! What an authorization server is set to. URLs are built from the configured issuer and from
//! nothing that arrives (`oauth.md`, invariant 6).

/// Whether the password grant exists (`oauth.md`, "The password grant").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PasswordGrant {
    /// `unsupported_grant_type` for everybody.
    #[default]
    Off,
    /// For clients with an exception that has not ended.
    Exceptions,
}

/// Settings, read once at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss`: an https URL without a trailing slash.
    pub issuer: String,
    /// The FHIR base, the audience of `patient/`, `user/` and `system/` scopes.
    pub fhir_base: String,
    /// Life of an access token in seconds, at most an hour.
    pub access_token_secs: i64,
    /// Idle life of a refresh token in seconds.
    pub refresh_idle_secs: i64,
    /// Whether the password grant exists.
    pub password_grant: PasswordGrant,
}

impl Settings {
    /// Life of an authorization code in seconds (FAPI 2.0 §5.3.2.1: at most 60).
    pub const CODE_SECS: i64 = 60;
    /// How long a person may take from the app's request to the decision, in seconds.
    pub const FLOW_SECS: i64 = 900;

    /// The defaults for this issuer, with the FHIR base at `/fhir`.
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            fhir_base: format!("{issuer}/fhir"),
            access_token_secs: 300,
            refresh_idle_secs: 90 * 86_400,
            password_grant: PasswordGrant::Off,
        }
    }

    /// Whether a URL names the FHIR base; one trailing slash is ignored, nothing else.
    pub fn is_fhir_base(&self, url: &str) -> bool {
        url.strip_suffix('/').unwrap_or(url) == self.fhir_base
    }

    /// Whether a `resource` that a token request names is the one a grant is for.
    pub fn is_audience(&self, url: &str, audience: &str) -> bool {
        url == audience || (audience == self.fhir_base && self.is_fhir_base(url))
    }

    /// An endpoint's URL.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }
}
