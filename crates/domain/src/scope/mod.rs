//! SMART App Launch 2.2 scopes as a closed grammar and a small algebra. A wildcard can be read from
//! a request but has no place in [`ScopeSet`], so no token can carry one; narrowing two sets yields
//! one that is no wider than either.

mod filter;
mod grammar;
mod permissions;
mod request;
mod set;

use std::fmt;

pub use filter::{FilterError, ScopeFilter, ScopeParameter, TokenValue};
pub use permissions::Permissions;
pub use request::{RequestedScopes, ScopeRequestError, WildcardScope};
pub use set::ScopeSet;

use crate::ResourceType;

/// On whose behalf a resource scope reaches data (SMART App Launch 2.2, "Scopes for requesting FHIR
/// resources").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Context {
    /// `patient/`: the one patient in context.
    Patient,
    /// `user/`: what the signed-in person may reach.
    User,
    /// `system/`: a client on its own behalf.
    System,
}

impl Context {
    /// The prefix as written in a scope, without the slash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// Which SMART version's letters spell the permissions; an answer uses the asker's spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Spelling {
    /// `.read`, `.write` (SMART 1).
    V1,
    /// `.cruds` (SMART 2).
    V2,
}

impl Spelling {
    /// This spelling if it can spell the permissions, or else the one that always can.
    fn fitting(self, permissions: Permissions) -> Self {
        if permissions.v1().is_some() { self } else { Self::V2 }
    }
}

/// Access to the resources of one type, in one context, of which each satisfies every filter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ResourceScope {
    /// On whose behalf.
    pub context: Context,
    /// Which type; there is no "every type".
    pub resource_type: ResourceType,
    /// A conjunction; empty means every resource of the type.
    pub filters: Vec<ScopeFilter>,
    /// Which interactions; never empty.
    pub permissions: Permissions,
    /// How the permissions are spelled when printed.
    pub spelling: Spelling,
}

impl ResourceScope {
    /// Whether everything `other` reaches is reached by `self`.
    pub fn covers(&self, other: &Self) -> bool {
        self.context == other.context
            && self.resource_type == other.resource_type
            && self.permissions.contains(other.permissions)
            && self.filters.iter().all(|f| other.filters.contains(f))
    }

    /// Whether everything `other` names is named by `self` with fewer filters.
    fn names_more_than(&self, other: &Self) -> bool {
        self.filters.len() < other.filters.len()
            && self.filters.iter().all(|f| other.filters.contains(f))
    }

    /// What both reach, or nothing.
    fn meet(&self, other: &Self) -> Option<Self> {
        if self.context != other.context || self.resource_type != other.resource_type {
            return None;
        }
        let permissions = self.permissions.intersection(other.permissions);
        if permissions.is_empty() {
            return None;
        }
        let mut filters = self.filters.clone();
        filters.extend(other.filters.iter().cloned());
        filters.sort();
        filters.dedup();
        let spelling = self.spelling.min(other.spelling).fitting(permissions);
        let (context, resource_type) = (self.context, self.resource_type);
        Some(Self { context, resource_type, filters, permissions, spelling })
    }
}

impl fmt::Display for ResourceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = match self.spelling {
            Spelling::V1 => self.permissions.v1(),
            Spelling::V2 => None,
        };
        let context = self.context.as_str();
        match letters {
            Some(word) => write!(f, "{context}/{}.{word}", self.resource_type)?,
            None => write!(f, "{context}/{}.{}", self.resource_type, self.permissions)?,
        }
        for (index, filter) in self.filters.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            write!(f, "{separator}{filter}")?;
        }
        Ok(())
    }
}

/// A scope that says nothing about FHIR resources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PlainScope {
    /// `openid` (OpenID Connect Core §3.1.2.1).
    OpenId,
    /// `fhirUser` (SMART App Launch 2.2).
    FhirUser,
    /// `profile` (OpenID Connect Core §5.4).
    Profile,
    /// `offline_access`: a refresh token that outlives the session.
    OfflineAccess,
    /// `online_access`: a refresh token that ends with the session.
    OnlineAccess,
    /// `launch`: EHR launch.
    Launch,
    /// `launch/patient`: a patient is wanted in context.
    LaunchPatient,
}

impl PlainScope {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::OpenId,
        Self::FhirUser,
        Self::Profile,
        Self::OfflineAccess,
        Self::OnlineAccess,
        Self::Launch,
        Self::LaunchPatient,
    ];

    /// As written in a scope parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenId => "openid",
            Self::FhirUser => "fhirUser",
            Self::Profile => "profile",
            Self::OfflineAccess => "offline_access",
            Self::OnlineAccess => "online_access",
            Self::Launch => "launch",
            Self::LaunchPatient => "launch/patient",
        }
    }
}

/// One scope that a token may carry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Identity, session and launch scopes.
    Plain(PlainScope),
    /// Access to resources of one type.
    Resource(ResourceScope),
}

impl Scope {
    /// Whether everything `other` grants is granted by `self`.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(a), Self::Plain(b)) => a == b,
            (Self::Resource(a), Self::Resource(b)) => a.covers(b),
            _ => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => f.write_str(plain.as_str()),
            Self::Resource(resource) => resource.fmt(f),
        }
    }
}

impl From<PlainScope> for Scope {
    fn from(plain: PlainScope) -> Self {
        Self::Plain(plain)
    }
}

impl From<ResourceScope> for Scope {
    fn from(resource: ResourceScope) -> Self {
        Self::Resource(resource)
    }
}

#[cfg(test)]
mod tests;
