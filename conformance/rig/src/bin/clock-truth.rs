//! `clock-truth`: notes what a clock shows beside the processor's cycle counter, in a guest and on the machine it runs on, so that
//! the two can be compared.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use noonmark_rig::told::Told;
use noonmark_rig::truth::{Page, Sample, cycles};

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
        /// Also prints, every second, `told CYCLES AGE EARLIEST LATEST`: between which bounds noonmarkd says on this socket that true
        /// time minus the clock lies, and how old that was when the counter was read, all in ns
        #[arg(long)]
        status: Option<PathBuf>,
    },
    /// In the guest: prints `mark NAME CYCLES` once and ends, to say when something happened
    Mark {
        /// Where to print
        #[arg(long)]
        to: PathBuf,
        /// What happened
        name: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let every = Duration::from_millis(arguments.every);
    let result = match arguments.side {
        Side::Outside { page } => outside(every, &page).map(|never| match never {}),
        Side::Inside { to, status } => inside(every, &to, status).map(|never| match never {}),
        Side::Mark { to, name } => mark(&to, &name),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("clock-truth: {problem}");
            ExitCode::from(2)
        }
    }
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

fn inside(every: Duration, to: &Path, status: Option<PathBuf>) -> Never {
    let page = Page::of_guest()?;
    let mut out = open(to)?;
    if let Some(socket) = status {
        let mut out = open(to)?;
        std::thread::spawn(move || listen(&socket, &mut out));
    }
    loop {
        let bounds = page.ask(ROUNDS, Duration::from_secs(3));
        write_line(
            &mut out,
            &format!("counter {} {} {}", bounds.least, bounds.most, bounds.rounds),
        )?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            write_clock(&mut out)?;
            std::thread::sleep(every);
        }
    }
}

/// Asks once a second for as long as this program runs. A daemon that is not there yet, or not any more, says nothing.
fn listen(socket: &Path, out: &mut impl Write) {
    loop {
        if let Ok(Some(Told { cycles, age, earliest, latest })) = Told::read(socket) {
            let _ = write_line(out, &format!("told {cycles} {age} {earliest} {latest}"));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn mark(to: &Path, name: &str) -> Result<(), String> {
    let cycles = cycles();
    write_line(&mut open(to)?, &format!("mark {name} {cycles}"))
}

fn open(to: &Path) -> Result<File, String> {
    OpenOptions::new().append(true).open(to).map_err(|e| format!("{}: {e}", to.display()))
}

fn write_clock(out: &mut impl Write) -> Result<(), String> {
    let Sample { cycles, width, real } = Sample::take();
    write_line(out, &format!("clock {cycles} {width} {real}"))
}

/// At once, so that lines of two writers do not mix.
fn write_line(out: &mut impl Write, line: &str) -> Result<(), String> {
    out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).map_err(said)
}

fn said(problem: io::Error) -> String {
    problem.to_string()
}

const ROUNDS: u32 = 3000;
