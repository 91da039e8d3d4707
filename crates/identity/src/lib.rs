//! Who is at the keyboard. OAuth is not authentication, hence a room of its own: a password is
//! checked in a bounded pool and in the same time whether the account exists or not; strangers slow
//! themselves down and lock nobody out; a session is a secret of which only a keyed hash is kept.

mod fault;
mod password;
mod session;
mod sign_in;
mod throttle;

use std::sync::Arc;

use domain::Clock;
use keys::Random;
use keys::opaque::HashKey;
use ledger::Ledger;
use store::Store;

pub use fault::Fault;
pub use password::{PasswordPool, Saturated};
pub use session::{SESSION_SECS, SignedIn};
pub use sign_in::{Attempt, Caller, Checked, Refusal};

/// Everything that signing people in needs.
#[derive(Clone)]
pub struct Identity {
    store: Store,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    hash_key: Arc<HashKey>,
    passwords: PasswordPool,
}

impl Identity {
    /// Puts the parts together.
    pub fn new(
        store: Store,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        hash_key: Arc<HashKey>,
    ) -> Result<Self, Fault> {
        let passwords = PasswordPool::new(&*random)?;
        Ok(Self { store, ledger, clock, random, hash_key, passwords })
    }

    /// The pool that hashes passwords, for setting one.
    pub const fn passwords(&self) -> &PasswordPool {
        &self.passwords
    }
}
