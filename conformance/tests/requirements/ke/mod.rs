//! Questions to the key exchange server (RFC 8915 §3 and §4).
//!
//! [`lab`] has the server and a client that says anything; [`fault`] a server with one thing wrong, which answers the same
//! questions; [`octets`] messages by hand. The checks: [`transport`] for TLS and framing, [`session`] for limits and time,
//! [`records`] for what is asked and answered, [`export`] for the keys, which [`ntp`] tries on the responder.

mod export;
mod fault;
mod lab;
mod ntp;
pub mod octets;
mod records;
mod session;
mod transport;

use noonmark_conformance::check::{self, Check};

pub use self::fault::Fault;
use crate::{FaultKind, Lab};

/// The checks, section by section.
pub const CHECKS: &[&[Check<Lab>]] =
    &[transport::CHECKS, session::CHECKS, records::CHECKS, export::CHECKS];

/// The faults.
pub const FAULTS: &[check::Fault<FaultKind>] = fault::FAULTS;
