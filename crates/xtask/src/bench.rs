//! `cargo xtask bench`: how much processor time an answer and a handshake cost, beside other people's servers.
//!
//! Servers run in one network namespace and the generator of `conformance/rig` in another, joined by a pair of virtual
//! interfaces; servers are pinned to one processor and the generator to another. In every round each server is driven in
//! turn, so that what else the machine does falls on all alike. The figure of a server is the least processor time per
//! answer of all rounds; what is judged is the quotient of two such figures. `docs/performance.md` has the method.
//!
//! `cargo xtask bench stamps` asks how true the times in answers are, `cargo xtask bench size` what a server takes that has nothing to do.
//!
//! `cargo xtask bench overload` asks who is still answered while somebody floods a server that has little of a processor.
//!
//! `cargo xtask bench accuracy` is of another kind: nothing is timed, a clock is kept in virtual time (`docs/accuracy.md`). `cargo xtask bench guests`
//! keeps a real kernel's clock, in a guest.

mod accuracy;
mod asking;
mod certificate;
mod chart;
mod contestant;
mod figure;
mod guests;
pub mod instructions;
mod ke;
mod overload;
mod rig;
mod rounds;
mod scale;
mod server;
mod size;
mod stamps;
mod target;
mod xdp;

use std::process::ExitCode;

use self::contestant::Peer;
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
    Ke(KeWish),
    /// How true the transmit times in answers are: noonmarkd beside chronyd
    Stamps(StampsWish),
    /// Memory, time to start and octets of programs: noonmarkd beside chronyd
    Size(Wish),
    /// How long a hundred million clients take to get new keys, counted; nothing is timed
    Scale(Wish),
    /// Processor time per answer in the kernel, beside chronyd's over its socket; and how many at most
    Xdp(Wish),
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
    /// Measure the programs as they were built before, and build none
    #[arg(long)]
    as_built: bool,
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
    #[arg(long, value_name = "FOLDER_OR_COMMIT", conflicts_with = "peers")]
    against: Option<String>,
    /// Other people's servers beside which it is measured
    #[arg(long, value_delimiter = ',', default_value = "chrony,ntpd-rs")]
    peers: Vec<Peer>,
}

/// How to measure key establishment, and beside what.
#[derive(clap::Args)]
struct KeWish {
    #[command(flatten)]
    wish: Wish,
    /// Other people's servers beside which it is measured
    #[arg(long, value_delimiter = ',', default_value = "ntpd-rs")]
    peers: Vec<Peer>,
}

/// How to measure stamps, and beside what.
#[derive(clap::Args)]
struct StampsWish {
    #[command(flatten)]
    wish: Wish,
    /// Other people's servers beside which they are measured
    #[arg(long, value_delimiter = ',', default_value = "chrony")]
    peers: Vec<Peer>,
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
    let (subject, wish, figures) = match &arguments.subject {
        Subject::Server(ServerWish { wish, against: Some(before), .. }) => {
            ("before", *wish, rounds::measure(*wish, before)?)
        }
        Subject::Server(ServerWish { wish, against: None, peers }) => {
            ("server", *wish, server::measure(*wish, peers)?)
        }
        Subject::Ke(KeWish { wish, peers }) => ("ke", *wish, ke::measure(*wish, peers)?),
        Subject::Stamps(StampsWish { wish, peers }) => {
            ("stamps", *wish, stamps::measure(*wish, peers)?)
        }
        Subject::Size(wish) => ("size", *wish, size::measure(*wish)?),
        Subject::Scale(wish) => ("scale", *wish, scale::measure(*wish)),
        Subject::Xdp(wish) => ("xdp", *wish, xdp::measure(*wish)?),
        Subject::Overload(arguments) => ("overload", arguments.wish, overload::measure(arguments)?),
        Subject::Accuracy(wish) => return accuracy::run(wish).map(|()| ExitCode::SUCCESS),
        Subject::Guests(wish) => return guests::run(wish).map(|()| ExitCode::SUCCESS),
        Subject::Instructions(wish) => return instructions::run(wish),
    };
    if wish.json {
        print!("{}", figure::as_json(&figures)?);
    } else {
        print!("{}", figure::as_table(&figures));
    }
    eprintln!("drawn in {}", chart::write(subject, &figures)?.display());
    Ok(ExitCode::SUCCESS)
}
