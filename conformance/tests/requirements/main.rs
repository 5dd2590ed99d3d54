//! Every requirement, asked of a server or a client in this process, and the faults that show the questions have teeth.
//!
//! Three parts: `ke` puts its questions to the key exchange server, `ntp` to the responder, `client` to key exchange client and
//! association. Each lists its checks and its faults; [`noonmark_conformance::check::run`] does the rest.

mod client;
mod ke;
mod ntp;

use std::process::ExitCode;

use noonmark_conformance::check::{self, Check, Effort, Fault, Side};

/// What a check is given: how what is under test is broken, if at all, and how much may be spent. The server or client itself is
/// made by each part, in the shape its questions need.
pub struct Lab {
    /// The one promise that is broken.
    pub fault: Option<FaultKind>,
    /// What the check may cost.
    pub effort: Effort,
}

/// A fault of any part.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// Around the key exchange server.
    Ke(ke::Fault),
    /// Around the responder.
    Ntp(ntp::Fault),
    /// Around the client.
    Client(client::Fault),
}

fn main() -> ExitCode {
    let server = side(&[ke::CHECKS, ntp::CHECKS], &[ke::FAULTS, ntp::FAULTS]);
    let client = side(&[client::CHECKS], &[client::FAULTS]);
    let held = check::run(&[server, client], |fault, effort| Lab { fault, effort });
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn side(checks: &[&[&[Check<Lab>]]], faults: &[&[Fault<FaultKind>]]) -> Side<Lab, FaultKind> {
    Side {
        checks: checks.iter().flat_map(|part| part.iter().copied().flatten().copied()).collect(),
        faults: faults.iter().copied().flatten().copied().collect(),
    }
}
