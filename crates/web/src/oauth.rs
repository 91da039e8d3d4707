//! The endpoints that programs call: token, introspection, revocation, userinfo, documents. Each
//! parses, calls the authority, and puts what comes back into its shape.

use authority::{Authority, PresentedCredentials, TokenRequest, metadata};
use domain::{Reject, Secret};
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::Full;

use crate::{
    answer::{self, Answer},
    app::{Arrived, Web},
    form,
    refusal::{self, Scheme},
    routes::Route,
};

impl Web {
    pub(crate) async fn token(&self, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let form = match self.form_or_answer(Route::Token, &head, body, &caller).await {
            Ok(form) => form,
            Err(answer) => return answer,
        };
        let (scheme, basic) = basic(&head.headers);
        let presented = basic.and_then(|basic| PresentedCredentials::gather(basic, &form));
        let request = TokenRequest::read(&form);
        match self.authority.token(presented, request, &caller).await {
            Ok(tokens) => answer::private_json(StatusCode::OK, &tokens.to_json()),
            Err(refused) => refusal::oauth(&refused, &caller, scheme),
        }
    }

    pub(crate) async fn introspect(&self, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let form = match self.form_or_answer(Route::Introspect, &head, body, &caller).await {
            Ok(form) => form,
            Err(answer) => return answer,
        };
        let (scheme, basic) = basic(&head.headers);
        let presented = basic.and_then(|basic| PresentedCredentials::gather(basic, &form));
        match self.authority.introspect(presented, &form, &caller).await {
            Ok(found) => answer::private_json(StatusCode::OK, &found),
            Err(refused) => refusal::oauth(&refused, &caller, scheme),
        }
    }

    pub(crate) async fn revoke(&self, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let form = match self.form_or_answer(Route::Revoke, &head, body, &caller).await {
            Ok(form) => form,
            Err(answer) => return answer,
        };
        let (scheme, basic) = basic(&head.headers);
        let presented = basic.and_then(|basic| PresentedCredentials::gather(basic, &form));
        match self.authority.revoke(presented, &form, &caller).await {
            // RFC 7009 §2.2: 200, whatever the token was.
            Ok(()) => Response::new(Full::default()),
            Err(refused) => refusal::oauth(&refused, &caller, scheme),
        }
    }

    pub(crate) async fn userinfo(&self, arrived: Arrived) -> Answer {
        let Arrived { head, body, caller } = arrived;
        let mut token = bearer(&head.headers);
        if form::query(head.uri.query()).is_ok_and(|pairs| has_token(&pairs)) {
            token = Err(Reject::TokenMisplaced);
        }
        if head.method == Method::POST && !hyper::body::Body::is_end_stream(&body) {
            // A token in the form is a token in the wrong place (FAPI 2.0 §5.3.4); nothing else
            // that a form could hold means anything here.
            token = Err(Reject::TokenMisplaced);
        }
        match self.authority.userinfo(token, &caller).await {
            Ok(claims) => answer::private_json(StatusCode::OK, &claims),
            Err(refused) => refusal::oauth(&refused, &caller, Scheme::Bearer),
        }
    }

    /// The public documents.
    pub(crate) fn document(&self, route: Route) -> Answer {
        let settings = Authority::settings(&self.authority);
        answer::public_json(&match route {
            Route::OpenIdConfiguration => metadata::openid_configuration(settings),
            Route::SmartConfiguration => metadata::smart_configuration(settings),
            Route::ProtectedResource => metadata::protected_resource(settings),
            Route::Jwks => self.authority.jwks(),
            _ => metadata::oauth_authorization_server(settings),
        })
    }
}

type Basic = Result<Option<(String, Secret<String>)>, Reject>;

/// How the client authenticated, and with what.
fn basic(headers: &HeaderMap) -> (Scheme, Basic) {
    let scheme =
        if headers.contains_key(header::AUTHORIZATION) { Scheme::Basic } else { Scheme::None };
    (scheme, form::basic(headers))
}

/// The access token of `Authorization: Bearer` (RFC 6750 §2.1), exactly one.
fn bearer(headers: &HeaderMap) -> Result<Secret<String>, Reject> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Reject::TokenMissing)?;
    if values.next().is_some() {
        return Err(Reject::TokenMalformed);
    }
    let text = value.to_str().map_err(|_| Reject::TokenMalformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Reject::TokenMalformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reject::TokenMissing);
    }
    Ok(Secret::new(token.trim().to_owned()))
}

fn has_token(pairs: &form::Pairs) -> bool {
    pairs.iter().any(|(name, _)| name == "access_token")
}
