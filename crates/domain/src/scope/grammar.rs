//! Reading one scope token. What is not in the grammar is an error; a wildcard is its own kind.

use super::{
    Context, Permissions, PlainScope, ResourceScope, Scope, ScopeFilter, Spelling, WildcardScope,
};
use crate::ResourceType;

/// What one well-formed scope token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    Known(Scope),
    Wildcard(WildcardScope),
    /// Well-formed, but nothing of ours: dropped from a request (RFC 6749 §3.3).
    Unknown,
}

/// A scope token that follows no grammar we know, though it claims to be a resource scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

const MAX_TOKEN: usize = 512;

pub(super) fn read(token: &str) -> Result<Read, Malformed> {
    // scope-token = 1*( %x21 / %x23-5B / %x5D-7E ) (RFC 6749 §3.3)
    let lawful = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(lawful) {
        return Err(Malformed);
    }
    if let Some(plain) = PlainScope::ALL.iter().find(|p| p.as_str() == token) {
        return Ok(Read::Known(Scope::Plain(*plain)));
    }
    if is_foreign(token) {
        return Ok(Read::Unknown);
    }
    let (prefix, rest) = token.split_once('/').ok_or(Malformed)?;
    let context = [Context::Patient, Context::User, Context::System]
        .into_iter()
        .find(|context| context.as_str() == prefix);
    match context {
        Some(context) => resource(context, rest),
        None => Err(Malformed),
    }
}

/// A word, an absolute URI, or a launch context that is not offered: well-formed and none of ours.
/// Look-alikes of our own grammar (`system:Patient.read`, `Patient/*.read`) are not among them.
fn is_foreign(token: &str) -> bool {
    let word = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    word(token)
        || ["https://", "http://", "urn:"].iter().any(|scheme| token.starts_with(scheme))
        || ["launch/", "smart/"].iter().any(|p| token.strip_prefix(p).is_some_and(word))
}

fn resource(context: Context, rest: &str) -> Result<Read, Malformed> {
    let (selector, query) = match rest.split_once('?') {
        Some((selector, query)) => (selector, Some(query)),
        None => (rest, None),
    };
    let (type_name, letters) = selector.split_once('.').ok_or(Malformed)?;
    let resource_type = match type_name {
        "*" => None,
        name => Some(ResourceType::parse(name).map_err(|_| Malformed)?),
    };
    let (permissions, spelling) = match Permissions::parse_v2(letters) {
        Some(permissions) => (Some(permissions), Spelling::V2),
        None if letters == "*" => (None, Spelling::V1),
        None => (Some(Permissions::parse_v1(letters).ok_or(Malformed)?), Spelling::V1),
    };
    let (Some(resource_type), Some(permissions)) = (resource_type, permissions) else {
        // A wildcard with parameters has no expansion that would not guess.
        return match query {
            None => {
                Ok(Read::Wildcard(WildcardScope { context, resource_type, permissions, spelling }))
            }
            Some(_) => Err(Malformed),
        };
    };
    let mut filters = Vec::new();
    if let Some(query) = query {
        for pair in query.split('&') {
            filters.push(ScopeFilter::parse(resource_type, pair).map_err(|_| Malformed)?);
        }
        filters.sort();
        filters.dedup();
    }
    let scope = ResourceScope { context, resource_type, filters, permissions, spelling };
    Ok(Read::Known(Scope::Resource(scope)))
}
