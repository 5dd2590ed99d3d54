//! `cargo xtask bench server`: processor time per answer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::figure::{Best, Figure};
use super::rig::{
    CLIENTS, FIRST_CLIENT, Rig, SERVER_MAC, SERVER_PROCESSOR, Server, private_folder,
};
use super::{Wish, certificate};
use crate::{child, netns};

/// A way of asking.
pub struct Mode {
    /// As figures begin.
    pub name: &'static str,
    /// Cookies asked for; none for plain NTP.
    cookies: u32,
}

/// Every way.
pub const MODES: [Mode; 3] = [
    Mode { name: "plain", cookies: 0 },
    Mode { name: "nts1", cookies: 1 },
    Mode { name: "nts8", cookies: 8 },
];

/// Requests per second: more than any server here can answer, so that each is measured at its limit.
const RATE: u32 = 220_000;

const CHRONY: &str = "chrony";
/// Our program.
pub const OURS: &str = "noonmarkd";
const ECHO: &str = "echo";
const NTPD_RS: &str = "ntpdrs19";
const OURS_AT: &str = "10.93.0.11";
const ECHO_AT: &str = "10.93.0.12";
const NTPD_RS_AT: &str = "10.93.0.14";

/// What `ntp-load` prints, as far as it is looked at.
#[derive(Deserialize)]
pub struct Outcome {
    answered_per_s: f64,
    good: u64,
    bad: u64,
    checked: u64,
    complaints: Vec<String>,
    missed: u32,
    /// Processor time of the server's processes through its good answers.
    pub ns_per_answer: f64,
    busy: f64,
}

impl Outcome {
    /// A line for who waits.
    pub fn show(&self, round: u32, rounds: u32, mode: &Mode, server: &Server) {
        eprintln!(
            "round {round} of {rounds}  {:<5} {:<9} {:>7.0} answers/s  {:>6.0} ns each  busy {:>3.0} %",
            mode.name,
            server.name,
            self.answered_per_s,
            self.ns_per_answer,
            self.busy * 100.0,
        );
    }
}

/// Samples of one server in one mode.
#[derive(Default)]
struct Samples {
    ns: Vec<f64>,
    rate: Vec<f64>,
}

/// Drives chronyd, noonmarkd and echo in turn, in every mode.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(wish: Wish) -> Result<Vec<Figure>, String> {
    let rig = Rig::new(wish)?;
    let servers = [start_ours(&rig)?, start_chrony(&rig)?, start_echo(&rig)?, start_ntpd_rs(&rig)?];
    let mut samples: Vec<Vec<Samples>> = Vec::new();
    samples.resize_with(MODES.len(), || servers.iter().map(|_| Samples::default()).collect());
    for round in 1..=wish.rounds {
        for (mode, samples) in MODES.iter().zip(&mut samples) {
            for (server, samples) in servers.iter().zip(samples) {
                let outcome = drive(&rig, server, mode)?;
                outcome.show(round, wish.rounds, mode, server);
                samples.ns.push(outcome.ns_per_answer);
                samples.rate.push(outcome.answered_per_s);
            }
        }
    }
    Ok(figures(&servers, &samples))
}

/// Our cost and our rate over each of the others'.
fn figures(servers: &[Server], samples: &[Vec<Samples>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (n, other) in servers.iter().enumerate().skip(1) {
        for (mode, samples) in MODES.iter().zip(samples) {
            let (ours, others) = (&samples[0], &samples[n]);
            let name = format!("{}_over_{}", mode.name, other.name);
            figures.extend(Figure::new(name, "ns per answer", Best::Least, &ours.ns, &others.ns));
        }
        for (mode, samples) in MODES.iter().zip(samples) {
            let (ours, others) = (&samples[0], &samples[n]);
            let name = format!("{}_rate_over_{}", mode.name, other.name);
            figures.extend(Figure::new(name, "answers/s", Best::Most, &ours.rate, &others.rate));
        }
    }
    figures
}

fn start_chrony(rig: &Rig) -> Result<Server, String> {
    let file = |name| rig.file_inside(name);
    rig.write(
        "chrony.conf",
        &format!(
            "local stratum 1\nallow all\nbindaddress {}\ncmdport 0\npidfile {}\n\
             ntsservercert {}\nntsserverkey {}\nntsdumpdir {}\n",
            netns::SERVER_V4,
            file("chronyd.pid"),
            file(certificate::CHAIN),
            file(certificate::KEY),
            file(""),
        ),
    )?;
    let mut command = rig.peers.command(crate::peers::Peers::CHRONYD);
    command.args(["-x", "-u", "root", "-F", "0", "-d", "-f", &rig.file_inside("chrony.conf")]);
    let mut server = rig.start(CHRONY, netns::SERVER_V4, &command)?;
    server.wait_until(|| answers(rig, netns::SERVER_V4, true))?;
    Ok(server)
}

fn start_ours(rig: &Rig) -> Result<Server, String> {
    let ours = Ours { name: OURS, address: OURS_AT, program: None };
    let mut server = start_noonmarkd(rig, &ours)?;
    server.wait_until(|| answers(rig, OURS_AT, true))?;
    Ok(server)
}

/// A noonmarkd to be started.
pub struct Ours<'a> {
    /// What it is called in figures; its files are named by it.
    pub name: &'static str,
    /// Its address, one that no other server of the run has.
    pub address: &'static str,
    /// The program, if not the one of this tree.
    pub program: Option<&'a Path>,
}

/// Starts noonmarkd as an operator would, with one thread for its one processor.
///
/// # Errors
/// What the file system or starting it says.
pub fn start_noonmarkd(rig: &Rig, ours: &Ours<'_>) -> Result<Server, String> {
    let Ours { name, address, program } = ours;
    private_folder(&rig.file(&format!("{name}-state")))?;
    let configuration = format!("{name}.toml");
    let start = |more: &str| -> Result<Command, String> {
        rig.write(
            &configuration,
            &format!(
                "{more}[server]\nlisten = [\"{address}:123\"]\nthreads = 1\nlocal-stratum = 1\n\
             [nts]\nlisten = [\"{address}:4460\"]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             max-per-prefix = 512\n[state]\nfolder = \"{name}-state\"\n[status]\nsocket = \"{name}.sock\"\n",
                certificate::CHAIN,
                certificate::KEY,
            ),
        )?;
        let mut command = program.map_or_else(|| rig.program(OURS), Command::new);
        command.arg("--config").arg(rig.file(&configuration));
        Ok(command)
    };
    // More is asked here than any server answers; what an answer costs shows where nobody is shed. Before there was shedding there
    // was no such key.
    let mut check = start(&format!("[overload]\npriority = [\"{CLIENTS}\"]\n"))?;
    check.arg("--check");
    let command = match child::output(Duration::from_secs(20), &check) {
        Ok(_) => start(&format!("[overload]\npriority = [\"{CLIENTS}\"]\n"))?,
        Err(_) => start("")?,
    };
    rig.start(name, address, &command)
}

fn start_echo(rig: &Rig) -> Result<Server, String> {
    let mut command = rig.program("ntp-echo");
    command.args(["--listen", &format!("{ECHO_AT}:123")]);
    let mut server = rig.start(ECHO, ECHO_AT, &command)?;
    server.wait_until(|| answers(rig, ECHO_AT, false))?;
    Ok(server)
}

fn start_ntpd_rs(rig: &Rig) -> Result<Server, String> {
    let mut server = rig.start_ntpd_rs(NTPD_RS, NTPD_RS_AT, true)?;
    server.wait_until(|| answers(rig, NTPD_RS_AT, true))?;
    Ok(server)
}

/// Whether a few plain requests, and with `nts` a key establishment and a few protected ones, are answered.
///
/// # Errors
/// What came instead.
pub fn answers(rig: &Rig, address: &str, nts: bool) -> Result<(), String> {
    for cookies in if nts { 0..2 } else { 0..1 } {
        let mut command = load(rig, address, cookies);
        command.args(["--rate", "200", "--warm-up", "0.02", "--seconds", "0.1", "--requests", "8"]);
        if cookies > 0 {
            ask_for_keys(rig, &mut command, address);
        }
        let outcome: Outcome = rig.generate(&command)?;
        if outcome.good == 0 {
            return Err(format!("no good answer yet; bad ones: {:?}", outcome.complaints));
        }
    }
    Ok(())
}

/// One run of the generator at full rate.
///
/// # Errors
/// What was wrong with the answers.
pub fn drive(rig: &Rig, server: &Server, mode: &Mode) -> Result<Outcome, String> {
    let mut command = load(rig, server.address, mode.cookies);
    command.args(["--rate", &RATE.to_string(), "--server-processor", SERVER_PROCESSOR]);
    command.args(server.process_arguments());
    if mode.cookies > 0 {
        // The echo program gets requests made for noonmarkd: the same octets, and nothing to verify in what comes back.
        let is_echo = server.name == ECHO;
        ask_for_keys(rig, &mut command, if is_echo { OURS_AT } else { server.address });
        command.args(is_echo.then_some("--unprotected-answers"));
        if server.name == NTPD_RS && mode.cookies == 8 {
            // Its answers to eight bring seven.
            command.args(["--fewest-cookies", "7"]);
        }
    }
    let outcome: Outcome = rig.generate(&command)?;
    let say = |what: &str| format!("{}, {}: {what}", server.name, mode.name);
    if outcome.checked == 0 {
        return Err(say("no answer was checked"));
    }
    // One answer in a thousand may be lost to what else the machine does; a wrong one is never right.
    if outcome.bad > 0 {
        return Err(say(&format!("{} wrong answers: {:?}", outcome.bad, outcome.complaints)));
    }
    if u64::from(outcome.missed) * 100 > outcome.good {
        return Err(say(&format!("the generator missed {} answers", outcome.missed)));
    }
    Ok(outcome)
}

fn load(rig: &Rig, address: &str, cookies: u32) -> Command {
    let mut command = rig.program("ntp-load");
    command.args(["--interface", netns::CLIENT_INTERFACE, "--server-mac", SERVER_MAC]);
    command.args(["--server", address, "--first-client", FIRST_CLIENT]);
    command.args(["--cookies", &cookies.to_string()]);
    command
}

/// Has a program of the rig establish keys with the server first.
pub fn ask_for_keys(rig: &Rig, command: &mut Command, address: &str) {
    command.args(["--ke", &format!("{address}:4460"), "--name", certificate::NAME, "--ca"]);
    command.arg(rig.file(certificate::AUTHORITY));
}
