//! From answers of servers to corrections of a clock.
//!
//! [`Keeper`] is the whole of it, as a machine: answers and instants come in, corrections and paces come out. It does no I/O, reads
//! no clock and owns no randomness, so a recorded trace replays bit for bit. What an answer goes through:
//!
//! 1. It is put on the time of the undisciplined oscillator (`ledger`), so that our own corrections never disturb what is learned.
//! 2. Its round trip teaches what the way to the server is like (`path`): the least delay, how much queueing there is and on which
//!    side (`track`), and whether the way has changed.
//! 3. It bounds where the truth can be (`bounds`) and how fast that can move while the oscillator is unknown (`rates`), and the sources'
//!    bounds decide who is right (`selection`).
//! 4. Those followed feed one estimate of offset and frequency (`bank`): estimators that differ in how fast they let the oscillator
//!    wander, believed by how well they foresee. Each way's unknowable bias is part of the estimate, so several ways help each other
//!    and a change of way does not blind it.
//! 5. The clock is led where the estimate says (`keeper`), by frequency and bounded slews, by steps only where a rule has them, and only
//!    within what the [`guard`] permits.
//!
//! Absent on purpose: sockets, names and keys (`client`), system calls (`os`), and reference clocks.
//!
//! Covered: RFC 5905 §11.2 (selection, by intersection as there, otherwise by its own lights) and what RFC 5905 leaves to the
//! implementation: filter, combination and discipline.
#![forbid(unsafe_code)]

mod adjustment;
mod bank;
mod bounds;
#[cfg(test)]
mod dice;
mod estimator;
mod gaussian;
pub mod guard;
mod keeper;
pub mod leap;
mod ledger;
mod local;
mod memory;
mod pace;
mod path;
mod rates;
mod reading;
mod sample;
mod selection;
mod settings;
mod source;
mod track;
mod tracking;

pub use adjustment::{Adjusted, Adjustment, KernelStatus, NotAdjusted, SystemClock};
pub use keeper::{Keeper, Output};
pub use local::{Known, LocalClock, LocalRule};
pub use memory::Memory;
pub use reading::Reading;
pub use sample::Sample;
pub use selection::{Authentication, SourceState};
pub use settings::{Settings, StepRule};
pub use source::{SourceId, SourceOptions};
pub use tracking::{ClockState, SourceReport, Tracking};
