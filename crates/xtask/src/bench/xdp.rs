//! `cargo xtask bench xdp`: what an answer costs in the kernel, beside chronyd's over its socket, and how many it gives at most.
//!
//! noonmarkd has a wire of its own, whose driver works in a kernel thread (threaded NAPI) pinned to the servers' processor: what that thread and
//! noonmarkd's processes ran is what answers cost. As everywhere here it pays for delivering them to the generator's packet tap, too.
//! At most, the kernel makes the requests itself (`frame-live`), on the other processor.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Wish;
use super::asking::{Mode, Outcome, drive, load};
use super::contestant::{Arena, Peer};
use super::figure::{Best, Figure};
use super::rig::{Rig, SERVER_MAC, SERVER_PROCESSOR, Server, private_folder};
use crate::child;
use crate::netns::{self, CLIENT_INTERFACE, CLIENT_V4, Daemon, SERVER_INTERFACE, SERVER_V4};

/// Drives chronyd over its socket and noonmarkd in the kernel by turns, then has the kernel ask.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(wish: Wish) -> Result<Vec<Figure>, String> {
    let rig = Rig::new(wish)?;
    let wire = rig.another()?;
    let arena = Arena::new(rig, &[Peer::Chrony])?;
    let chrony = arena.peer(Peer::Chrony)?;
    let ours = start(&wire)?;
    let thread = driver(&wire)?;
    let (mut costs, mut others) = (Vec::new(), Vec::new());
    {
        let _end = Tap::open(&wire)?;
        for round in 1..=wish.rounds {
            let outcome = drive(&chrony, &Mode::PLAIN)?;
            outcome.show(round, wish.rounds, &Mode::PLAIN, chrony.server.name);
            others.push(outcome.ns_per_answer);
            let outcome = ask(&wire, &ours, thread)?;
            outcome.show(round, wish.rounds, &Mode::PLAIN, "xdp");
            costs.push(outcome.ns_per_answer);
        }
    }
    let (mut answered, mut made) = (Vec::new(), Vec::new());
    for _ in 0..wish.rounds {
        let (answers, requests) = flood(&wire)?;
        eprintln!("{requests:>9.0} made/s {answers:>9.0} answers/s");
        answered.push(answers);
        made.push(requests);
    }
    let name = "xdp_over_chrony".to_owned();
    let mut figures: Vec<_> =
        Figure::new(name, "ns per answer", Best::Least, &costs, &others).into_iter().collect();
    let most = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    let least = answered.iter().copied().fold(f64::INFINITY, f64::min);
    figures.push(Figure {
        figure: "xdp_answers_per_s".into(),
        value: most(&answered),
        rounds: answered.len(),
        spread: most(&answered) - least,
        ours: most(&answered),
        other: most(&made),
        unit: "answers/s, of requests/s",
    });
    Ok(figures)
}

const NAME: &str = "xdp";
const SOCKET: &str = "xdp.sock";
const LIMIT: Duration = Duration::from_secs(30);

/// noonmarkd in the kernel.
fn start(wire: &Rig) -> Result<Server, String> {
    private_folder(&wire.file("xdp-state"))?;
    wire.write(
        "xdp.toml",
        &format!(
            "[server]\nlisten = [\"{SERVER_V4}:123\"]\nthreads = 1\nlocal-stratum = 1\nfast-path = \"xdp\"\n\
             fast-path-interfaces = [\"{SERVER_INTERFACE}\"]\n[state]\nfolder = \"xdp-state\"\n[status]\nsocket = \"{SOCKET}\"\n"
        ),
    )?;
    let mut command = wire.program("noonmarkd");
    command.arg("--config").arg(wire.file("xdp.toml"));
    let mut server = wire.start(NAME, SERVER_V4, &command)?;
    server.wait_until(|| match status(wire)?["ready"] {
        Value::Bool(true) => Ok(()),
        _ => Err("not ready".into()),
    })?;
    Ok(server)
}

/// Has the server's end of the wire work in a thread of its own, on the servers' processor.
fn driver(wire: &Rig) -> Result<u32, String> {
    let mut threaded = Command::new("sh");
    threaded.args(["-c", &format!("echo 1 > /sys/class/net/{SERVER_INTERFACE}/threaded")]);
    wire.pair.server.output(LIMIT, &threaded)?;
    let name = format!("napi/{SERVER_INTERFACE}");
    let folders = std::fs::read_dir("/proc").map_err(|e| e.to_string())?.flatten();
    let numbers = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |number: &u32| {
        let called = std::fs::read_to_string(format!("/proc/{number}/comm"));
        called.is_ok_and(|called| called.starts_with(&name))
    };
    // Nobody else here asks for one.
    let thread = numbers.filter(is_it).max().ok_or("the driver has no thread of its own")?;
    let mut pin = Command::new("taskset");
    pin.args(["--cpu-list", "--pid", SERVER_PROCESSOR, &thread.to_string()]);
    child::output(LIMIT, &pin)?;
    Ok(thread)
}

/// Answers reach a packet tap only while a program is at the tap's end, too.
struct Tap {
    _end: Daemon,
}

impl Tap {
    fn open(wire: &Rig) -> Result<Self, String> {
        let mut stay = wire.program("frame-live");
        stay.args(["--interface", CLIENT_INTERFACE, "--stay"]);
        let log = wire.file("xdp-tap.out");
        let _ = std::fs::remove_file(&log);
        let mut end = wire.pair.client.start_here(&stay, &log)?;
        end.wait_for(LIMIT, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains("ready") { Ok(()) } else { Err(said) }
        })?;
        Ok(Self { _end: end })
    }
}

/// One run of the generator against the program in the kernel.
fn ask(wire: &Rig, server: &Server, thread: u32) -> Result<Outcome, String> {
    let before = answered(wire)?;
    let mut command = load(wire, SERVER_V4, 0);
    command.args(["--rate", RATE, "--seconds", "1.2", "--server-processor", SERVER_PROCESSOR]);
    command.args(server.process_arguments()).args(["--process", &thread.to_string()]);
    let outcome: Outcome = wire.generate(&command)?;
    let in_the_kernel = answered(wire)? - before;
    if in_the_kernel == 0 {
        return Err(format!("nothing was answered in the kernel: {}", status(wire)?["counters"]));
    }
    outcome.is_right().map(|()| outcome)
}

/// What the generator can send.
const RATE: &str = "300000";

/// Answers and requests per second, the kernel asking.
fn flood(wire: &Rig) -> Result<(f64, f64), String> {
    #[derive(Deserialize)]
    struct Made {
        made: f64,
        seconds: f64,
    }
    let before = answered(wire)?;
    let mut command = wire.program("frame-live");
    command.args(["--interface", CLIENT_INTERFACE, "--server-mac", SERVER_MAC]);
    command.args(["--server", SERVER_V4, "--client", CLIENT_V4, "--seconds", "1"]);
    let Made { made, seconds } = wire.generate(&command)?;
    let answers = answered(wire)? - before;
    Ok((answers as f64 / seconds, made / seconds))
}

fn answered(wire: &Rig) -> Result<u64, String> {
    let status = status(wire)?;
    status["counters"]["fast_path"]["answered"]
        .as_u64()
        .ok_or_else(|| format!("no fast path: {}", status["fast_path"]))
}

fn status(wire: &Rig) -> Result<Value, String> {
    let path = wire.file(SOCKET);
    let mut document = Vec::new();
    let mut read = || UnixStream::connect(&path)?.read_to_end(&mut document);
    read().map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_slice(&document).map_err(|e| e.to_string())
}

const _: () = assert!(netns::SERVER_INTERFACE.len() < 10, "or the thread's name is cut");
