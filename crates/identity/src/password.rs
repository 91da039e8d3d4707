//! Argon2id in a bounded pool: a storm of sign-ins queues up to a limit and is then told to come
//! back, while everything that needs no password goes on (attack D7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use domain::Secret;
use keys::Random;
use tokio::sync::Semaphore;

use crate::Fault;

/// How many hashes run at once; each takes 19 MiB and a core (OWASP: m=19456, t=2, p=1).
const AT_ONCE: usize = 2;
/// How many may wait; at some 40 ms each that is a few seconds.
const WAITING: usize = 64;
/// Longer passwords are refused before hashing.
const MAX_BYTES: usize = 1_024;

/// The pool has more waiting than it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saturated;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub struct PasswordPool {
    permits: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    /// Verified against when there is no account, so that absence takes as long as a wrong password.
    decoy: Arc<str>,
}

/// Counts one caller inside the pool for as long as it lives.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PasswordPool {
    /// An empty pool.
    ///
    /// # Errors
    /// [`Fault::Keys`] if there is no randomness.
    pub fn new(random: &dyn Random) -> Result<Self, Fault> {
        let mut nobody = [0_u8; 32];
        random.fill(&mut nobody)?;
        let decoy = hash(&nobody, random)?;
        Ok(Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            inside: Arc::new(AtomicUsize::new(0)),
            decoy: decoy.into(),
        })
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// [`Fault::Keys`] if hashing fails.
    pub fn hash(&self, password: &Secret<String>, random: &dyn Random) -> Result<String, Fault> {
        hash(password.expose().as_bytes(), random)
    }

    /// Whether the password is the one of this PHC string; without one, `false` after the same work.
    ///
    /// # Errors
    /// [`Saturated`] when too many wait.
    pub async fn verify(
        &self,
        password: Secret<String>,
        phc: Option<Secret<String>>,
    ) -> Result<bool, Saturated> {
        if self.inside.fetch_add(1, Ordering::AcqRel) >= WAITING + AT_ONCE {
            self.inside.fetch_sub(1, Ordering::AcqRel);
            return Err(Saturated);
        }
        let place = Place(Arc::clone(&self.inside));
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Saturated)?;
        let decoy = Arc::clone(&self.decoy);
        let work = tokio::task::spawn_blocking(move || {
            let _held = (permit, place);
            let exists = phc.is_some();
            let expected = phc.as_ref().map_or(&*decoy, |phc| phc.expose().as_str());
            let fits = password.expose().len() <= MAX_BYTES
                && Argon2::default()
                    .verify_password(password.expose().as_bytes(), expected)
                    .is_ok();
            fits && exists
        });
        work.await.map_err(|_| Saturated)
    }
}

fn hash(password: &[u8], random: &dyn Random) -> Result<String, Fault> {
    if password.len() > MAX_BYTES {
        return Err(Fault::Keys);
    }
    let mut salt = [0_u8; 16];
    random.fill(&mut salt)?;
    let hashed =
        Argon2::default().hash_password_with_salt(password, &salt).map_err(|_| Fault::Keys)?;
    Ok(hashed.to_string())
}

#[cfg(test)]
mod tests {
    use keys::SystemRandom;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn the_right_password_verifies_and_nothing_else() {
        let pool = PasswordPool::new(&SystemRandom).unwrap();
        let phc = pool.hash(&secret("correct horse"), &SystemRandom).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(pool.verify(secret("correct horse"), Some(secret(&phc))).await.unwrap());
        assert!(!pool.verify(secret("correct hors"), Some(secret(&phc))).await.unwrap());
        assert!(!pool.verify(secret("anything"), None).await.unwrap());
        assert!(!pool.verify(secret("anything"), Some(secret("not a hash"))).await.unwrap());
    }

    #[tokio::test]
    async fn a_storm_is_told_to_come_back() {
        let pool = PasswordPool::new(&SystemRandom).unwrap();
        let storm: Vec<_> = (0..WAITING + AT_ONCE + 20)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.verify(secret("x"), None).await })
            })
            .collect();
        let mut refused = 0;
        for attempt in storm {
            refused += usize::from(attempt.await.unwrap() == Err(Saturated));
        }
        assert!(refused >= 1, "{refused} refused");
        assert_eq!(pool.verify(secret("x"), None).await, Ok(false), "the pool recovers");
    }
}
