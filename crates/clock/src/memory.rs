use noonmark_units::Frequency;

/// What a keeper remembers over a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// The correction of the oscillator's frequency: how much faster than it the clock has to run.
    pub frequency: Frequency,
    /// Standard deviation of that.
    pub skew: Frequency,
}
