//! Stage `reliability`: faults brought upon the whole daemon, one cell each, and a soak.
//!
//! A cell is this program once more, as the first process of a machine in small: mounts, networks and process ids of its own, with
//! the loopback device up and `/run` empty. It starts the daemon of the build, brings the fault, and looks with a client of its own
//! whether the daemon came back by itself. Whatever a cell leaves behind ends with it. All cells run at the same time, since they
//! mostly wait.

mod client;
mod disk;
mod exhaustion;
mod journal;
mod life;
mod memory;
mod network;
mod onlooker;
mod place;
mod soak;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::apt::{self, Needed};
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::{self, Metadata};
use crate::{build, child};
use place::Place;

/// What a cell found, by name, in the order it is shown.
pub type Figures = Map<String, Value>;

/// A fault, and what has to come of it.
struct Cell {
    name: &'static str,
    /// What it must not take longer than; it is then ended, and has failed.
    limit: Duration,
    run: fn(&Place, u64) -> Result<Figures, String>,
}

impl Cell {
    const fn new(name: &'static str, run: fn(&Place, u64) -> Result<Figures, String>) -> Self {
        Self { name, limit: LIMIT, run }
    }
}

/// Far more than any of them takes, because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(300);

/// Every cell; those that take longest first.
const CELLS: &[Cell] = &[
    Cell { name: SOAK, limit: LIMIT, run: soak::run },
    Cell::new("state folder full", disk::full),
    Cell::new("state folder on a disk that became read-only", disk::read_only),
    Cell::new("state folder that may not be written", disk::forbidden),
    Cell::new("launcher stopped for 60 s", life::launcher_stopped),
    Cell::new("warden stopped for 60 s", |place, _| life::role_stopped(place, "warden")),
    Cell::new("sources stopped for 60 s", |place, _| life::role_stopped(place, "sources")),
    Cell::new("ntp stopped for 60 s", |place, _| life::role_stopped(place, "ntp")),
    Cell::new("ke stopped for 60 s", |place, _| life::role_stopped(place, "ke")),
    Cell::new("observe stopped for 60 s", |place, _| life::role_stopped(place, "observe")),
    Cell::new("roles killed at random moments", life::roles_killed),
    Cell::new("launcher killed at random moments", life::launcher_killed),
    Cell::new("no descriptor left in any process", exhaustion::descriptors),
    Cell::new("connections to key establishment take every descriptor", exhaustion::connections),
    Cell::new("kernel without room for answers (ENOBUFS)", exhaustion::no_buffers),
    Cell::new("wire slower than the answers", network::slow_wire),
    Cell::new("route to clients taken away", network::no_route),
    Cell::new("interface down and up", network::interface),
    Cell::new("address replaced", |place, _| network::address_replaced(place)),
    Cell::new("journal gone and back", journal::gone),
    Cell::new("log on a full disk", journal::full),
    Cell::new("log to a pipe that nobody reads", journal::unread),
    Cell::new("journal that takes nothing", journal::stuck),
];

const SOAK: &str = "soak";
/// Requests of the soak, and those with `--long`.
const REQUESTS: u64 = 100_000;
const MANY_REQUESTS: u64 = 10_000_000;
const LONG_LIMIT: Duration = Duration::from_secs(90 * 60);

const TOOLS: &[Needed] = &[
    Needed { program: "ip", package: "iproute2" },
    Needed { program: "tc", package: "iproute2" },
    Needed { program: "strace", package: "strace" },
    Needed { program: "prlimit", package: "util-linux" },
    Needed { program: "unshare", package: "util-linux" },
];

/// Runs every cell.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let chosen: Vec<&Cell> = CELLS
        .iter()
        .filter(|cell| wish.cell.as_ref().is_none_or(|text| cell.name.contains(text.as_str())))
        .collect();
    if !apt::is_root() {
        for cell in chosen {
            tally.record_not_run(cell.name, "needs root, for mounts and networks of its own");
        }
        return tally;
    }
    let programs = match programs(wish) {
        Ok(programs) => programs,
        Err(problem) => {
            tally.record("the programs", Err(problem));
            return tally;
        }
    };
    let requests = if wish.long { MANY_REQUESTS } else { REQUESTS };
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..chosen.len() {
            scope.spawn(|| {
                while let Some(cell) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let result = start(cell, &programs, requests, wish.long);
                    let row = (cell.name, begun.elapsed(), result);
                    rows.lock().expect("no other cell panicked").push(row);
                }
            });
        }
    });
    let rows = rows.into_inner().expect("no cell panicked");
    for cell in &chosen {
        let Some((name, took, result)) = rows.iter().find(|(name, ..)| *name == cell.name) else {
            continue;
        };
        let (name, seconds) = (*name, took.as_secs());
        match result {
            Ok(figures) => tally.record(&format!("{name}: {figures} ({seconds} s)"), Ok(())),
            Err(what) => tally.record(name, Err(what.clone())),
        }
    }
    tally
}

/// The folder with our programs: those of the build, or with `--long` as they are shipped.
fn programs(wish: &Wish) -> Result<PathBuf, String> {
    apt::ensure(TOOLS, wish.consent)?;
    let target = Metadata::read()?.target_directory;
    if !wish.long {
        build::everything()?;
        return Ok(target.join("debug"));
    }
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked", "-p", "noonmarkd", "-p", "xtask"]);
    child::run(Duration::from_secs(1800), &build).or_say("cargo build --release")?;
    Ok(target.join("release"))
}

/// Runs one cell in a world of its own. Its figures as one line.
fn start(cell: &Cell, programs: &Path, requests: u64, long: bool) -> Result<String, String> {
    let mut world = Command::new("unshare");
    world.args(["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]);
    world.arg(programs.join("xtask")).args(["cell", cell.name]);
    world.arg("--programs").arg(programs).args(["--requests", &requests.to_string()]);
    let limit = if long && cell.name == SOAK { LONG_LIMIT } else { cell.limit };
    let said = child::output(limit, &world)?;
    let last = said.lines().last().unwrap_or_default();
    let figures: Figures =
        serde_json::from_str(last).map_err(|error| format!("{error}: {last:?}"))?;
    let words: Vec<String> =
        figures.iter().map(|(name, value)| format!("{} {value}", name.replace('_', " "))).collect();
    Ok(words.join(", "))
}

/// What the program takes when it is a cell.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which one
    name: String,
    /// The folder with our programs
    #[arg(long)]
    programs: PathBuf,
    /// Requests of the soak
    #[arg(long, default_value_t = REQUESTS)]
    requests: u64,
}

/// Is a cell. Prints what it found as one line of JSON.
///
/// # Errors
/// What did not hold, with the end of the daemon's log.
pub fn run_cell(arguments: &Arguments) -> Result<ExitCode, String> {
    let cell = CELLS.iter().find(|cell| cell.name == arguments.name);
    let cell = cell.ok_or_else(|| format!("there is no cell {:?}", arguments.name))?;
    if std::process::id() != 1 {
        return Err(
            "a cell mounts and kills; it is started by the stage, in a world of its own".into()
        );
    }
    let place = Place::furnish(&arguments.programs)?;
    let figures = (cell.run)(&place, arguments.requests)?;
    println!("{}", Value::Object(figures));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_in_the_document() {
        let text = include_str!("../../../docs/reliability.md");
        for cell in CELLS {
            assert!(text.contains(&format!("| {} |", cell.name)), "{}", cell.name);
        }
    }

    #[test]
    fn a_cell_is_refused_outside_its_world() {
        let arguments =
            |name: &str| Arguments { name: name.to_owned(), programs: PathBuf::new(), requests: 1 };
        assert!(run_cell(&arguments("nothing")).is_err_and(|what| what.contains("no cell")));
        assert!(run_cell(&arguments(SOAK)).is_err_and(|what| what.contains("world of its own")));
    }
}
