//! A handle for the next page: the upstream's own link, sealed together with the search it continues
//! for one client, person, grant, patient and set of scopes, for a quarter of an hour. Nothing is
//! stored, any node opens it, and it opens for nobody else (`gateway.md`, row 18).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ResourceType, Timestamp};
use keys::seal::{SealKey, open_random, seal_random};
use keys::{KeyFault, Random};
use serde::{Deserialize, Serialize};

/// How long a handle opens, in seconds.
const LIFE: i64 = 900;

/// What a handle holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Continuation {
    /// The type searched.
    kind: String,
    /// What follows the upstream's base.
    pub(crate) rest: String,
    /// The canonical search that is continued.
    pub(crate) query: String,
    expires: Timestamp,
}

impl Continuation {
    pub(crate) fn new(kind: ResourceType, rest: &str, query: String, now: Timestamp) -> Self {
        let expires = now.plus_secs(LIFE);
        Self { kind: kind.name().to_owned(), rest: rest.to_owned(), query, expires }
    }

    /// The handle; `holder` is whom it opens for.
    pub(crate) fn seal(
        &self,
        key: &SealKey,
        random: &dyn Random,
        holder: &str,
    ) -> Result<String, KeyFault> {
        let text = serde_json::to_vec(self).map_err(|_| KeyFault)?;
        Ok(URL_SAFE_NO_PAD.encode(seal_random(key, random, holder.as_bytes(), &text)?))
    }

    /// Opens a handle; whatever is wrong with it, there is no such page.
    pub(crate) fn open(
        handle: &str,
        key: &SealKey,
        holder: &str,
        kind: ResourceType,
        now: Timestamp,
    ) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let text = open_random(key, holder.as_bytes(), &sealed).ok()?;
        let found: Self = serde_json::from_slice(&text).ok()?;
        (found.kind == kind.name() && now < found.expires).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use keys::SystemRandom;

    use super::*;

    #[test]
    fn a_handle_opens_for_its_holder_type_and_time_only_row_18() {
        let key = SealKey::new(&[7; 32]).unwrap();
        let (now, kind) = (Timestamp::from_secs(1_000), ResourceType::Observation);
        let page = Continuation::new(kind, "?_getpages=secret", "code=x".into(), now);
        let handle = page.seal(&key, &SystemRandom, "amina").unwrap();
        let open =
            |handle: &str, holder, kind, now| Continuation::open(handle, &key, holder, kind, now);
        assert_eq!(open(&handle, "amina", kind, now), Some(page));
        assert_eq!(open(&handle, "brook", kind, now), None);
        assert_eq!(open(&handle, "amina", ResourceType::Condition, now), None);
        assert_eq!(open(&handle, "amina", kind, now.plus_secs(LIFE)), None);
        assert_eq!(open(handle.split_at(1).1, "amina", kind, now), None);
        assert_eq!(open("", "amina", kind, now), None);
        assert!(!handle.contains("getpages"));
    }
}
