//! From answers of servers to corrections of a clock.
#![forbid(unsafe_code)]

mod adjustment;
pub mod guard;
mod reading;
mod sample;
mod source;

pub use adjustment::{Adjusted, Adjustment, KernelStatus, NotAdjusted, SystemClock};
pub use reading::Reading;
pub use sample::Sample;
pub use source::{SourceId, SourceOptions};
