use noonmark_units::{Mono, Timestamp};

/// The machine's two clocks read at the same instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The monotonic clock (`CLOCK_MONOTONIC`): runs at the system clock's rate, corrections of frequency included, but is never
    /// stepped.
    pub mono: Mono,
    /// The system clock (`CLOCK_REALTIME`), which is the one that is kept.
    pub real: Timestamp,
}
