//! Slowing down guessers. Failures are counted in the store, so every node sees them; the narrow
//! count (this name from this address) is claimed before the password is looked at, so a parallel
//! burst gains nothing; a stranger elsewhere cannot lock the person out.

use std::net::IpAddr;

use domain::Timestamp;
use keys::opaque::TokenHash;

use crate::{Fault, Identity};

/// Over how long failures count.
const WINDOW_SECS: i64 = 60;

/// What is counted, and how many are let through within the window.
const LIMITS: [(Counted, u32); 3] =
    [(Counted::NameFromAddress, 5), (Counted::Address, 60), (Counted::Name, 60)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    NameFromAddress,
    Address,
    Name,
}

/// One attempt's counters.
pub(crate) struct Counters {
    keys: [(Counted, TokenHash, u32); 3],
}

impl Identity {
    pub(crate) fn counters(&self, username: &str, address: IpAddr) -> Counters {
        let address = address.to_canonical();
        let keys = LIMITS.map(|(counted, limit)| {
            let text = match counted {
                Counted::NameFromAddress => format!("{address}\n{username}"),
                Counted::Address => format!("{address}\n"),
                Counted::Name => format!("\n{username}"),
            };
            (counted, self.hash_key.hash_text("sign-in attempts", &text), limit)
        });
        Counters { keys }
    }

    /// Claims an attempt; `false` when there were too many.
    pub(crate) async fn claim(&self, counters: &Counters, now: Timestamp) -> Result<bool, Fault> {
        let since = now.plus_secs(-WINDOW_SECS);
        for (counted, key, limit) in &counters.keys {
            if *counted == Counted::NameFromAddress {
                self.store.record_attempt(key, now).await?;
            }
            if self.store.attempts_since(key, since).await? > *limit {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Counts a failure against the address and the name.
    pub(crate) async fn count_failure(
        &self,
        counters: &Counters,
        now: Timestamp,
    ) -> Result<(), Fault> {
        for (counted, key, _) in &counters.keys {
            if *counted != Counted::NameFromAddress {
                self.store.record_attempt(key, now).await?;
            }
        }
        Ok(())
    }

    /// Forgets the claims of one who proved to be who they say.
    pub(crate) async fn forgive(&self, counters: &Counters) -> Result<(), Fault> {
        for (counted, key, _) in &counters.keys {
            if *counted == Counted::NameFromAddress {
                self.store.clear_attempts(key).await?;
            }
        }
        Ok(())
    }
}
