//! Questions to the key exchange server.

use noonmark_conformance::check::{self, Check};

use crate::{FaultKind, Lab};

/// The checks, section by section.
pub const CHECKS: &[&[Check<Lab>]] = &[];

/// The faults.
pub const FAULTS: &[check::Fault<FaultKind>] = &[];

/// What an adaptor around the key exchange server does wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {}
