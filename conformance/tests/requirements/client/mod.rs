//! Questions to the client: what it sends, what it takes for an answer, and when it asks.
//!
//! [`bench`] has an association in virtual time and a server whose answers can be bent anywhere; [`keys`] a key exchange client and
//! a server that says anything; [`fault`] what goes wrong between them. The checks: [`requests`] for what is sent, [`answers`] for
//! what is believed, [`fields`] for what is read behind a header, [`kisses`] for Kiss-o'-Death, [`pace`] for when it asks,
//! [`interleaved`] for RFC 9769, [`ports`] for sockets, [`leap`] for leap seconds, [`start`] for clocks that are far off.

mod answers;
mod bench;
mod exchange;
mod fault;
mod fields;
mod interleaved;
mod kept;
mod keys;
mod kisses;
mod leap;
mod pace;
mod ports;
mod requests;
/// The server of the client's own tests.
#[path = "../../../../crates/client/tests/simulated/server.rs"]
#[allow(dead_code, reason = "its other tests use more of it")]
mod server;
mod start;

use noonmark_conformance::check::{self, Check};

pub use self::fault::Fault;
use crate::{FaultKind, Lab};

/// The checks, section by section.
pub const CHECKS: &[&[Check<Lab>]] = &[
    kept::CHECKS,
    exchange::CHECKS,
    requests::CHECKS,
    answers::CHECKS,
    fields::CHECKS,
    kisses::CHECKS,
    pace::CHECKS,
    interleaved::CHECKS,
    ports::CHECKS,
    leap::CHECKS,
    start::CHECKS,
];

/// The faults.
pub const FAULTS: &[check::Fault<FaultKind>] = fault::FAULTS;
