//! The project's own chores, run as `cargo xtask …`.
//!
//! `cargo xtask test` is the one command that tells whether the tree is good: it installs what it needs, runs every
//! stage and ends with a count. Start reading at [`mod@test`]; each stage is a module of its own name.
//! Nothing here is shipped, and nothing started from here can set the machine's clock ([`safety`]).

#![forbid(unsafe_code)]

mod apt;
mod bench;
mod bpf;
mod build;
mod child;
#[cfg(debug_assertions)]
mod contain;
mod fuzz;
mod guests;
mod interop;
mod lint;
mod netns;
mod peers;
mod reliability;
mod report;
mod requirements;
mod safety;
mod sim;
mod supply;
mod test;
mod unit;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Noonmark's tests and other chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every test there is, after installing what they need
    Test(test::Arguments),
    /// Measure what answers and handshakes cost, beside other people's servers, and how well a clock is kept
    Bench(bench::Arguments),
    /// Write docs/conformance.md from what the prober finds of our server and of others
    Conform,
    /// Write docs/requirements.md from a run of the requirement checks
    Requirements,
    /// Write the table of SECURITY.md from a run of the attempts
    #[cfg(debug_assertions)]
    Contain,
    /// Compile the program of the fast path
    Bpf,
    /// Build the programs as they are shipped, with their bill of materials and digests
    Dist(supply::DistArguments),
    /// Print the bill of materials of the shipped programs (CycloneDX, JSON)
    Sbom,
    /// Be a cell of the stage `reliability`, which starts it
    #[command(hide = true)]
    Cell(reliability::Arguments),
    /// Make the root with other people's programs and say where it is
    Peers,
}

fn main() -> ExitCode {
    // Before anything else is started: no child of ours may be able to set the machine's clock.
    if let Err(problem) = safety::give_up_the_clock() {
        eprintln!("xtask: {problem}");
        return ExitCode::from(2);
    }
    let Arguments { chore } = Arguments::parse();
    let result = match chore {
        Chore::Test(arguments) => test::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Conform => interop::conform::write(),
        Chore::Requirements => requirements::write(),
        #[cfg(debug_assertions)]
        Chore::Contain => contain::write(),
        Chore::Bpf => bpf::write(),
        Chore::Dist(arguments) => supply::dist(&arguments),
        Chore::Sbom => supply::print_bill(),
        Chore::Cell(arguments) => reliability::run_cell(&arguments),
        Chore::Peers => peers::show(),
    };
    match result {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::from(2)
        }
    }
}
