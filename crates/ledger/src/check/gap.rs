//! What verification can find, as one table: every kind has a stable name, a weight and a meaning.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Worth knowing; proves nothing wrong.
    Note,
    /// Something could not be proven.
    Unproven,
    /// The ledger is not what it was.
    Broken,
}

macro_rules! gaps {
    ($($name:ident, $id:literal, $weight:ident, $meaning:literal;)*) => {
        /// A kind of finding.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum GapKind { $(#[doc = $meaning] $name,)* }

        impl GapKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its stable name.
            pub const fn id(self) -> &'static str { match self { $(Self::$name => $id,)* } }

            /// How much it weighs.
            pub const fn weight(self) -> Weight { match self { $(Self::$name => Weight::$weight,)* } }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str { match self { $(Self::$name => $meaning,)* } }
        }
    };
}

gaps! {
    Empty, "empty", Broken, "there is no ledger here";
    SegmentMissing, "segment-missing", Broken, "segments are missing";
    SegmentHeader, "segment-header", Broken, "a segment's header is damaged";
    SegmentMismatch, "segment-mismatch", Broken, "a segment does not go on where the one before ended";
    TrailingData, "trailing-data", Broken, "a closed segment has bytes after its last batch";
    Damaged, "damaged", Broken, "bytes that are no batch stand before a whole batch";
    TornTail, "torn-tail", Unproven, "the last bytes are no whole batch: cut, changed, or a crash not yet recovered";
    BatchForeign, "batch-foreign", Broken, "a batch belongs to another stream or segment";
    BatchOrder, "batch-order", Broken, "a batch is missing, repeated or out of order";
    ChainBroken, "chain-broken", Broken, "a batch does not name the batch before it";
    RecordMalformed, "record-malformed", Broken, "a record's bytes are out of form";
    RecordForeign, "record-foreign", Broken, "a record belongs to another stream";
    RecordOrder, "record-order", Broken, "a record is missing, repeated or out of order";
    RecordUnknown, "record-unknown", Broken, "a record's kind or outcome is not one of the closed list";
    TimeBack, "time-back", Broken, "a record is older than the one before it";
    PeriodWrong, "period-wrong", Broken, "a record's time lies outside its key's month";
    DayWrong, "day-wrong", Broken, "a record's time lies outside its signing key's day";
    TreeMismatch, "tree-mismatch", Broken, "the records do not give the tree that the batch names";
    DayKeyMissing, "day-key-missing", Broken, "no certificate of a day key could be read where one must stand";
    DayKeyUncertified, "day-key-uncertified", Broken, "a day key is not certified by the stable key and the day before";
    CheckpointMissing, "checkpoint-missing", Unproven, "there is no signed checkpoint beside the ledger";
    CheckpointMalformed, "checkpoint-malformed", Broken, "the checkpoint is out of form or of another log";
    CheckpointSignature, "checkpoint-signature", Broken, "the checkpoint is not signed by the log's stable key";
    CheckpointDayKey, "checkpoint-day-key", Broken, "the checkpoint is not signed by the day's key";
    CheckpointAhead, "checkpoint-ahead", Broken, "the ledger is smaller than a checkpoint that was signed: cut or rolled back";
    CheckpointFork, "checkpoint-fork", Broken, "the ledger differs from what a checkpoint signed: changed, or a fork";
    CheckpointUncompared, "checkpoint-uncompared", Unproven, "a checkpoint could not be compared because of damage before it";
    Unsigned, "unsigned", Unproven, "records are not yet covered by a signed checkpoint";
    NothingExpected, "nothing-expected", Unproven, "no checkpoint from outside was given, so a rollback of everything would not show";
    RecentlyUnsigned, "recently-unsigned", Note, "the latest records await their checkpoint";
    Silence, "silence", Note, "no record and no heartbeat for a while without a stop; a start or a clock step explains it";
    ClockStep, "clock-step", Note, "the clock stepped";
    Recovered, "recovered", Note, "a damaged tail was set aside at a start";
    SilenceUnexplained, "silence-unexplained", Unproven, "no record and no heartbeat for a while, and neither a stop, a start nor a clock step says why";
    StreamVanished, "stream-vanished", Broken, "the database knows a stream whose log is not here";
    StreamSilent, "stream-silent", Unproven, "another node's stream was not closed, and the database got no checkpoint of it for ten minutes";
    ManifestUnread, "manifest-unread", Unproven, "the database, which knows all streams, could not be asked";
    TagWrong, "tag-wrong", Broken, "a record does not open, or its search tokens are not those of what it says";
    Shredded, "shredded", Note, "a month past its retention was shredded; its segments are gone, and the tree goes on";
    WormMissing, "worm-missing", Broken, "a locked copy that the ledger names is gone before its time";
    WormDiffers, "worm-differs", Broken, "a segment is not what its locked copy holds";
    WormUnlocked, "worm-unlocked", Broken, "a copy is not locked in compliance mode for as long as the ledger says";
    WormHidden, "worm-hidden", Note, "a locked copy is hidden under a delete marker or a newer version";
    WormUncopied, "worm-uncopied", Note, "a closed segment has no locked copy yet";
    WormUncompared, "worm-uncompared", Unproven, "a segment could not be compared with its locked copy";
    CheckpointUncosigned, "checkpoint-uncosigned", Unproven, "the checkpoint does not carry the witnesses' cosignatures that were asked for";
}

impl Serialize for GapKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// Where in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Place {
    /// The segment's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// The byte offset in the segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The record's sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Gap {
    /// What it is.
    pub kind: GapKind,
    /// Where it is.
    pub place: Place,
    /// The particulars; never PHI.
    pub detail: String,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.id(), self.kind.meaning())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        let places = [
            ("segment", self.place.segment.map(u64::from)),
            ("offset", self.place.offset),
            ("record", self.place.seq),
        ];
        for (name, value) in places {
            if let Some(value) = value {
                write!(f, ", {name} {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for kind in GapKind::ALL {
            assert_eq!(GapKind::ALL.iter().filter(|k| k.id() == kind.id()).count(), 1);
        }
    }
}
