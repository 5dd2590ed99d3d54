use noonmark_units::{Frequency, Span};

use crate::Authentication;

/// The rules by which a [`Keeper`](crate::Keeper) works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// When the clock is stepped rather than slewed.
    pub steps: StepRule,
    /// The fastest slew.
    pub max_slew: Frequency,
    /// The largest error that is slewed. One beyond it is stepped, or not corrected at all.
    pub largest_slewed: Span,
    /// Fewer sources that agree than this move nothing.
    pub min_sources: usize,
    /// A source whose time may be wrong by more than this is not followed.
    pub max_distance: Span,
    /// How proof of origin counts.
    pub authentication: Authentication,
    /// The largest correction of frequency that is believed to be an oscillator's; the kernel takes no more than 10 %.
    pub max_frequency: Frequency,
    /// By how much the oscillator's frequency may change beyond what it did before, for what no model foresees: temperature, a jolt.
    pub max_clock_error: Frequency,
}

/// When the clock is stepped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StepRule {
    /// Steps what is larger than this; `None`: never steps.
    pub threshold: Option<Span>,
    /// Only in the first so many updates of the clock; `None`: in all.
    pub updates: Option<u32>,
}

impl StepRule {
    /// Slews whatever it is.
    pub const NEVER: Self = Self { threshold: None, updates: None };

    /// Whether an error of `offset` is stepped when `updates` updates went before.
    pub(crate) fn steps(self, offset: Span, updates: u32) -> bool {
        self.threshold.is_some_and(|threshold| offset.abs() > threshold)
            && self.updates.is_none_or(|first| updates < first)
    }
}

impl Settings {
    /// A year would take twelve to be slewed at the fastest rate there is by default, so what is beyond it has other reasons than a clock
    /// that runs badly.
    pub const NEVER_SLEWED: Span = Span::from_seconds(365 * 86_400);
}

impl Default for Settings {
    /// Steps more than a second in the first three updates, as the packaged configurations of chrony do; slews by at most 1/12, and no more
    /// than a year.
    fn default() -> Self {
        Self {
            steps: StepRule { threshold: Some(Span::from_seconds(1)), updates: Some(3) },
            max_slew: Frequency::from_ppm(83_333.0),
            largest_slewed: Self::NEVER_SLEWED,
            min_sources: 1,
            authentication: Authentication::Prefer,
            max_distance: Span::from_seconds(3),
            max_frequency: Frequency::from_ppm(100_000.0),
            max_clock_error: Frequency::from_ppm(1.0),
        }
    }
}
