//! Tokens that verified before, by their hash: only that the signature was good, and the claims that
//! it covers. Time is checked again on every use, and whether the token stands is asked every time;
//! issuer, audience and keys are the same for a gateway's whole life.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Reject, Timestamp};
use keys::access_token::{AccessTokenClaims, Expected, verify};
use keys::signing::KeyRing;

/// How many are remembered; about a kilobyte each.
const MAX_SEEN: usize = 8_192;

/// The tokens seen lately.
#[derive(Default)]
pub(crate) struct Seen {
    claims: Mutex<HashMap<[u8; 32], Arc<AccessTokenClaims>>>,
}

impl Seen {
    /// The claims of a token that is good at this moment.
    pub(crate) fn verify(
        &self,
        keys: &KeyRing,
        token: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Arc<AccessTokenClaims>, Reject> {
        let hash = keys::sha256(token.as_bytes());
        let known = self.lock().get(&hash).cloned();
        if let Some(claims) = known.filter(|claims| claims.iat <= now && now < claims.exp) {
            return Ok(claims);
        }
        let claims = Arc::new(verify(keys, token, expected, now)?);
        let mut seen = self.lock();
        if seen.len() >= MAX_SEEN {
            seen.retain(|_, claims| now < claims.exp);
        }
        if seen.len() < MAX_SEEN {
            seen.insert(hash, Arc::clone(&claims));
        }
        Ok(claims)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<AccessTokenClaims>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
