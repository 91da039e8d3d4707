//! What the ledger records: a closed list of kinds and outcomes with codes that never change, since
//! they stand in records that are kept for years.

use crate::Reject;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What happened. The code is the record's `kind`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Kind { $($(#[doc = $doc])* $name,)* }

        impl Kind {
            /// Every kind, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code in the record's clear header.
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The name shown to people and scripts.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in one line.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*),)* }
            }

            /// The kind of this code.
            pub fn from_code(code: u16) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The stream was opened for the first time; names its keys.
    StreamOpened = 1, "stream.opened";
    /// A damaged, never acknowledged tail was set aside at start.
    Recovered = 2, "stream.recovered";
    /// The process ended in order.
    Stopped = 3, "stream.stopped";
    /// Nothing else happened for a while; silence is visible.
    Heartbeat = 4, "stream.heartbeat";
    /// The clock went back, or jumped.
    ClockStep = 5, "stream.clock_step";
    /// A signing key, period key or day key was made, certified or retired.
    KeyEvent = 6, "key.event";
    /// An authorization request arrived.
    AuthorizationRequested = 16, "authorization.requested";
    /// A person signed in, or failed to.
    SignIn = 17, "authn.sign_in";
    /// A person allowed a client something, or declined.
    ConsentGiven = 18, "consent.given";
    /// A grant ended: by its person, by an administrator, or because something was replayed.
    ConsentWithdrawn = 19, "consent.withdrawn";
    /// A token was issued for a code, client credentials or a password.
    TokenIssued = 20, "token.issued";
    /// A token was issued for a refresh token.
    TokenRefreshed = 21, "token.refreshed";
    /// A client asked about a token.
    TokenIntrospected = 22, "token.introspected";
    /// A client gave a token back.
    TokenRevoked = 23, "token.revoked";
    /// A person's claims were read at the userinfo endpoint.
    UserInfoRead = 24, "userinfo.read";
    /// A token endpoint refused.
    TokenRefused = 25, "token.refused";
    /// PHI is about to leave; one record for each patient disclosed.
    PhiRelease = 32, "phi.release";
    /// The gateway refused, or found nothing within reach.
    PhiDenied = 33, "phi.denied";
    /// A change is about to be forwarded.
    PhiIntent = 34, "phi.intent";
    /// What became of a forwarded change.
    PhiOutcome = 35, "phi.outcome";
    /// A record was opened in an emergency, beyond what was granted before.
    BreakGlass = 36, "phi.break_glass";
    /// A client, person or setting was changed by an administrator.
    AdminChange = 48, "admin.change";
    /// The ledger was read or searched, or a record of it was shown.
    LedgerRead = 49, "ledger.read";
    /// The rules by which both engines decide were changed.
    PolicyChange = 50, "policy.change";
    /// A report was made of the ledger.
    ReportRun = 51, "report.run";
    /// Records left the ledger in another form.
    LedgerExported = 52, "ledger.exported";
    /// Witnesses began, stopped or resumed to vouch for the ledger.
    LedgerWitnessed = 53, "ledger.witnessed";
    /// A closed segment was copied to locked storage.
    LedgerArchived = 54, "ledger.archived";
    /// A segment was brought back from the locked copy.
    LedgerRepaired = 55, "ledger.repaired";
    /// Records were put under a legal hold.
    HoldPlaced = 56, "hold.placed";
    /// A legal hold was lifted.
    HoldReleased = 57, "hold.released";
    /// A month's sealing key was destroyed, after its retention.
    LedgerShredded = 58, "ledger.shredded";
    /// A backup was made.
    BackupMade = 59, "backup.made";
    /// A backup was restored; a new stream goes on.
    BackupRestored = 60, "backup.restored";
    /// The locked copies were checked; names each that is missing, changed, unlocked or hidden.
    CopyChecked = 61, "ledger.copy_checked";
}

/// How it ended. The code is the record's `outcome`: 0 is success, every other is a [`Reject`]'s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused, for this reason.
    Refused(Reject),
    /// It failed through no fault of the caller's.
    Fault,
}

impl Outcome {
    const FAULT: u8 = 255;

    /// The code in the record's clear header.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Refused(reject) => reject.code(),
            Self::Fault => Self::FAULT,
        }
    }

    /// The outcome of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            Self::FAULT => Some(Self::Fault),
            code => Reject::from_code(code).map(Self::Refused),
        }
    }

    /// The name shown to people and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused(reject) => reject.event(),
            Self::Fault => "fault",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_are_unique() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(*kind));
            assert_eq!(Kind::ALL.iter().filter(|k| k.as_str() == kind.as_str()).count(), 1);
        }
        for code in 0..=255 {
            if let Some(outcome) = Outcome::from_code(code) {
                assert_eq!(outcome.code(), code);
            }
        }
    }
}
