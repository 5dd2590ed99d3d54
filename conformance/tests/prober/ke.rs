//! The key exchange server and the adaptor around it that breaks one promise, as the requirement tests have them.

#[path = "../requirements/ke/fault.rs"]
mod fault;
#[path = "../requirements/ke/lab.rs"]
pub mod lab;
#[path = "../requirements/ke/octets.rs"]
pub mod octets;

pub use fault::{FAULTS, Fault};
