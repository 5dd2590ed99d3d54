use noonmark_packet::Leap;
use noonmark_units::{Frequency, Span};

use crate::Reading;

/// What is to be done to the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjustment {
    /// Run, from now until the next such word, faster than the undisciplined oscillator by this much: the correction of its
    /// frequency and any slew together.
    Rate(Frequency),
    /// Move at once; positive is forward.
    Step(Span),
    /// Tell the kernel what is known of the clock, for other programs to read and for leap seconds.
    Status(KernelStatus),
}

/// What the kernel tells other programs about the clock (`adjtimex(2)`), and what it does at the end of the day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KernelStatus {
    /// Whether the clock follows a source: clears `STA_UNSYNC`.
    pub synchronised: bool,
    /// Bound on the clock's error (`maxerror`); the kernel lets it grow by itself.
    pub max_error: Span,
    /// Estimate of the clock's error (`esterror`).
    pub estimated_error: Span,
    /// The leap second the kernel shall carry out at the end of the UTC day.
    pub leap: Leap,
    /// TAI − UTC in seconds, if known.
    pub tai_offset: Option<i32>,
}

/// An adjustment that was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjusted {
    /// What was done. The rate or step is the one in effect, after whatever rounding the clock needs.
    pub adjustment: Adjustment,
    /// The clocks just after it took effect.
    pub at: Reading,
}

/// Why an adjustment was not made. The clock goes on as it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotAdjusted {
    /// The rules of the guard forbid it.
    Forbidden(String),
    /// The clock cannot, or we may not.
    Failed(String),
}

/// A clock that can be kept: the kernel's or a simulated one.
pub trait SystemClock {
    /// Reads both clocks at one instant.
    fn read(&mut self) -> Reading;

    /// Does it whole or not at all.
    ///
    /// # Errors
    /// [`NotAdjusted::Failed`] when the clock refuses, for example for want of the right to set it.
    fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted>;
}
