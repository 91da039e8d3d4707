//! Every path there is, in one table: who answers, by which methods, and for which browser origins.
//! A path that is not here does not exist.

use http::Method;

use crate::cors::Cors;

/// Who answers a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// RFC 8414.
    AuthorizationServerMetadata,
    /// OpenID Connect Discovery.
    OpenIdConfiguration,
    /// SMART App Launch 2.2.
    SmartConfiguration,
    /// RFC 9728.
    ProtectedResource,
    /// RFC 7517.
    Jwks,
    /// RFC 6749 §3.1.
    Authorize,
    /// RFC 6749 §3.2.
    Token,
    /// RFC 7662.
    Introspect,
    /// RFC 7009.
    Revoke,
    /// OpenID Connect Core §5.3.
    UserInfo,
    /// Who are you?
    Login,
    /// Whose record?
    Patient,
    /// What may the app have?
    Consent,
    /// The demo's own app, sending its person here.
    DemoStart,
    /// The demo's own app, getting its person back.
    DemoCallback,
    /// The style sheet.
    Css,
    /// The gateway.
    Fhir,
    /// Proofs for receipts.
    LedgerProof,
    /// Named by `interfaces.md`, not in this version.
    NotBuilt,
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const FORM: &[Method] = &[Method::POST];
const BOTH: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

/// Path, who answers, by which methods, for whom.
const ROUTES: &[(&str, Route, &[Method], Cors)] = &[
    (
        "/.well-known/oauth-authorization-server",
        Route::AuthorizationServerMetadata,
        READ,
        Cors::Open,
    ),
    ("/.well-known/openid-configuration", Route::OpenIdConfiguration, READ, Cors::Open),
    ("/.well-known/oauth-protected-resource/fhir", Route::ProtectedResource, READ, Cors::Open),
    ("/fhir/.well-known/smart-configuration", Route::SmartConfiguration, READ, Cors::Open),
    ("/oauth/jwks", Route::Jwks, READ, Cors::Open),
    ("/oauth/authorize", Route::Authorize, BOTH, Cors::Closed),
    ("/oauth/token", Route::Token, FORM, Cors::Registered),
    ("/oauth/introspect", Route::Introspect, FORM, Cors::Closed),
    ("/oauth/revoke", Route::Revoke, FORM, Cors::Registered),
    ("/oauth/userinfo", Route::UserInfo, BOTH, Cors::Registered),
    ("/login", Route::Login, BOTH, Cors::Closed),
    ("/patient", Route::Patient, BOTH, Cors::Closed),
    ("/consent", Route::Consent, BOTH, Cors::Closed),
    ("/demo", Route::DemoStart, READ, Cors::Closed),
    ("/demo/callback", Route::DemoCallback, READ, Cors::Closed),
    ("/oauth/par", Route::NotBuilt, FORM, Cors::Closed),
    ("/oauth/register", Route::NotBuilt, FORM, Cors::Closed),
    ("/oauth/logout", Route::NotBuilt, BOTH, Cors::Closed),
    ("/account", Route::NotBuilt, BOTH, Cors::Closed),
    ("/console", Route::NotBuilt, BOTH, Cors::Closed),
];

/// Every method; the handler judges.
const ANY: &[Method] =
    &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A path that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who answers.
    pub route: Route,
    /// By which methods.
    pub methods: &'static [Method],
    /// For whom.
    pub cors: Cors,
}

/// Finds who answers a path; `css` is the style sheet's.
pub fn find(path: &str, css: &str) -> Option<Found> {
    if let Some((_, route, methods, cors)) = ROUTES.iter().find(|(known, ..)| *known == path) {
        return Some(Found { route: *route, methods, cors: *cors });
    }
    if path == css {
        return Some(Found { route: Route::Css, methods: READ, cors: Cors::Closed });
    }
    if path == "/fhir" || path.starts_with("/fhir/") {
        let cors = if path == "/fhir/metadata" { Cors::Open } else { Cors::Registered };
        return Some(Found { route: Route::Fhir, methods: ANY, cors });
    }
    if path.starts_with("/ledger/proof/") {
        let (route, cors) = (Route::LedgerProof, Cors::Registered);
        return Some(Found { route, methods: READ, cors });
    }
    let not_built = ["/api/v1/", "/account/", "/console/"];
    if path == "/api/v1" || not_built.iter().any(|prefix| path.starts_with(prefix)) {
        return Some(Found { route: Route::NotBuilt, methods: ANY, cors: Cors::Closed });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_paths_exist() {
        for path in ["/", "/fhirx", "/oauth/token/", "/oauth/userinfo/x.css", "/Login", "/api"] {
            assert_eq!(find(path, "/assets/a.css"), None, "{path}");
        }
        assert_eq!(find("/assets/a.css", "/assets/a.css").unwrap().route, Route::Css);
        assert_eq!(find("/fhir/Patient/1", "").unwrap().route, Route::Fhir);
    }

    #[test]
    fn other_origins_read_what_they_are_meant_to_and_no_more() {
        let cors = |path| find(path, "").unwrap().cors;
        for path in ["/oauth/authorize", "/login", "/consent", "/oauth/introspect", "/api/v1/x"] {
            assert_eq!(cors(path), Cors::Closed, "{path}");
        }
        for path in [
            "/oauth/token",
            "/oauth/revoke",
            "/oauth/userinfo",
            "/fhir/Patient/1",
            "/ledger/proof/x",
        ] {
            assert_eq!(cors(path), Cors::Registered, "{path}");
        }
        for path in ["/oauth/jwks", "/fhir/metadata", "/.well-known/openid-configuration"] {
            assert_eq!(cors(path), Cors::Open, "{path}");
        }
    }
}
