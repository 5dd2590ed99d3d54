//! `clock-truth`: notes what a clock shows beside the processor's cycle counter, in a guest and on the machine it runs on, so that
//! the two can be compared.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use noonmark_rig::truth::{Page, Sample};

/// Prints `clock CYCLES WIDTH NANOSECONDS` again and again until ended.
#[derive(Parser)]
struct Arguments {
    /// Milliseconds between two lines
    #[arg(long, default_value_t = 250)]
    every: u64,
    #[command(subcommand)]
    side: Side,
}

#[derive(Subcommand)]
enum Side {
    /// Outside: answers the guest's questions about the counter, too
    Outside {
        /// The file that is the guest's page
        #[arg(long)]
        page: PathBuf,
    },
    /// In the guest: begins with `counter LEAST MOST ROUNDS`, what to add to its counter, and repeats that every minute
    Inside {
        /// Where to print
        #[arg(long)]
        to: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let every = Duration::from_millis(arguments.every);
    let Err(problem) = match arguments.side {
        Side::Outside { page } => outside(every, &page),
        Side::Inside { to } => inside(every, &to),
    };
    eprintln!("clock-truth: {problem}");
    ExitCode::from(2)
}

type Never = Result<std::convert::Infallible, String>;

fn outside(every: Duration, page: &Path) -> Never {
    let page = Page::map(page).map_err(|e| format!("{}: {e}", page.display()))?;
    let (mut next, mut asked) = (Instant::now(), Instant::now());
    loop {
        if page.answer() {
            asked = Instant::now();
        } else if asked.elapsed() > Duration::from_millis(50) {
            // Nobody is asking: leave the processor to others.
            std::thread::sleep(Duration::from_millis(1));
        }
        if Instant::now() >= next {
            next += every;
            write_clock(&mut io::stdout())?;
        }
    }
}

fn inside(every: Duration, to: &Path) -> Never {
    let page = Page::of_guest()?;
    let mut out =
        OpenOptions::new().write(true).open(to).map_err(|e| format!("{}: {e}", to.display()))?;
    loop {
        let bounds = page.ask(ROUNDS, Duration::from_secs(3));
        writeln!(out, "counter {} {} {}", bounds.least, bounds.most, bounds.rounds)
            .map_err(said)?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            write_clock(&mut out)?;
            std::thread::sleep(every);
        }
    }
}

fn write_clock(out: &mut impl Write) -> Result<(), String> {
    let Sample { cycles, width, real } = Sample::take();
    writeln!(out, "clock {cycles} {width} {real}").and_then(|()| out.flush()).map_err(said)
}

fn said(problem: io::Error) -> String {
    problem.to_string()
}

const ROUNDS: u32 = 3000;
