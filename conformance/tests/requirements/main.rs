//! Every requirement on the server side, asked of a server in this process, and the faults that show the questions have teeth.
//!
//! Two halves: `ke` puts its questions to the key exchange server, `ntp` to the responder. Each lists its checks and its
//! faults; [`noonmark_conformance::check::run`] does the rest.

mod ke;
mod ntp;

use std::process::ExitCode;

use noonmark_conformance::check::{self, Check, Effort, Fault};

/// What a check is given: how the server under test is broken, if at all, and how much may be spent. The server itself is
/// made by each half, in the shape its questions need.
pub struct Lab {
    /// The one promise that is broken.
    pub fault: Option<FaultKind>,
    /// What the check may cost.
    pub effort: Effort,
}

/// A fault of either half.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// Around the key exchange server.
    Ke(ke::Fault),
    /// Around the responder.
    Ntp(ntp::Fault),
}

fn main() -> ExitCode {
    let checks: Vec<Check<Lab>> = [ke::CHECKS, ntp::CHECKS]
        .into_iter()
        .flat_map(|sections| sections.iter().copied().flatten().copied())
        .collect();
    let faults: Vec<Fault<FaultKind>> =
        [ke::FAULTS, ntp::FAULTS].into_iter().flatten().copied().collect();
    let held = check::run(&checks, &faults, |fault, effort| Lab { fault, effort });
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
