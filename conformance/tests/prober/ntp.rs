//! The responder and the adaptor around it that breaks one promise, as the requirement tests have them.

#[path = "../requirements/ntp/adaptor.rs"]
mod adaptor;
#[path = "../requirements/ntp/fault.rs"]
mod fault;
#[path = "../requirements/ntp/lab.rs"]
pub mod lab;
#[path = "../requirements/ntp/octets.rs"]
pub mod octets;
#[path = "../requirements/ntp/past.rs"]
mod past;

pub use fault::{FAULTS, Fault};
