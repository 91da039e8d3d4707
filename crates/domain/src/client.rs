//! Registered clients. What a client is decides what it can do: a public client has no secret to
//! send, a machine client has no redirect URI to receive a code.

use serde::{Deserialize, Serialize};

use crate::{Basis, ClientId, RedirectUri, Timestamp, scope::ScopeSet};

/// `grant_type` values that this server knows (RFC 6749; RFC 8693 and others are not built).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 §4.1, always with PKCE.
    AuthorizationCode,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.3, only with a [`PasswordException`].
    Password,
}

impl GrantType {
    /// Every one, in the order in which metadata lists them.
    pub const ALL: &'static [Self] =
        &[Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials, Self::Password];

    /// The `grant_type` parameter's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
        }
    }

    /// The grant type of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|grant| grant.as_str() == text)
    }
}

/// A JWK Set (RFC 7517 §5) as registered, public keys only; `keys` reads it.
pub type JwkSetText = String;

/// How a client proves who it is at the token endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// A public client: `none`.
    None,
    /// `client_secret_basic` or `client_secret_post`; the secret's keyed hash, hex.
    Secret {
        /// `keys::opaque` hash of the secret.
        hash: String,
    },
    /// `private_key_jwt` (RFC 7523 §2.2) with inline keys.
    PrivateKeyJwt {
        /// The client's public keys.
        jwks: JwkSetText,
    },
}

impl ClientAuthentication {
    /// The registered name of the method, where it has one way to be sent; for records and lists.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Secret { .. } => "client_secret",
            Self::PrivateKeyJwt { .. } => "private_key_jwt",
        }
    }

    /// Whether the client is confidential (RFC 6749 §2.1).
    pub const fn is_confidential(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// What happens when a client asks for a wildcard scope; it is never granted as such.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wildcard {
    /// The request fails with `invalid_scope`.
    #[default]
    Refuse,
    /// The wildcard is replaced by the names registered for the client, before consent.
    Expand,
}

/// The reasoned, ending permission to use the password grant (`oauth.md`, "The password grant").
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PasswordException {
    /// Who answers for it.
    pub owner: String,
    /// Why the client cannot do better yet.
    pub reason: String,
    /// When it began; its end is at most [`PasswordException::MAX_DAYS`] later.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

impl PasswordException {
    /// The longest an exception may last, in days.
    pub const MAX_DAYS: i64 = 180;

    /// Whether it holds at this moment.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        let longest = self.since.plus_secs(Self::MAX_DAYS * 86_400);
        self.since <= now && now < self.until.min(longest)
    }
}

/// How refresh tokens of a client live (`oauth.md`, "Refresh").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// Public bearer client: every use makes a successor, a second use kills the family.
    Rotate,
    /// Confidential client: the token stays, bound to the client's authentication.
    Bound,
}

/// Everything about a client that its owner decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientDraft {
    /// `client_id`.
    pub id: ClientId,
    /// The name that people are shown.
    pub name: String,
    /// The legal name of who receives the data, for the accounting of disclosures (45 CFR 164.528).
    pub legal_name: String,
    /// Their postal address, for the same report (164.528(b)(2)(ii)); empty where it is not known.
    #[serde(default)]
    pub address: String,
    /// What the data is for, for the same report and the consent page.
    pub purpose: String,
    /// The basis on which it receives data; without one, who acts decides.
    #[serde(default)]
    pub basis: Option<Basis>,
    /// How it authenticates.
    pub authentication: ClientAuthentication,
    /// Where codes may be sent; empty for clients without a person in front.
    pub redirect_uris: Vec<RedirectUri>,
    /// Which grants it may use.
    pub grants: Vec<GrantType>,
    /// The most it may ever be granted, every type by name.
    pub scopes: ScopeSet,
    /// What a wildcard request does.
    pub wildcard: Wildcard,
    /// Present for the fenced exception only.
    pub password_exception: Option<PasswordException>,
    /// Whether its responses carry receipts of their ledger record.
    pub receipts: bool,
}

/// A registered client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// What its owner decided.
    pub draft: ClientDraft,
    /// When it was registered.
    pub created: Timestamp,
    /// Since when it is disabled, if it is.
    pub disabled: Option<Timestamp>,
}

impl Client {
    /// `client_id`.
    pub const fn id(&self) -> &ClientId {
        &self.draft.id
    }

    /// Whether it may use this grant at all.
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.draft.grants.contains(&grant)
    }

    /// How its refresh tokens live.
    pub const fn refresh(&self) -> Refresh {
        if self.draft.authentication.is_confidential() { Refresh::Bound } else { Refresh::Rotate }
    }

    /// The registered URI that a request named, if it is one of this client's.
    pub fn redirect_uri(&self, arrived: &str) -> Option<&RedirectUri> {
        self.draft.redirect_uris.iter().find(|uri| uri.matches(arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_ends_on_its_day_and_never_lasts_longer_than_the_limit() {
        let day = |n: i64| Timestamp::from_secs(n * 86_400);
        let exception = |until| PasswordException {
            owner: "it".into(),
            reason: "migration".into(),
            since: day(10),
            until: day(until),
        };
        assert!(exception(40).holds_at(day(39)));
        assert!(!exception(40).holds_at(day(40)));
        assert!(!exception(40).holds_at(day(9)));
        assert!(!exception(4_000).holds_at(day(10 + PasswordException::MAX_DAYS)));
    }
}
