//! `cargo xtask bench`: how much processor time an answer and a handshake cost, beside other people's servers.
//!
//! Servers run in one network namespace and the generator of `conformance/rig` in another, joined by a pair of virtual
//! interfaces; servers are pinned to one processor and the generator to another. In every round each server is driven in
//! turn, so that what else the machine does falls on all alike. The figure of a server is the least processor time per
//! answer of all rounds; what is judged is the quotient of two such figures. `docs/performance.md` has the method.
//!
//! `cargo xtask bench overload` asks who is still answered while somebody floods a server that has little of a processor.
//!
//! `cargo xtask bench accuracy` is of another kind: nothing is timed, a clock is kept in virtual time (`docs/accuracy.md`). `cargo xtask bench guests`
//! keeps a real kernel's clock, in a guest.

mod accuracy;
mod certificate;
mod figure;
mod guests;
pub mod instructions;
mod ke;
mod overload;
mod rig;
mod rounds;
mod server;

use std::process::ExitCode;

use crate::apt::Consent;

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(clap::Subcommand)]
enum Subject {
    /// Processor time per answer: noonmarkd beside chronyd and an echo program, plain and under NTS
    Server(ServerWish),
    /// Processor time per key establishment with a P-256 certificate: noonmarkd beside ntpd-rs
    Ke(Wish),
    /// Who is still answered while somebody floods the server: noonmarkd beside chronyd
    Overload(overload::Arguments),
    /// How far the clock is off in simulation, beside chronyd's figures in the same conditions
    Accuracy(accuracy::Wish),
    /// How far a real kernel's clock is off in guests, kept by noonmarkd and by chronyd
    Guests(guests::Wish),
    /// Instructions of the pure responder per request, beside those kept in the repository
    Instructions(instructions::Wish),
}

/// How to measure.
#[derive(clap::Args, Clone, Copy)]
pub struct Wish {
    /// Print one JSON object per figure and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// How often each server is driven
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Install missing Debian packages without asking
    #[arg(long)]
    yes: bool,
}

/// How to measure the server, and beside what.
#[derive(clap::Args)]
struct ServerWish {
    #[command(flatten)]
    wish: Wish,
    /// Measure an earlier noonmarkd beside this one by turns, and no other server: a folder with the program, or a commit to build
    #[arg(long, value_name = "FOLDER_OR_COMMIT")]
    against: Option<String>,
}

impl Wish {
    fn consent(self) -> Consent {
        Consent { given: self.yes }
    }
}

/// Measures and prints.
///
/// # Errors
/// What could not be started, or gave wrong answers.
pub fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let (wish, figures) = match &arguments.subject {
        Subject::Server(ServerWish { wish, against: Some(before) }) => {
            (*wish, rounds::measure(*wish, before)?)
        }
        Subject::Server(ServerWish { wish, against: None }) => (*wish, server::measure(*wish)?),
        Subject::Ke(wish) => (*wish, ke::measure(*wish)?),
        Subject::Overload(arguments) => (arguments.wish, overload::measure(arguments)?),
        Subject::Accuracy(wish) => return accuracy::run(wish).map(|()| ExitCode::SUCCESS),
        Subject::Guests(wish) => return guests::run(wish).map(|()| ExitCode::SUCCESS),
        Subject::Instructions(wish) => return instructions::run(wish),
    };
    if wish.json {
        print!("{}", figure::as_json(&figures)?);
    } else {
        print!("{}", figure::as_table(&figures));
    }
    Ok(ExitCode::SUCCESS)
}
