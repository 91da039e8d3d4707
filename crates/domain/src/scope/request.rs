//! A scope parameter as it arrives: known scopes, wildcards and strangers kept apart, so that each
//! is decided upon and none slips through.

use std::fmt;

use super::grammar::{self, Read};
use super::{Context, Permissions, ResourceScope, Scope, ScopeSet, Spelling};
use crate::ResourceType;

/// A request for "every type" or "every interaction". Never granted; at best expanded into the
/// names that the client registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WildcardScope {
    pub(super) context: Context,
    pub(super) resource_type: Option<ResourceType>,
    pub(super) permissions: Option<Permissions>,
    pub(super) spelling: Spelling,
}

impl WildcardScope {
    /// The named scopes of `registered` that the wildcard asks for.
    fn expand<'a>(&'a self, registered: &'a ScopeSet) -> impl Iterator<Item = Scope> + 'a {
        registered.resources().filter_map(|scope| {
            let fits = scope.context == self.context
                && self.resource_type.is_none_or(|wanted| wanted == scope.resource_type);
            let permissions =
                self.permissions.map_or(scope.permissions, |p| p.intersection(scope.permissions));
            (fits && !permissions.is_empty()).then(|| {
                Scope::Resource(ResourceScope {
                    permissions,
                    spelling: self.spelling,
                    ..scope.clone()
                })
            })
        })
    }
}

/// What a scope parameter asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedScopes {
    known: ScopeSet,
    wildcards: Vec<WildcardScope>,
    unknown: usize,
}

/// Why a scope parameter cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeRequestError {
    /// A token outside the grammar, or an empty or oversize parameter.
    Malformed,
    /// `system/` together with `patient/` or `user/`.
    MixedContexts,
}

impl fmt::Display for ScopeRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "scope is malformed",
            Self::MixedContexts => "scope mixes `system/` with a person's contexts",
        })
    }
}

impl std::error::Error for ScopeRequestError {}

impl RequestedScopes {
    /// At most this many tokens, and 64 KiB, are read.
    pub const MAX_TOKENS: usize = 256;

    /// Reads a space-delimited scope parameter (RFC 6749 §3.3).
    ///
    /// # Errors
    /// [`ScopeRequestError`] if any token is malformed: a request that cannot be understood is not
    /// granted in part.
    pub fn parse(text: &str) -> Result<Self, ScopeRequestError> {
        if text.len() > 65_536 || text.split(' ').count() > Self::MAX_TOKENS {
            return Err(ScopeRequestError::Malformed);
        }
        let mut scopes = Vec::new();
        let (mut wildcards, mut unknown) = (Vec::new(), 0);
        for token in text.split(' ') {
            match grammar::read(token).map_err(|_| ScopeRequestError::Malformed)? {
                Read::Known(scope) => scopes.push(scope),
                Read::Wildcard(wildcard) => wildcards.push(wildcard),
                Read::Unknown => unknown += 1,
            }
        }
        let known: ScopeSet = scopes.into_iter().collect();
        let contexts =
            || known.resources().map(|s| s.context).chain(wildcards.iter().map(|w| w.context));
        let system = contexts().any(|c| c == Context::System);
        if system && contexts().any(|c| c != Context::System) {
            return Err(ScopeRequestError::MixedContexts);
        }
        Ok(Self { known, wildcards, unknown })
    }

    /// Whether a wildcard was asked for.
    pub fn has_wildcard(&self) -> bool {
        !self.wildcards.is_empty()
    }

    /// How many well-formed tokens were none of ours.
    pub const fn unknown(&self) -> usize {
        self.unknown
    }

    /// The named scopes; wildcards and strangers are not among them.
    pub const fn known(&self) -> &ScopeSet {
        &self.known
    }

    /// The named scopes, and for each wildcard the names registered for the client.
    pub fn expanded(&self, registered: &ScopeSet) -> ScopeSet {
        let expansion = self.wildcards.iter().flat_map(|wildcard| wildcard.expand(registered));
        self.known.iter().cloned().chain(expansion).collect()
    }
}
