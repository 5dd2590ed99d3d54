//! `cargo xtask bench guests`: how far a real kernel's clock is from true time, kept by noonmarkd and by chronyd.
//!
//! Guests with a clock of their own (stage `guests`) run one after the other, the two daemons by turns, so that what else the machine
//! does falls on both alike. Truth is read by the cycle counter, never over the wire. `docs/accuracy.md` has the method.

use std::fmt::Write as _;
use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use serde::Serialize;

use crate::apt::Consent;
use crate::child;
use crate::guests::{self, Kernel, Polls, Subject, Task};
use crate::peers::Peers;
use crate::workspace::{self, Metadata};

/// What to measure.
#[derive(clap::Args, Clone)]
pub struct Wish {
    /// Guests for each daemon
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Seconds for which each daemon keeps a clock
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(40..=86_400))]
    seconds: u64,
    /// From one question to the next, log2 s
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_parser = clap::value_parser!(i8).range(-4..=10))]
    poll: i8,
    /// Print one JSON object per guest and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// Also write the table of docs/accuracy.md
    #[arg(long, conflicts_with = "json")]
    write: bool,
    /// Install missing Debian packages without asking
    #[arg(long)]
    yes: bool,
}

/// How one guest's clock was kept.
#[derive(Debug, Serialize)]
struct Row {
    daemon: &'static str,
    run: u32,
    /// What the clock gained by itself, and how far ahead it began.
    oscillator_ppm: f64,
    ahead_hours: i64,
    /// Processes that wanted to run on the machine, in the mean of a minute.
    load: f64,
    /// From the daemon's start until the clock was right to 1 ms for good; `None` if it never was.
    within_1ms_after_s: Option<f64>,
    /// Of the true error without its sign, from [`guests::SETTLING_S`] after the daemon's start on.
    median_us: f64,
    worst_us: f64,
    /// Of the same with its sign: what an asymmetric wire leaves; and the standard deviation from that.
    mean_us: f64,
    spread_us: f64,
    /// How often the truth lay within the interval published, and how often one was; from the daemon's start on.
    inside: Option<usize>,
    published: Option<usize>,
    half_width_us: Option<f64>,
}

/// Measures and prints.
///
/// # Errors
/// What could not be started, or what a guest did not do.
pub fn run(wish: &Wish) -> Result<(), String> {
    let target = Metadata::read()?.target_directory;
    let consent = Consent { given: wish.yes };
    let kernel = guests::prepare(&target, consent)?;
    let peers = Peers::prepare(&target, consent)?;
    build()?;
    let programs = target.join("release");
    let _awake = Awake::keep()?;
    let mut rows = Vec::new();
    for run in 1..=wish.runs {
        let sign = if run % 2 == 1 { -1 } else { 1 };
        let mut turn = [Subject::Noonmarkd, Subject::Chronyd];
        if run % 2 == 0 {
            turn.reverse();
        }
        for subject in turn {
            let task = Task {
                name: format!("bench-{}", subject.name()),
                subject,
                polls: Polls(wish.poll, wish.poll),
                oscillator_ppm: 100.0 * f64::from(sign),
                ahead_hours: -3 * i64::from(sign),
                keep_for: Duration::from_secs(wish.seconds),
            };
            let row = measure(&task, run, &kernel, &peers, &target, &programs)?;
            if wish.json {
                println!("{}", serde_json::to_string(&row).map_err(|e| e.to_string())?);
            } else {
                println!("{}", line(&row));
            }
            rows.push(row);
        }
    }
    if wish.json {
        return Ok(());
    }
    let text = document(wish, &rows, &kernel, &peers, &programs);
    println!("\n{text}");
    if wish.write { write(&text) } else { Ok(()) }
}

/// Keeps the processors from sleeping as long as it lives, with work that everything else goes before.
///
/// Waking one takes so long on a virtual machine that the wire becomes slower one way than the other.
struct Awake(Vec<Child>);

impl Awake {
    fn keep() -> Result<Self, String> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = || {
            let mut idle = Command::new("setpriv");
            // Each program takes the place of the one before, so that what is ended is the last.
            idle.args(["--pdeathsig", "KILL", "--", "chrt", "--idle", "0"]);
            idle.args(["sh", "-c", "while :; do :; done"])
                .spawn()
                .map_err(|e| format!("setpriv: {e}"))
        };
        let mut awake = Self(Vec::new());
        for _ in 0..count {
            awake.0.push(spin()?);
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn measure(
    task: &Task,
    run: u32,
    kernel: &Kernel,
    peers: &Peers,
    target: &std::path::Path,
    programs: &std::path::Path,
) -> Result<Row, String> {
    let course = task.run(kernel, peers, target, programs)?;
    let begun = course.mark(guests::BEGUN)?;
    let alone_ppm = course.rate_ppm(0.0..begun)?;
    if (alone_ppm - task.oscillator_ppm).abs() > 5.0 {
        return Err(format!(
            "the guest's clock gained {alone_ppm:.1} ppm, not {:.0}",
            task.oscillator_ppm
        ));
    }
    let (median_us, worst_us) = course.error_after(begun + guests::SETTLING_S)?;
    let (mean_us, spread_us) = course.mean_error_after(begun + guests::SETTLING_S);
    let kept = course.kept_within(begun);
    let ours = task.subject == Subject::Noonmarkd;
    Ok(Row {
        daemon: task.subject.name(),
        run,
        oscillator_ppm: task.oscillator_ppm,
        ahead_hours: task.ahead_hours,
        load: load(),
        within_1ms_after_s: course.within_a_millisecond_from().map(|at| at - begun),
        median_us,
        worst_us,
        mean_us,
        spread_us,
        inside: ours.then_some(kept.inside),
        published: ours.then_some(kept.all),
        half_width_us: ours.then_some(kept.half_width_us),
    })
}

/// A row of the table.
fn line(row: &Row) -> String {
    let after = row.within_1ms_after_s.map_or("never".to_owned(), |after| format!("{after:.1} s"));
    let told = match (row.inside, row.published, row.half_width_us) {
        (Some(inside), Some(published), Some(half)) => {
            format!("{inside} of {published}, ±{half:.0} µs")
        }
        _ => "-".to_owned(),
    };
    format!(
        "| {} | {} | {:+.0} ppm, {:+} h | {after} | {:.1} µs | {:.1} µs | {:+.1} µs | {:.1} µs | {told} | {:.1} |",
        row.run,
        row.daemon,
        row.oscillator_ppm,
        row.ahead_hours,
        row.median_us,
        row.worst_us,
        row.mean_us,
        row.spread_us,
        row.load
    )
}

/// What docs/accuracy.md says of these runs.
fn document(
    wish: &Wish,
    rows: &[Row],
    kernel: &Kernel,
    peers: &Peers,
    programs: &std::path::Path,
) -> String {
    let mut text = String::from(
        "| run | daemon | clock at the start | right to 1 ms after | true error, median | largest | mean | spread | truth within the interval published | load |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(text, "{}", line(row));
    }
    let of = |daemon: Subject, value: fn(&Row) -> f64| {
        median(rows.iter().filter(|row| row.daemon == daemon.name()).map(value).collect())
    };
    let _ = writeln!(
        text,
        "\n| median of {} runs | noonmarkd | chronyd | ratio |\n|---|---|---|---|",
        wish.runs
    );
    type Figure = (&'static str, &'static str, fn(&Row) -> f64);
    let figures: [Figure; 4] = [
        ("true error, median", "µs", |row| row.median_us),
        ("true error, largest", "µs", |row| row.worst_us),
        ("spread about its mean", "µs", |row| row.spread_us),
        ("right to 1 ms after", "s", |row| row.within_1ms_after_s.unwrap_or(f64::INFINITY)),
    ];
    for (name, unit, value) in figures {
        let (ours, theirs) = (of(Subject::Noonmarkd, value), of(Subject::Chronyd, value));
        let _ = writeln!(
            text,
            "| {name} | {ours:.1} {unit} | {theirs:.1} {unit} | {:.2} |",
            ours / theirs
        );
    }
    let outside: usize = rows.iter().filter_map(|row| Some(row.published? - row.inside?)).sum();
    let published: usize = rows.iter().filter_map(|row| row.published).sum();
    let _ = writeln!(
        text,
        "\nTrue time lay outside the interval published {outside} of {published} times."
    );
    let said = |mut command: Command, argument: &str| {
        command.arg(argument);
        let said = child::output(Duration::from_secs(10), &command).unwrap_or_default();
        said.lines().next().unwrap_or("unknown").to_owned()
    };
    let chronyd = said(peers.command(Peers::CHRONYD), "--version");
    let ours = said(Command::new(programs.join("noonmarkd")), "--version");
    let qemu = said(Command::new("qemu-system-x86_64"), "--version");
    let _ = writeln!(
        text,
        "{} on {}; {} s each, a question every {} s. {ours}; {chronyd}; {}; {qemu}.",
        today(),
        processor(),
        wish.seconds,
        2_f64.powi(wish.poll.into()),
        kernel.package(),
    );
    text
}

/// Puts `text` between the marks of docs/accuracy.md.
fn write(text: &str) -> Result<(), String> {
    let path = workspace::root().join("docs/accuracy.md");
    let said = |error: std::io::Error| format!("{}: {error}", path.display());
    let document = fs::read_to_string(&path).map_err(said)?;
    fs::write(&path, between(&document, text)?).map_err(said)
}

fn between(document: &str, text: &str) -> Result<String, String> {
    let (before, rest) = document.split_once(FROM).ok_or(format!("no line {FROM}"))?;
    let (_, after) = rest.split_once(TO).ok_or(format!("no line {TO}"))?;
    Ok(format!("{before}{FROM}\n\n{text}\n{TO}{after}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut names =
        text.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = names.next().map_or("an unknown processor", |(_, name)| name);
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{count} processors ({name})")
}

fn today() -> String {
    noonmark_os::clock::realtime().to_string().chars().take("2026-01-01".len()).collect()
}

/// As shipped; what only measures, too.
fn build() -> Result<(), String> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked"]);
    build.args(["-p", "noonmarkd", "-p", "noonmark", "-p", "noonmark-rig"]);
    for program in ["noonmarkd", "noonmark", "clock-truth", "ntp-wire"] {
        build.args(["--bin", program]);
    }
    child::run(Duration::from_secs(3600), &build).or_say("cargo build --release")
}

const FROM: &str = "<!-- guests: cargo xtask bench guests --write -->";
const TO: &str = "<!-- end of guests -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_written() {
        let document = format!("a\n{FROM}\nold\n{TO}\nb\n");
        assert_eq!(between(&document, "new\n"), Ok(format!("a\n{FROM}\n\nnew\n\n{TO}\nb\n")));
        assert!(between("a", "new").is_err() && between(FROM, "new").is_err());
    }

    #[test]
    fn docs_have_the_marks() {
        let document = fs::read_to_string(workspace::root().join("docs/accuracy.md"));
        assert!(between(&document.expect("docs/accuracy.md"), "").is_ok());
    }

    #[test]
    fn the_median_of_five_is_the_third() {
        assert_eq!(median(vec![5.0, 1.0, 4.0, 2.0, 3.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
    }
}
