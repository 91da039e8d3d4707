//! What can be wrong with a ledger, its keys or its surroundings before anything is read or written:
//! one table, in which every trouble has an exit code of its own for scripts. Nothing was changed.

macro_rules! troubles {
    ($($name:ident = $code:literal, $id:literal, $meaning:literal;)*) => {
        /// A trouble with an exit code of its own.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Trouble { $(#[doc = $meaning] $name,)* }

        impl Trouble {
            /// Every one, by exit code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The exit code; never reused.
            pub const fn exit_code(self) -> u8 { match self { $(Self::$name => $code,)* } }

            /// Its stable name.
            pub const fn id(self) -> &'static str { match self { $(Self::$name => $id,)* } }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str { match self { $(Self::$name => $meaning,)* } }
        }
    };
}

troubles! {
    NoLedger = 10, "no-ledger", "the directory holds no ledger";
    NewerFormat = 11, "newer-format", "the ledger is of a newer format than this program reads";
    ForeignKey = 12, "foreign-key", "the key fits no stream here";
    KeyDoesNotOpen = 13, "key-does-not-open", "a wrapped key does not open under this key-encryption key";
    KeyMissing = 14, "key-missing", "a key that the ledger needs is missing";
    ForeignCheckpoint = 15, "foreign-checkpoint", "the checkpoint is of another log, or is none";
    TimesContradict = 16, "times-contradict", "the times given contradict each other";
    Unreachable = 17, "unreachable", "a witness, bucket or collector cannot be reached";
    SecondPerson = 18, "second-person", "this takes two different people, and the second is missing";
    NotAllowed = 19, "not-allowed", "whoever asks does not have the role that this takes";
    InUse = 20, "in-use", "another process holds the ledger";
    Rollback = 21, "rollback", "the ledger is smaller than a checkpoint that was signed: cut or rolled back";
    Fork = 22, "fork", "the ledger is another history than the one that was signed";
    Corrupt = 23, "corrupt", "the ledger is damaged before its end";
    CheckpointMissing = 24, "checkpoint-missing", "the last checkpoint is gone, and without it a rollback would not show";
    NotWritable = 25, "not-writable", "the disk is full, read-only or failing";
    Held = 26, "held", "a legal hold keeps these records";
    TooYoung = 27, "too-young", "the retention of these records is not over";
    NoCopy = 28, "no-copy", "there is no good copy to repair from";
    WitnessState = 29, "witness-state", "the witness's memory of what it cosigned is missing, damaged, older than it was or another witness's";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_stay_clear_of_the_common_ones() {
        for trouble in Trouble::ALL {
            let same = |other: &&Trouble| {
                other.exit_code() == trouble.exit_code() || other.id() == trouble.id()
            };
            assert_eq!(Trouble::ALL.iter().filter(same).count(), 1);
            assert!((10..64).contains(&trouble.exit_code()));
        }
    }
}
