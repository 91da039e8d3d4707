//! A set of scopes in normal form: no member is covered by the others, each says all that may be done
//! with what it names, and printing is in one order. Sets that grant the same
//! differ at most in how their members are spelled.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::grammar::{self, Read};
use super::{Context, Permissions, PlainScope, ResourceScope, Scope, ScopeRequestError};
use crate::ResourceType;

/// The scopes that a token, a grant or a registration carries. There is no wildcard to put in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// No scope at all.
    pub const EMPTY: Self = Self(Vec::new());

    /// Reads a space-delimited list in which every token must be one of ours and none a wildcard:
    /// for registrations, stored grants and tokens. The empty text is the empty set.
    ///
    /// # Errors
    /// [`ScopeRequestError::Malformed`] otherwise.
    pub fn parse(text: &str) -> Result<Self, ScopeRequestError> {
        if text.is_empty() {
            return Ok(Self::EMPTY);
        }
        text.split(' ')
            .map(|token| match grammar::read(token) {
                Ok(Read::Known(scope)) => Ok(scope),
                Ok(Read::Wildcard(_) | Read::Unknown) | Err(_) => Err(ScopeRequestError::Malformed),
            })
            .collect()
    }

    /// What both sets grant: never wider than either, and the same whichever is asked first.
    #[must_use]
    pub fn narrow(&self, other: &Self) -> Self {
        let mut met = Vec::new();
        for a in &self.0 {
            for b in &other.0 {
                match (a, b) {
                    (Scope::Plain(p), Scope::Plain(q)) if p == q => met.push(a.clone()),
                    (Scope::Resource(p), Scope::Resource(q)) => {
                        met.extend(p.meet(q).map(Scope::Resource));
                    }
                    _ => {}
                }
            }
        }
        met.into_iter().collect()
    }

    /// Whether everything `other` grants is granted by `self`.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|wanted| self.covers_one(wanted))
    }

    fn covers_one(&self, wanted: &Scope) -> bool {
        match wanted {
            Scope::Plain(_) => self.0.contains(wanted),
            Scope::Resource(wanted) => {
                // The permissions may be spread over several members that each cover the filter.
                let reached = self
                    .resources()
                    .filter(|have| {
                        let probe =
                            ResourceScope { permissions: have.permissions, ..wanted.clone() };
                        have.covers(&probe)
                    })
                    .fold(Permissions::NONE, |sum, have| sum.union(have.permissions));
                reached.contains(wanted.permissions)
            }
        }
    }

    /// Whether there is no scope in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this plain scope is in it.
    pub fn has(&self, plain: PlainScope) -> bool {
        self.0.contains(&Scope::Plain(plain))
    }

    /// Whether any resource scope has this context.
    pub fn has_context(&self, context: Context) -> bool {
        self.resources().any(|scope| scope.context == context)
    }

    /// Every member, in print order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Scope> {
        self.0.iter()
    }

    /// The resource scopes among them.
    pub fn resources(&self) -> impl Iterator<Item = &ResourceScope> {
        self.0.iter().filter_map(|scope| match scope {
            Scope::Resource(resource) => Some(resource),
            Scope::Plain(_) => None,
        })
    }

    /// The resource scopes that permit this interaction on this type in this context. A resource
    /// may leave if it satisfies the filters of at least one (SMART: union within one context).
    pub fn permitting(
        &self,
        context: Context,
        resource_type: ResourceType,
        permission: Permissions,
    ) -> impl Iterator<Item = &ResourceScope> {
        self.resources().filter(move |scope| {
            scope.context == context
                && scope.resource_type == resource_type
                && scope.permissions.contains(permission)
        })
    }

    /// The set without the members that `keep` refuses.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&Scope) -> bool) -> Self {
        Self(self.0.iter().filter(|scope| keep(scope)).cloned().collect())
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        // Same reach but for the permissions: one member with their union.
        let mut plain = Vec::new();
        let mut merged: BTreeMap<_, (Permissions, super::Spelling)> = BTreeMap::new();
        for scope in scopes {
            match scope {
                Scope::Plain(p) => plain.push(Scope::Plain(p)),
                Scope::Resource(r) => {
                    let entry = merged
                        .entry((r.context, r.resource_type, r.filters))
                        .or_insert((Permissions::NONE, r.spelling));
                    entry.0 = entry.0.union(r.permissions);
                    entry.1 = entry.1.min(r.spelling);
                }
            }
        }
        let resources: Vec<_> = merged
            .into_iter()
            .map(|((context, resource_type, filters), (permissions, spelling))| ResourceScope {
                context,
                resource_type,
                filters,
                permissions,
                spelling,
            })
            .collect();
        // A member says all that may be done with what it names, also what a wider member of the same
        // type permits; it stays only if it permits more than those. That depends on nothing but what
        // the set grants, so sets that grant the same are the same value.
        let alike = |a: &ResourceScope, b: &ResourceScope| {
            (a.context, a.resource_type) == (b.context, b.resource_type)
        };
        let needed = resources.chunk_by(alike).flat_map(|group| {
            group.iter().filter_map(|scope| {
                let wider = group.iter().filter(|other| other.names_more_than(scope));
                let below = wider.fold(Permissions::NONE, |sum, o| sum.union(o.permissions));
                let permissions = scope.permissions.union(below);
                let spelling = scope.spelling.fitting(permissions);
                (permissions != below).then(|| {
                    Scope::Resource(ResourceScope { permissions, spelling, ..scope.clone() })
                })
            })
        });
        plain.sort();
        plain.dedup();
        plain.extend(needed);
        Self(plain)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            scope.fmt(f)?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ScopeSet {
    type Error = ScopeRequestError;
    fn try_from(text: String) -> Result<Self, ScopeRequestError> {
        Self::parse(&text)
    }
}

impl From<ScopeSet> for String {
    fn from(set: ScopeSet) -> Self {
        set.to_string()
    }
}
