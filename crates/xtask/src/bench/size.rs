//! `cargo xtask bench size`: memory, time to start, and octets of programs.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Wish;
use super::asking::{answers, load};
use super::contestant::{self, OURS, Ours, chronyd, noonmarkd};
use super::figure::{Best, Figure};
use super::rig::{Rig, SERVER_PROCESSOR, Server};
use crate::apt::{self, Needed};
use crate::{child, netns};

const OURS_AT: &str = "10.93.0.11";
/// Where noonmarkd answers first.
const STARTED_AT: &str = "10.93.0.17";
/// How many clients ask, each at an address of its own.
const CLIENTS: u32 = 1_000_000;
/// What is left of starting has been done by then.
const SETTLED: Duration = Duration::from_secs(3);
/// The programs that are installed.
const INSTALLED: [&str; 2] = ["noonmarkd", "noonmark"];
const TOOLS: &[Needed] = &[Needed { program: "strip", package: "binutils" }];

/// What `ntp-first` prints.
#[derive(Deserialize)]
struct Started {
    first_answer_ns: u64,
}

/// Starts noonmarkd and chronyd by turns, looks at their memory, and weighs our programs.
///
/// # Errors
/// What could not be started or read.
pub fn measure(wish: Wish) -> Result<Vec<Figure>, String> {
    apt::ensure(TOOLS, wish.consent())?;
    let rig = Rig::new(wish)?;
    let mut figures = Vec::new();
    figures.extend(start(&rig, wish)?);
    figures.extend(memory(&rig)?);
    figures.push(binaries(&rig)?);
    Ok(figures)
}

/// From starting a server to its first answer.
fn start(rig: &Rig, wish: Wish) -> Result<Option<Figure>, String> {
    rig.address(STARTED_AT)?;
    let ours = Ours { name: "started", address: STARTED_AT, program: None };
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for round in 1..=wish.rounds {
        // chronyd is started in a root of its own, so noonmarkd is given one too: the machine's.
        let mut inner = Command::new("chroot");
        inner.arg("/");
        child::transplant(&noonmarkd(rig, &ours, "")?, &mut inner);
        here.push(first_answer(rig, STARTED_AT, &inner)?);
        there.push(first_answer(rig, netns::SERVER_V4, &chronyd(rig, "")?)?);
        eprintln!(
            "round {round} of {}  first answer after {:.1} ms, chronyd {:.1} ms",
            wish.rounds,
            here.last().unwrap_or(&0.0) / 1e6,
            there.last().unwrap_or(&0.0) / 1e6,
        );
    }
    let name = format!("start_over_{}", contestant::CHRONY);
    Ok(Figure::new(name, "ns to the first answer", Best::Least, &here, &there))
}

fn first_answer(rig: &Rig, address: &str, inner: &Command) -> Result<f64, String> {
    let mut command = rig.program("ntp-first");
    command.args(["--server", &format!("{address}:123"), "--", "taskset", "--cpu-list"]);
    command.arg(SERVER_PROCESSOR);
    child::transplant(inner, &mut command);
    let started: Started = rig.at_the_server(&command)?;
    Ok(started.first_answer_ns as f64)
}

/// Memory of all processes, and how it grows with clients.
fn memory(rig: &Rig) -> Result<Vec<Figure>, String> {
    let mut chrony = rig.start(contestant::CHRONY, netns::SERVER_V4, &chronyd(rig, "")?)?;
    chrony.wait_until(|| answers(rig, netns::SERVER_V4, true))?;
    let program = noonmarkd(rig, &Ours { name: OURS, address: OURS_AT, program: None }, "")?;
    let mut ours = rig.start(OURS, OURS_AT, &program)?;
    ours.wait_until(|| answers(rig, OURS_AT, true))?;
    std::thread::sleep(SETTLED);
    let (idle, other) = (proportional_set(&ours)?, proportional_set(&chrony)?);
    for (process, name, kib) in &each(&ours)? {
        eprintln!("{name:<16} {process:>8} {kib:>8} KiB");
    }
    for (way, more) in [("plain", None), ("interleaved", Some("--interleaved"))] {
        let mut command = load(rig, OURS_AT, 0);
        command.args(["--clients", &CLIENTS.to_string(), "--rate", "60000"]);
        command.args(["--warm-up", "0.1", "--seconds", "20"]).args(more);
        let outcome: super::asking::Outcome = rig.generate(&command)?;
        eprintln!("{way}: {:.0} answers per second to a million clients", outcome.answered_per_s);
    }
    std::thread::sleep(SETTLED);
    let growth = proportional_set(&ours)? - idle;
    let tables = tables(&rig.file(&format!("{OURS}.sock")))?;
    Ok(vec![
        single(format!("pss_over_{}", contestant::CHRONY), idle / other, [idle, other], "KiB"),
        single("pss_growth_mib".into(), growth / 1024.0, [growth, tables], "KiB; other: tables"),
    ])
}

/// KiB that the tables take at most which the status shows.
fn tables(socket: &Path) -> Result<f64, String> {
    let read = || {
        let mut text = String::new();
        UnixStream::connect(socket)?.read_to_string(&mut text).map(|_| text)
    };
    let text = read().map_err(|e: std::io::Error| format!("{}: {e}", socket.display()))?;
    let status: Value = serde_json::from_str(&text).map_err(|e| format!("status: {e}"))?;
    let tables = status["tables"].as_array().ok_or("status without tables")?;
    Ok(tables.iter().filter_map(|table| table["memory_bytes"].as_f64()).sum::<f64>() / 1024.0)
}

/// The proportional set size (`Pss`) of all processes of a server together, KiB: private memory, and of what is shared the part of each.
fn proportional_set(server: &Server) -> Result<f64, String> {
    Ok(each(server)?.iter().map(|(_, _, kib)| kib).sum())
}

/// Each process, its name and its proportional set size in KiB.
fn each(server: &Server) -> Result<Vec<(u32, String, f64)>, String> {
    let read = |process: u32, file: &str| {
        let path = format!("/proc/{process}/{file}");
        std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
    };
    let look = |process| {
        let kib = pss(&read(process, "smaps_rollup")?).ok_or("smaps_rollup without Pss")?;
        Ok((process, role(&read(process, "cmdline")?), kib))
    };
    server.processes().into_iter().map(look).collect()
}

/// What tells a process from the others of its server: the last word of its command line.
fn role(command_line: &str) -> String {
    let last = command_line.split('\0').rfind(|word| !word.is_empty());
    last.and_then(|word| word.rsplit('/').next()).unwrap_or_default().to_owned()
}

fn pss(rollup: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What our programs weigh without what only a debugger reads.
fn binaries(rig: &Rig) -> Result<Figure, String> {
    let mut weights = Vec::new();
    for name in INSTALLED {
        let program = rig.program(name);
        let stripped = rig.file(&format!("{name}.stripped"));
        weights.push(weigh(Path::new(program.get_program()), &stripped)? / 1024.0);
    }
    let sum: f64 = weights.iter().sum();
    let [first, second] = [0, 1].map(|n| weights.get(n).copied().unwrap_or_default());
    Ok(single("binaries_mib".into(), sum / 1024.0, [first, second], "KiB, noonmarkd and noonmark"))
}

fn weigh(program: &Path, stripped: &Path) -> Result<f64, String> {
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(stripped).arg(program);
    child::output(Duration::from_secs(60), &strip)?;
    let data = std::fs::metadata(stripped).map_err(|e| format!("{}: {e}", stripped.display()))?;
    Ok(data.len() as f64)
}

/// A figure of one look.
fn single(figure: String, value: f64, [ours, other]: [f64; 2], unit: &'static str) -> Figure {
    Figure { figure, value, rounds: 1, spread: 0.0, ours, other, unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_set_is_read_from_its_line() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(pss(text), expected, "{text}");
        check("Rss:   12 kB\nPss:                1408 kB\nPss_Dirty: 7 kB\n", Some(1408.0));
        check("Pss_Dirty:   7 kB\n", None);
        check("Pss: many kB\n", None);
    }

    #[test]
    fn a_process_goes_by_the_last_word_of_its_command_line() {
        assert_eq!(role("/usr/sbin/noonmarkd\0--role\0warden\0"), "warden");
        assert_eq!(role("/usr/sbin/noonmarkd\0"), "noonmarkd");
        assert_eq!(role(""), "");
    }
}
