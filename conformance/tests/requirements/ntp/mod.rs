//! Questions to the responder, which answers NTP with and without NTS.

mod adaptor;
mod cookies;
mod era;
mod fault;
mod fields;
mod interleaved;
mod kiss;
mod lab;
mod leap;
mod memory;
mod nts;
mod octets;
mod past;
mod socket;
mod wire;

use noonmark_conformance::check::{self, Check};

use crate::{FaultKind, Lab};

pub use fault::Fault;

/// The checks, section by section.
pub const CHECKS: &[&[Check<Lab>]] = &[
    fields::CHECKS,
    nts::CHECKS,
    cookies::CHECKS,
    wire::CHECKS,
    kiss::CHECKS,
    era::CHECKS,
    leap::CHECKS,
    interleaved::CHECKS,
];

/// The faults.
pub const FAULTS: &[check::Fault<FaultKind>] = fault::FAULTS;
