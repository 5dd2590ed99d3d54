//! A network and a clock in virtual time, to judge what keeps a clock.
//!
//! A [`World`] is one machine with an imperfect oscillator ([`SimClock`] over an [`Oscillator`]), the paths to its servers
//! ([`Path`]) and the servers ([`Host`]), which answer whole packets. A [`Node`] is the program under test: it is told of packets and
//! of time, and says what to send and how to adjust the clock. True time is known, so every second its error is too
//! ([`Record`]). The same seed gives the same run, bit for bit.
//!
//! [`ScenarioFile`] reads conditions and other programs' figures from JSON. [`Informed`] is a filter that knows more than a client can;
//! it is there to check the world itself.
//!
//! Not simulated: queues (packets overtake each other), time a program takes to run, noise in reading clocks and in kernel
//! stamps, interrupts, temperature other than as a sine or a step of frequency.

mod clock;
pub mod daemon;
pub mod figures;
mod host;
mod kalman;
mod metrics;
mod oscillator;
mod path;
mod random;
pub mod report;
mod scenario;
mod svg;
pub mod trial;
mod variant;
mod world;

/// The scenarios of this repository, and chronyd's figures in them.
pub const OUR_SCENARIOS: &str = include_str!("../scenarios/accuracy.json");

pub use clock::SimClock;
pub use daemon::Daemon;
pub use host::{Host, TimeServer};
pub use kalman::Informed;
pub use metrics::Record;
pub use oscillator::Oscillator;
pub use path::Path;
pub use random::Seeded;
pub use scenario::{
    ClockModel, Defaults, Figures, Model, PathModel, Scenario, ScenarioFile, ServerModel,
};
pub use variant::{StepRule, Variant};
pub use world::{Delivery, Direction, Intention, Meddler, Node, Passing, START, World};
