use noonmark_clock::{Adjusted, Adjustment, NotAdjusted, Reading, SystemClock};

use super::reading;

/// The machine's clock, only watched: whatever would be done to it is taken down and refused with the reason.
///
/// This is the clock under `clock = "observe"` and for a dry run.
#[derive(Clone, Debug)]
pub struct ObservedClock {
    reason: String,
    wished: Wished,
}

/// What would have been done to a clock that is only watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wished {
    /// How often another rate.
    pub rates: u64,
    /// How often a step.
    pub steps: u64,
    /// How often another status.
    pub statuses: u64,
    /// The last of these.
    pub last: Option<Adjustment>,
}

impl ObservedClock {
    /// A clock that is not to be touched, and why, as the end of a sentence: `the configuration says clock = "observe"`.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), wished: Wished::default() }
    }

    /// What would have been done so far.
    #[must_use]
    pub fn wished(&self) -> &Wished {
        &self.wished
    }
}

impl SystemClock for ObservedClock {
    fn read(&mut self) -> Reading {
        reading()
    }

    /// Always [`NotAdjusted::Failed`], with the reason given to [`ObservedClock::new`].
    fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted> {
        let what = match adjustment {
            Adjustment::Rate(rate) => {
                self.wished.rates += 1;
                format!("would run at {rate}")
            }
            Adjustment::Step(by) => {
                self.wished.steps += 1;
                format!("would step by {by}")
            }
            Adjustment::Status(status) => {
                self.wished.statuses += 1;
                let word = if status.synchronised { "synchronised" } else { "unsynchronised" };
                format!("would be marked {word}")
            }
        };
        self.wished.last = Some(*adjustment);
        Err(NotAdjusted::Failed(format!("the clock {what}, but is only watched: {}", self.reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_units::{Frequency, Span};

    #[test]
    fn what_would_be_done_is_refused_and_taken_down() {
        let mut clock = ObservedClock::new("this is a dry run");
        let check = |clock: &mut ObservedClock, adjustment: Adjustment, text: &str| {
            let refused = clock.adjust(&adjustment).expect_err("never touched");
            assert_eq!(refused, NotAdjusted::Failed(text.into()));
        };
        let step = Adjustment::Step(Span::from_seconds(-2));
        check(
            &mut clock,
            Adjustment::Rate(Frequency::from_ppm(1.5)),
            "the clock would run at +1.500 ppm, but is only watched: this is a dry run",
        );
        check(
            &mut clock,
            step,
            "the clock would step by -2.000 s, but is only watched: this is a dry run",
        );
        assert_eq!(*clock.wished(), Wished { rates: 1, steps: 1, statuses: 0, last: Some(step) });
    }
}
