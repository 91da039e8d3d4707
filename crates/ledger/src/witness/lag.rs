//! How late the witnesses are, and what that means: a pure function of times. A log with nothing newer
//! than what they cosigned is never late, however long it is silent.

/// What has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// A quorum has cosigned for the first time since the start.
    Began,
    /// The newest cosigned checkpoint is older than allowed while there is a newer one.
    FellBehind,
    /// A quorum has cosigned again.
    CaughtUp,
}

/// The state of the lag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lag {
    max_ms: i64,
    /// When the newest cosigned checkpoint was cosigned, in milliseconds; or when waiting began.
    newest: i64,
    began: bool,
    behind: bool,
}

impl Lag {
    /// Nothing is late yet. `newest` is when the newest cosigned checkpoint was cosigned, or now.
    pub const fn new(max_ms: i64, newest: i64) -> Self {
        Self { max_ms, newest, began: false, behind: false }
    }

    /// Whether the witnesses are later than allowed.
    pub const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Milliseconds since the newest cosignature.
    pub fn lag_ms(&self, now: i64) -> i64 {
        now.saturating_sub(self.newest).max(0)
    }

    /// The newest checkpoint there is has been cosigned by a quorum.
    pub fn met(&mut self, now: i64) -> Option<Turn> {
        self.newest = self.newest.max(now);
        let turn = match (self.began, self.behind) {
            (_, true) => Some(Turn::CaughtUp),
            (false, false) => Some(Turn::Began),
            (true, false) => None,
        };
        (self.began, self.behind) = (true, false);
        turn
    }

    /// There is nothing newer than what a quorum has cosigned.
    pub fn idle(&mut self, now: i64) {
        self.newest = self.newest.max(now);
    }

    /// There is a newer checkpoint, and no quorum for it.
    pub fn unmet(&mut self, now: i64) -> Option<Turn> {
        // A clock that was set back must not make the witnesses early for as long.
        self.newest = self.newest.min(now);
        let late = self.lag_ms(now) > self.max_ms;
        let turn = (late && !self.behind).then_some(Turn::FellBehind);
        self.behind |= late;
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_something_newer_can_be_late_and_each_change_is_told_once() {
        let mut lag = Lag::new(1000, 0);
        assert_eq!(lag.unmet(1000), None);
        assert_eq!(lag.unmet(1001), Some(Turn::FellBehind));
        assert_eq!((lag.unmet(9000), lag.is_behind()), (None, true));
        assert_eq!(lag.met(9100), Some(Turn::CaughtUp));
        assert_eq!(lag.met(9200), None);
        lag.idle(50_000);
        assert_eq!(lag.unmet(51_000), None);
        assert_eq!(lag.unmet(51_001), Some(Turn::FellBehind));
    }

    #[test]
    fn the_first_quorum_is_told() {
        let mut lag = Lag::new(1000, 0);
        assert_eq!(lag.met(10), Some(Turn::Began));
        assert_eq!(lag.met(20), None);
    }

    #[test]
    fn a_clock_set_back_gives_no_extra_time() {
        let mut lag = Lag::new(1000, 1_000_000);
        assert_eq!(lag.unmet(5000), None);
        assert_eq!(lag.unmet(6001), Some(Turn::FellBehind));
    }
}
