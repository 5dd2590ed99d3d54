//! One run of the generator against one server, in one way of asking.

use std::process::Command;

use serde::Deserialize;

use super::certificate;
use super::contestant::{self, Contestant};
use super::rig::{FIRST_CLIENT, Rig, SERVER_MAC, SERVER_PROCESSOR};
use crate::netns;

/// A way of asking.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// As figures begin.
    pub name: &'static str,
    what: What,
    /// Requests per second.
    rate: f64,
    /// Seconds that are measured.
    seconds: f64,
    /// Whether it is noted when answers come.
    times: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Plain,
    /// By clients that have all been introduced.
    Interleaved,
    /// For so many cookies, under keys of an algorithm of that number.
    Nts {
        cookies: u32,
        aead: u32,
    },
}

impl Mode {
    /// More requests without NTS than are answered.
    pub const PLAIN: Self = Self::saturating("plain", What::Plain);
    /// More requests for one cookie than are answered.
    pub const NTS1: Self = Self::saturating("nts1", What::Nts { cookies: 1, aead: SIV });
    /// More requests for eight cookies than are answered.
    pub const NTS8: Self = Self::saturating("nts8", What::Nts { cookies: 8, aead: SIV });
    /// One cookie, under AES-128-GCM-SIV.
    pub const GCM_SIV1: Self = Self::saturating("gcmsiv1", What::Nts { cookies: 1, aead: GCM_SIV });
    /// Eight cookies, under AES-128-GCM-SIV.
    pub const GCM_SIV8: Self = Self::saturating("gcmsiv8", What::Nts { cookies: 8, aead: GCM_SIV });
    /// More requests in interleaved mode than are answered.
    pub const INTERLEAVED: Self = Self::saturating("interleaved", What::Interleaved);
    /// 20,000 requests per second without NTS, so that nearly each wakes the server.
    pub const LOW: Self = Self::PLAIN.timed("low_rate", LOW_RATE);

    const fn saturating(name: &'static str, what: What) -> Self {
        Self { name, what, rate: MOST, seconds: 1.2, times: false }
    }

    /// The same at another rate, with the times at which answers come.
    pub const fn timed(self, name: &'static str, rate: f64) -> Self {
        Self { name, rate, seconds: 2.5, times: true, ..self }
    }

    /// Whether more is asked than answered, so that the server's cost of an answer is what is measured.
    fn is_saturating(&self) -> bool {
        self.rate == MOST
    }

    fn cookies(&self) -> u32 {
        match self.what {
            What::Nts { cookies, .. } => cookies,
            What::Plain | What::Interleaved => 0,
        }
    }

    /// Whether it makes sense to ask that server so.
    pub fn suits(&self, name: &str) -> bool {
        match self.what {
            // Nobody else keeps when answers left for a hundred thousand clients.
            What::Interleaved => [contestant::OURS, contestant::CHRONY].contains(&name),
            // Compared with our own under AES-SIV.
            What::Nts { aead: GCM_SIV, .. } => name == contestant::OURS,
            What::Plain | What::Nts { .. } => true,
        }
    }
}

/// What `ntp-load` prints, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    offered_per_s: f64,
    /// Good answers per second.
    pub answered_per_s: f64,
    good: u64,
    bad: u64,
    checked: u64,
    complaints: Vec<String>,
    missed: u32,
    /// Processor time of the server's processes through its good answers.
    pub ns_per_answer: f64,
    busy: f64,
    interleaved: u64,
    interleaved_clients: u64,
    /// By how much answers left after the transmit time in them, where that was asked for.
    pub late: Option<Spread>,
    /// How long answers took, likewise.
    pub delay: Option<Spread>,
}

/// Readings of one run in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Spread {
    /// Mean of the middle 99 of 100.
    pub mean_ns: f64,
    /// Standard deviation of the same.
    pub sd_ns: f64,
    /// One in a hundred is below.
    pub p1_ns: f64,
    /// One in a hundred is above.
    pub p99_ns: f64,
}

impl Outcome {
    /// A line for who waits.
    pub fn show(&self, round: u32, rounds: u32, mode: &Mode, name: &str) {
        let mut line = format!(
            "round {round} of {rounds}  {:<11} {name:<9} {:>7.0} offered/s {:>7.0} answers/s  {:>6.0} ns each  busy {:>3.0} %",
            mode.name,
            self.offered_per_s,
            self.answered_per_s,
            self.ns_per_answer,
            self.busy * 100.0,
        );
        if let Some(late) = self.late {
            line += &format!(
                "  late {:>6.0} ns, sd {:>5.0}, 1 % {:>6.0}, 99 % {:>6.0}",
                late.mean_ns, late.sd_ns, late.p1_ns, late.p99_ns
            );
        }
        if let Some(delay) = self.delay {
            line += &format!("  p99 {:>6.1} µs", delay.p99_ns / 1e3);
        }
        if self.interleaved > 0 {
            line += &format!("  {} clients interleaved", self.interleaved_clients);
        }
        eprintln!("{line}");
    }

    /// Whether the answers were.
    ///
    /// # Errors
    /// What was wrong with them.
    pub fn is_right(&self) -> Result<(), String> {
        if self.checked == 0 {
            return Err("no answer was checked".into());
        }
        // Some answers may be lost to what else the machine does; a wrong one is never right.
        if self.bad > 0 {
            return Err(format!("{} wrong answers: {:?}", self.bad, self.complaints));
        }
        if u64::from(self.missed) * 100 > self.good {
            return Err(format!("the generator missed {} answers", self.missed));
        }
        Ok(())
    }

    /// Why this run says nothing about the cost of an answer, if so.
    pub fn objection(&self, mode: &Mode) -> Option<String> {
        let (offered, answered) = (self.offered_per_s, self.answered_per_s);
        if mode.is_saturating() && offered < ENOUGH * answered {
            return Some(format!(
                "{offered:.0}/s offered are less than {ENOUGH} times what was answered"
            ));
        }
        if !mode.is_saturating() && offered < 0.95 * mode.rate {
            return Some(format!("only {offered:.0} of {:.0}/s were offered", mode.rate));
        }
        let clients = u64::from(INTERLEAVED_CLIENTS);
        let is_told = self.interleaved_clients * 1000 >= clients * 999
            && self.interleaved * 1000 >= self.good * 999;
        if mode.what == What::Interleaved && !is_told {
            return Some(format!(
                "only {} of {clients} clients were answered in interleaved mode, and {} of {} answers were",
                self.interleaved_clients, self.interleaved, self.good
            ));
        }
        None
    }
}

/// One run of the generator.
///
/// # Errors
/// What was wrong with the answers.
pub fn drive(contestant: &Contestant<'_>, mode: &Mode) -> Result<Outcome, String> {
    let Contestant { rig, server } = contestant;
    let mut command = load(rig, server.address, mode.cookies());
    command.args(["--rate", &mode.rate.to_string(), "--seconds", &mode.seconds.to_string()]);
    command.args(["--server-processor", SERVER_PROCESSOR]).args(server.process_arguments());
    command.args(mode.times.then_some("--times"));
    match mode.what {
        What::Plain => {}
        What::Interleaved => {
            command.args(["--interleaved", "--clients", &INTERLEAVED_CLIENTS.to_string()]);
        }
        What::Nts { cookies, aead } => {
            // The echo program gets requests made for noonmarkd: the same octets, and nothing to verify in what comes back.
            let is_echo = server.name == contestant::ECHO;
            let keys_at = if is_echo { contestant::OURS_AT } else { server.address };
            ask_for_keys(rig, &mut command, keys_at);
            command.args(["--aead", &aead.to_string()]);
            command.args(is_echo.then_some("--unprotected-answers"));
            if server.name == contestant::NTPD_RS && cookies == 8 {
                // Its answers to eight bring seven.
                command.args(["--fewest-cookies", "7"]);
            }
        }
    }
    let outcome: Outcome = rig.generate(&command)?;
    outcome.is_right().map_err(|what| format!("{}, {}: {what}", server.name, mode.name))?;
    Ok(outcome)
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

/// `ntp-load` at an address.
pub fn load(rig: &Rig, address: &str, cookies: u32) -> Command {
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

/// Requests per second that no server here can answer.
const MOST: f64 = 320_000.0;
/// Requests per second at which nearly each wakes the server.
pub const LOW_RATE: f64 = 20_000.0;
/// As many times what is answered have to be offered.
const ENOUGH: f64 = 1.2;
const INTERLEAVED_CLIENTS: u32 = 100_000;
/// AEAD_AES_SIV_CMAC_256, which every server has.
const SIV: u32 = 15;
/// AEAD_AES_128_GCM_SIV.
const GCM_SIV: u32 = 30;
