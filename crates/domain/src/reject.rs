//! The one list of reasons to refuse. Each has its HTTP status, OAuth error code, fixed public text,
//! ledger event and the drill that provokes it; nothing else in the program decides those.

/// An OAuth error code from the IANA registry (RFC 6749 §11.4 and its successors).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OAuthError {
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`
    InvalidGrant,
    /// `invalid_scope`
    InvalidScope,
    /// `invalid_target` (RFC 8707 §2)
    InvalidTarget,
    /// `invalid_token` (RFC 6750 §3.1)
    InvalidToken,
    /// `insufficient_scope` (RFC 6750 §3.1)
    InsufficientScope,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `unsupported_response_type`
    UnsupportedResponseType,
    /// `unsupported_token_type` (RFC 7009 §2.2.1)
    UnsupportedTokenType,
    /// `access_denied`
    AccessDenied,
    /// `login_required` (OpenID Connect Core §3.1.2.6)
    LoginRequired,
    /// `interaction_required` (OpenID Connect Core §3.1.2.6)
    InteractionRequired,
    /// `request_not_supported` (OpenID Connect Core §3.1.2.6)
    RequestNotSupported,
    /// `request_uri_not_supported` (OpenID Connect Core §3.1.2.6)
    RequestUriNotSupported,
    /// `temporarily_unavailable`
    TemporarilyUnavailable,
    /// `server_error`
    ServerError,
}

impl OAuthError {
    /// The code as it stands in a response.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// Who is told, and in which shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Audience {
    /// A person, on a page of ours; never redirected.
    Page,
    /// The client, by redirect to its registered URI (RFC 6749 §4.1.2.1).
    Redirect,
    /// The client, as RFC 6749 §5.2 JSON.
    Token,
    /// The client, as a FHIR OperationOutcome.
    Resource,
}

use Audience::{Page, Redirect, Resource, Token};
use OAuthError as E;

macro_rules! rejects {
    ($($name:ident = $code:literal, $id:literal, $status:literal, $oauth:expr, $audience:ident, $event:literal, $drill:literal, $text:literal;)*) => {
        /// A reason to refuse.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reject { $(#[doc = $text] $name,)* }

        impl Reject {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code that stands in ledger records; never reused.
            pub const fn code(self) -> u8 { match self { $(Self::$name => $code,)* } }

            /// The reason of this code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// Its stable name in documents and in the ledger's sealed body.
            pub const fn id(self) -> &'static str { match self { $(Self::$name => $id,)* } }

            /// The HTTP status of the answer.
            pub const fn status(self) -> u16 { match self { $(Self::$name => $status,)* } }

            /// The OAuth error code of the answer, where it has one.
            pub const fn oauth(self) -> Option<OAuthError> { match self { $(Self::$name => $oauth,)* } }

            /// Who is told, and in which shape.
            pub const fn audience(self) -> Audience { match self { $(Self::$name => $audience,)* } }

            /// The ledger event.
            pub const fn event(self) -> &'static str { match self { $(Self::$name => $event,)* } }

            /// The attack of `phiward drill` that provokes it; empty where none does.
            pub const fn drill(self) -> &'static str { match self { $(Self::$name => $drill,)* } }

            /// The fixed public text; never repeats input, never says whether something exists.
            pub const fn text(self) -> &'static str { match self { $(Self::$name => $text,)* } }
        }
    };
}

// name = code, id, status, OAuth error, audience, ledger event, drill, public text
rejects! {
    // Shape of a request, anywhere.
    RequestMalformed = 1, "request-malformed", 400, Some(E::InvalidRequest), Token, "request.malformed", "F11", "The request is malformed.";
    ParameterDuplicate = 2, "parameter-duplicate", 400, Some(E::InvalidRequest), Token, "request.duplicate_param", "F4", "A parameter is repeated.";
    ParameterMissing = 3, "parameter-missing", 400, Some(E::InvalidRequest), Token, "request.missing_param", "F4", "A required parameter is missing.";
    RequestTooLarge = 4, "request-too-large", 413, Some(E::InvalidRequest), Token, "request.too_large", "D3", "The request is too large.";
    MediaTypeUnsupported = 5, "media-type-unsupported", 415, Some(E::InvalidRequest), Token, "request.media_type", "D3", "The content type is not supported here.";
    MethodNotAllowed = 6, "method-not-allowed", 405, Some(E::InvalidRequest), Token, "request.method", "G8", "The method is not allowed here.";
    NotInThisVersion = 7, "not-in-this-version", 501, None, Resource, "request.not_built", "", "This is not in this version.";

    // The authorization endpoint and its pages.
    ClientUnknown = 20, "client-unknown", 400, Some(E::InvalidRequest), Page, "client.unknown", "F1", "The app that sent you here is not known.";
    RedirectMismatch = 21, "redirect-mismatch", 400, Some(E::InvalidRequest), Page, "redirect.mismatch", "F1", "The app that sent you here gave a return address that is not registered for it.";
    ResponseTypeUnsupported = 22, "response-type-unsupported", 400, Some(E::UnsupportedResponseType), Redirect, "request.unsupported", "F9", "Only response_type=code with a query response is supported.";
    RequestObjectRefused = 23, "request-object-refused", 400, Some(E::RequestNotSupported), Redirect, "request.object_rejected", "F16", "Request objects are not supported.";
    RequestUriRefused = 24, "request-uri-refused", 400, Some(E::RequestUriNotSupported), Redirect, "request.object_rejected", "F16", "Request URIs are not supported.";
    PkceRequired = 25, "pkce-required", 400, Some(E::InvalidRequest), Redirect, "pkce.rejected", "F5", "A code_challenge with method S256 is required.";
    AudienceUnknown = 26, "audience-unknown", 400, Some(E::InvalidRequest), Redirect, "smart.launch_rejected", "F17", "The aud parameter must name the FHIR base of this server.";
    LaunchRejected = 27, "launch-rejected", 400, Some(E::InvalidRequest), Redirect, "smart.launch_rejected", "F17", "The launch is unknown, used or over.";
    AccessDenied = 28, "access-denied", 403, Some(E::AccessDenied), Redirect, "consent.declined", "", "Access was declined.";
    PatientRequired = 29, "patient-required", 403, Some(E::AccessDenied), Redirect, "consent.no_patient", "", "There is no patient whose record could be shared.";
    LoginRequired = 30, "login-required", 400, Some(E::LoginRequired), Redirect, "authn.required", "S10", "Signing in is required.";
    FlowUnknown = 31, "flow-unknown", 400, Some(E::InvalidRequest), Page, "flow.unknown", "F14", "This page is no longer valid. Go back to the app and start again.";
    CsrfRejected = 32, "csrf-rejected", 403, Some(E::InvalidRequest), Page, "csrf.rejected", "F13", "This form did not come from this site. Go back to the app and start again.";
    ChoiceOutOfReach = 33, "choice-out-of-reach", 403, Some(E::AccessDenied), Page, "consent.out_of_reach", "S2", "That choice is not yours to make.";
    SignInFailed = 34, "sign-in-failed", 401, Some(E::InvalidGrant), Page, "authn.failed", "D1", "The username or password is not right.";
    SignInThrottled = 35, "sign-in-throttled", 429, Some(E::InvalidGrant), Page, "authn.throttled", "D1", "Too many attempts. Wait a minute, then try again.";
    SignInSaturated = 36, "sign-in-saturated", 503, Some(E::TemporarilyUnavailable), Page, "authn.saturated", "D7", "Many people are signing in. Try again in a moment.";
    InteractionRequired = 37, "interaction-required", 400, Some(E::InteractionRequired), Redirect, "consent.required", "S10", "The person has to be asked.";

    // Scopes.
    ScopeMalformed = 40, "scope-malformed", 400, Some(E::InvalidScope), Redirect, "scope.malformed", "S5", "The scope is malformed.";
    ScopeWildcard = 41, "scope-wildcard", 400, Some(E::InvalidScope), Redirect, "scope.wildcard", "S11", "Wildcard scopes are not granted. Ask for each resource type by name.";
    ScopeUnregistered = 42, "scope-unregistered", 400, Some(E::InvalidScope), Token, "scope.unregistered", "S4", "The scope is not registered for this client.";
    ScopeEmpty = 43, "scope-empty", 400, Some(E::InvalidScope), Redirect, "scope.empty", "S4", "No scope that was asked for can be granted.";
    ScopeEscalation = 44, "scope-escalation", 400, Some(E::InvalidScope), Token, "scope.escalation", "S1", "The scope is wider than what was granted.";

    // Client authentication.
    ClientAuthenticationFailed = 60, "client-authentication-failed", 401, Some(E::InvalidClient), Token, "client.auth_failed", "C1", "Client authentication failed.";
    ClientAuthenticationAmbiguous = 61, "client-authentication-ambiguous", 400, Some(E::InvalidRequest), Token, "client.auth_ambiguous", "C2", "More than one client authentication method was used.";
    ClientAuthenticationDowngrade = 62, "client-authentication-downgrade", 401, Some(E::InvalidClient), Token, "client.auth_downgrade", "C3", "Client authentication failed.";
    ClientAuthenticationMissing = 63, "client-authentication-missing", 401, Some(E::InvalidClient), Token, "client.auth_missing", "C5", "Client authentication failed.";
    AssertionRejected = 64, "assertion-rejected", 401, Some(E::InvalidClient), Token, "assertion.rejected", "C4", "Client authentication failed.";
    AssertionReplayed = 65, "assertion-replayed", 401, Some(E::InvalidClient), Token, "assertion.replay", "R7", "Client authentication failed.";
    ClientDisabled = 66, "client-disabled", 401, Some(E::InvalidClient), Token, "client.disabled_use", "E8", "Client authentication failed.";

    // The token endpoint.
    GrantTypeUnsupported = 80, "grant-type-unsupported", 400, Some(E::UnsupportedGrantType), Token, "grant.unsupported", "S7", "The grant type is not supported.";
    GrantTypeUnauthorized = 81, "grant-type-unauthorized", 400, Some(E::UnauthorizedClient), Token, "grant.unauthorized", "S7", "This client may not use this grant type.";
    CodeUnknown = 82, "code-unknown", 400, Some(E::InvalidGrant), Token, "code.unknown", "J10", "The code or refresh token is not valid.";
    CodeExpired = 83, "code-expired", 400, Some(E::InvalidGrant), Token, "code.expired", "E4", "The code or refresh token is not valid.";
    CodeReused = 84, "code-reused", 400, Some(E::InvalidGrant), Token, "code.reuse", "R1", "The code or refresh token is not valid.";
    GrantClientMismatch = 85, "grant-client-mismatch", 400, Some(E::InvalidGrant), Token, "grant.client_mismatch", "C6", "The code or refresh token is not valid.";
    GrantRedirectMismatch = 86, "grant-redirect-mismatch", 400, Some(E::InvalidGrant), Token, "grant.redirect_mismatch", "F7", "The code or refresh token is not valid.";
    PkceMismatch = 87, "pkce-mismatch", 400, Some(E::InvalidGrant), Token, "pkce.mismatch", "F6", "The code or refresh token is not valid.";
    RefreshUnknown = 88, "refresh-unknown", 400, Some(E::InvalidGrant), Token, "refresh.unknown", "J10", "The code or refresh token is not valid.";
    RefreshExpired = 89, "refresh-expired", 400, Some(E::InvalidGrant), Token, "refresh.expired", "E5", "The code or refresh token is not valid.";
    RefreshReused = 90, "refresh-reused", 400, Some(E::InvalidGrant), Token, "refresh.reuse", "R3", "The code or refresh token is not valid.";
    PrincipalInactive = 91, "principal-inactive", 400, Some(E::InvalidGrant), Token, "refresh.rejected.principal", "E7", "The code or refresh token is not valid.";
    PasswordRefused = 92, "password-refused", 400, Some(E::InvalidGrant), Token, "password.refused", "D1", "The username or password is not right.";
    PasswordThrottled = 93, "password-throttled", 429, Some(E::InvalidGrant), Token, "authn.throttled", "D1", "Too many attempts. Wait a minute, then try again.";
    TargetInvalid = 94, "target-invalid", 400, Some(E::InvalidTarget), Token, "grant.target", "S2", "The resource is not one that was authorized.";

    // The access token at a resource.
    TokenMissing = 110, "token-missing", 401, None, Resource, "access.unauthenticated", "G1", "An access token is required.";
    TokenMisplaced = 111, "token-misplaced", 400, Some(E::InvalidRequest), Resource, "access.unauthenticated", "G1", "The access token belongs in the Authorization header.";
    TokenMalformed = 112, "token-malformed", 401, Some(E::InvalidToken), Resource, "jwt.malformed", "J6", "The access token is not valid.";
    TokenAlgorithm = 113, "token-algorithm", 401, Some(E::InvalidToken), Resource, "jwt.alg_rejected", "J1", "The access token is not valid.";
    TokenKeyUntrusted = 114, "token-key-untrusted", 401, Some(E::InvalidToken), Resource, "jwt.untrusted_key", "J4", "The access token is not valid.";
    TokenSignature = 115, "token-signature", 401, Some(E::InvalidToken), Resource, "jwt.signature_rejected", "J10", "The access token is not valid.";
    TokenWrongKind = 116, "token-wrong-kind", 401, Some(E::InvalidToken), Resource, "token.wrong_kind", "R11", "The access token is not valid.";
    TokenClaims = 117, "token-claims", 401, Some(E::InvalidToken), Resource, "jwt.claim_rejected", "J5", "The access token is not valid.";
    TokenExpired = 118, "token-expired", 401, Some(E::InvalidToken), Resource, "token.rejected.expired", "E1", "The access token is not valid.";
    TokenNotYetValid = 119, "token-not-yet-valid", 401, Some(E::InvalidToken), Resource, "token.rejected.time", "E2", "The access token is not valid.";
    TokenRevoked = 120, "token-revoked", 401, Some(E::InvalidToken), Resource, "token.rejected.revoked", "E6", "The access token is not valid.";
    TokenSender = 121, "token-sender", 401, Some(E::InvalidToken), Resource, "token.sender_mismatch", "J9", "The access token is not valid.";

    // The gateway.
    ScopeInsufficient = 140, "scope-insufficient", 403, Some(E::InsufficientScope), Resource, "access.denied.scope", "G9", "The access token does not permit this kind of access.";
    PatientMissing = 141, "patient-missing", 403, Some(E::InsufficientScope), Resource, "access.denied.context", "G2", "The access token does not permit this kind of access.";
    InteractionRefused = 142, "interaction-refused", 403, Some(E::InsufficientScope), Resource, "access.denied.operation", "G6", "The access token does not permit this kind of access.";
    OutOfReach = 143, "out-of-reach", 404, None, Resource, "access.denied.compartment", "G2", "No such resource.";
    PathMalformed = 144, "path-malformed", 400, None, Resource, "request.malformed", "G7", "The path is malformed.";
    SearchParameterRefused = 145, "search-parameter-refused", 400, None, Resource, "access.denied.search", "G3", "A search parameter is unknown or not allowed here.";
    SearchMalformed = 146, "search-malformed", 400, None, Resource, "access.denied.search", "G3", "The search is malformed.";
    FormatRefused = 147, "format-refused", 406, None, Resource, "request.format", "D3", "Only FHIR JSON is available.";
    HeaderRefused = 148, "header-refused", 400, None, Resource, "request.malformed", "G8", "A header is repeated or not allowed.";
    RateLimited = 149, "rate-limited", 429, None, Resource, "quota.exceeded", "D5", "Too many requests. Wait a moment, then try again.";
    UpstreamUnavailable = 150, "upstream-unavailable", 503, None, Resource, "upstream.unavailable", "G10", "The records are not available at the moment.";
    UpstreamTimeout = 151, "upstream-timeout", 504, None, Resource, "upstream.timeout", "G10", "The records did not answer in time.";
    UpstreamBroken = 152, "upstream-broken", 502, None, Resource, "upstream.error", "G10", "The answer of the record server could not be used.";
    LedgerUnavailable = 153, "ledger-unavailable", 503, Some(E::TemporarilyUnavailable), Resource, "ledger.unavailable", "G12", "This service is not available at the moment.";
    ResultTooLarge = 154, "result-too-large", 502, None, Resource, "upstream.too_large", "D3", "The answer is too large. Ask for fewer entries with _count.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ids_are_unique_and_read_back() {
        for reject in Reject::ALL {
            assert_eq!(Reject::from_code(reject.code()), Some(*reject));
            assert!(reject.code() != 0 && reject.code() != 255);
            assert_eq!(Reject::ALL.iter().filter(|r| r.id() == reject.id()).count(), 1);
        }
    }

    #[test]
    fn what_a_client_cannot_tell_apart_reads_the_same() {
        let same = |group: &[Reject]| {
            let first = group[0];
            for reject in group {
                assert_eq!(
                    (reject.status(), reject.oauth(), reject.text()),
                    (first.status(), first.oauth(), first.text()),
                    "{reject:?}"
                );
            }
        };
        // Unknown client, wrong secret, wrong method, disabled client (attack C1).
        same(&[
            Reject::ClientAuthenticationFailed,
            Reject::ClientAuthenticationDowngrade,
            Reject::ClientAuthenticationMissing,
            Reject::AssertionRejected,
            Reject::AssertionReplayed,
            Reject::ClientDisabled,
        ]);
        // Whatever is wrong with a code or refresh token (attacks R1, C6, F6).
        same(&[
            Reject::CodeUnknown,
            Reject::CodeExpired,
            Reject::CodeReused,
            Reject::GrantClientMismatch,
            Reject::GrantRedirectMismatch,
            Reject::PkceMismatch,
            Reject::RefreshUnknown,
            Reject::RefreshExpired,
            Reject::RefreshReused,
            Reject::PrincipalInactive,
        ]);
    }
}
