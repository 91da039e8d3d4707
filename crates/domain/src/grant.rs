//! A grant: what one person allowed one client, about whom and until when. Codes, refresh tokens and
//! access tokens point to it; when it ends, they end.

use serde::{Deserialize, Serialize};

use crate::{ClientId, FhirId, GrantId, PersonId, SessionId, Timestamp, scope::ScopeSet};

/// For how long a person allows access; the values of the consent page's `duration`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Duration {
    /// This visit only: one access token, no refresh.
    #[serde(rename = "once")]
    Once,
    /// One day.
    #[serde(rename = "1d")]
    Day,
    /// Ninety days.
    #[serde(rename = "90d")]
    NinetyDays,
    /// Until the person takes it back (within policy: a year).
    #[serde(rename = "until_withdrawn")]
    UntilWithdrawn,
}

impl Duration {
    /// Every one, shortest first.
    pub const ALL: &'static [Self] =
        &[Self::Once, Self::Day, Self::NinetyDays, Self::UntilWithdrawn];

    /// The form field's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Day => "1d",
            Self::NinetyDays => "90d",
            Self::UntilWithdrawn => "until_withdrawn",
        }
    }

    /// The duration of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|duration| duration.as_str() == text)
    }

    /// How long that is at most, in seconds.
    pub const fn secs(self) -> i64 {
        match self {
            Self::Once => 3_600,
            Self::Day => 86_400,
            Self::NinetyDays => 90 * 86_400,
            Self::UntilWithdrawn => 365 * 86_400,
        }
    }
}

/// The SMART context that a token carries (SMART App Launch 2.2, "Launch context").
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LaunchContext {
    /// The patient that `patient/` scopes are about.
    pub patient: Option<FhirId>,
}

/// What one person allowed one client. At once the name of its refresh token family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// Who received it.
    pub client: ClientId,
    /// Who gave it.
    pub person: PersonId,
    /// The sign-in during which it was given; online access ends with it.
    pub session: Option<SessionId>,
    /// What was allowed; it only ever shrinks.
    pub scopes: ScopeSet,
    /// The protected resource it is for: an `aud` value.
    pub audience: String,
    /// About whom.
    pub context: LaunchContext,
    /// When the person last signed in before giving it (`auth_time`).
    pub auth_time: Timestamp,
    /// When it was given.
    pub created: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// Since when it is withdrawn, if it is.
    pub withdrawn: Option<Timestamp>,
}

impl Grant {
    /// Whether it is neither withdrawn nor over.
    pub fn is_live_at(&self, now: Timestamp) -> bool {
        self.withdrawn.is_none() && now < self.expires
    }
}
