//! Slowing down guessers. Failures are counted in the store, so every node sees them; the narrow
//! count (this name from this address) is claimed before the password is looked at, so a parallel
//! burst gains nothing; strangers elsewhere, however many, cannot keep a person out of where they
//! signed in within the day.

use std::net::{IpAddr, Ipv6Addr};

use domain::Timestamp;
use keys::opaque::TokenHash;

use crate::{Fault, Identity};

/// Over how long failures count.
const WINDOW_SECS: i64 = 60;

/// For how long an address stays known after a sign-in from it.
const KNOWN_SECS: i64 = 86_400;

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
    /// Sign-ins of this name from this address.
    known: TokenHash,
}

impl Identity {
    pub(crate) fn counters(&self, username: &str, address: IpAddr) -> Counters {
        let address = network(address);
        let keys = LIMITS.map(|(counted, limit)| {
            let text = match counted {
                Counted::NameFromAddress => format!("{address}\n{username}"),
                Counted::Address => format!("{address}\n"),
                Counted::Name => format!("\n{username}"),
            };
            (counted, self.hash_key.hash_text("sign-in attempts", &text), limit)
        });
        let known = self.hash_key.hash_text("sign-ins", &format!("{address}\n{username}"));
        Counters { keys, known }
    }

    /// Claims an attempt; `false` when there were too many.
    pub(crate) async fn claim(&self, counters: &Counters, now: Timestamp) -> Result<bool, Fault> {
        let since = now.plus_secs(-WINDOW_SECS);
        for (counted, key, limit) in &counters.keys {
            if *counted == Counted::NameFromAddress {
                self.store.record_attempt(key, now).await?;
            }
            if self.store.attempts_since(key, since).await? > *limit {
                // Many strangers guess at this name; whoever is known here is not one of them.
                let day = now.plus_secs(-KNOWN_SECS);
                let is_known = *counted == Counted::Name
                    && self.store.attempts_since(&counters.known, day).await? > 0;
                if !is_known {
                    return Ok(false);
                }
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

    /// Forgets the claims of one who proved to be who they say, and remembers from where.
    pub(crate) async fn forgive(&self, counters: &Counters, now: Timestamp) -> Result<(), Fault> {
        for (counted, key, _) in &counters.keys {
            if *counted == Counted::NameFromAddress {
                self.store.clear_attempts(key).await?;
            }
        }
        self.store.clear_attempts(&counters.known).await?;
        Ok(self.store.record_attempt(&counters.known, now).await?)
    }
}

/// Whom an address stands for: a subscriber of IPv6 has a whole /64 to come from (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host_bits = u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host_bits))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_is_one_whatever_address_they_come_from() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
