//! `cargo xtask bench ke`: processor time per key establishment with a P-256 certificate.

use serde::Deserialize;

use super::figure::{Best, Figure};
use super::rig::{Rig, Server};
use super::server::start_noonmarkd;
use super::{Wish, certificate};
use crate::peers::Peers;

const OURS_AT: &str = "10.93.0.11";
const NTPDRS: &str = "ntpd-rs";
const NTPDRS_AT: &str = "10.93.0.13";

/// What `ke-load` prints, as far as it is looked at.
#[derive(Deserialize)]
struct Outcome {
    handshakes: u64,
    failures: u64,
    complaints: Vec<String>,
    handshakes_per_s: f64,
    ns_per_handshake: f64,
    busy: f64,
}

/// Drives ntpd-rs and noonmarkd in turn.
///
/// # Errors
/// What could not be started, or which establishments failed.
pub fn measure(wish: Wish) -> Result<Vec<Figure>, String> {
    let rig = Rig::new(wish)?;
    let servers = [start_ntpdrs(&rig)?, start_ours(&rig)?];
    let mut ns = [Vec::new(), Vec::new()];
    let mut rate = [Vec::new(), Vec::new()];
    for round in 1..=wish.rounds {
        for (n, server) in servers.iter().enumerate() {
            let outcome = drive(&rig, server, "2")?;
            eprintln!(
                "round {round} of {}  {:<9} {:>6.0} handshakes/s  {:>7.0} ns each  busy {:>3.0} %",
                wish.rounds,
                server.name,
                outcome.handshakes_per_s,
                outcome.ns_per_handshake,
                outcome.busy * 100.0,
            );
            ns[n].push(outcome.ns_per_handshake);
            rate[n].push(outcome.handshakes_per_s);
        }
    }
    let cost =
        Figure::new("ke_over_ntpdrs".into(), "ns per handshake", Best::Least, &ns[1], &ns[0]);
    let rate =
        Figure::new("ke_rate_over_ntpdrs".into(), "handshakes/s", Best::Most, &rate[1], &rate[0]);
    Ok(cost.into_iter().chain(rate).collect())
}

fn start_ours(rig: &Rig) -> Result<Server, String> {
    let mut server = start_noonmarkd(rig, OURS_AT)?;
    server.wait_until(|| establishes(rig, OURS_AT))?;
    Ok(server)
}

fn start_ntpdrs(rig: &Rig) -> Result<Server, String> {
    rig.write(
        "ntp.toml",
        &format!(
            "[observability]\nlog-level = \"warn\"\n[synchronization]\nlocal-stratum = 1\n\
             [[server]]\nlisten = \"{NTPDRS_AT}:123\"\n[[nts-ke-server]]\nlisten = \"{NTPDRS_AT}:4460\"\n\
             certificate-chain-path = \"{}\"\nprivate-key-path = \"{}\"\n",
            rig.file_inside(certificate::CHAIN),
            rig.file_inside(certificate::KEY),
        ),
    )?;
    let mut command = rig.peers.command(Peers::NTP_DAEMON);
    command.args(["--config", &rig.file_inside("ntp.toml")]);
    let mut server = rig.start(NTPDRS, NTPDRS_AT, &command)?;
    server.wait_until(|| establishes(rig, NTPDRS_AT))?;
    Ok(server)
}

fn establishes(rig: &Rig, address: &str) -> Result<(), String> {
    let outcome = generate(rig, address, "0.1", &[])?;
    match outcome.handshakes {
        0 => Err(format!("no key establishment yet: {:?}", outcome.complaints)),
        _ => Ok(()),
    }
}

fn drive(rig: &Rig, server: &Server, seconds: &str) -> Result<Outcome, String> {
    let outcome = generate(rig, server.address, seconds, &server.process_arguments())?;
    match outcome.failures {
        0 => Ok(outcome),
        n => Err(format!("{}: {n} failed: {:?}", server.name, outcome.complaints)),
    }
}

fn generate(
    rig: &Rig,
    address: &str,
    seconds: &str,
    processes: &[String],
) -> Result<Outcome, String> {
    let mut command = rig.program("ke-load");
    command.args(["--server", &format!("{address}:4460"), "--name", certificate::NAME, "--ca"]);
    command.arg(rig.file(certificate::AUTHORITY));
    command.args(["--seconds", seconds, "--threads", "8"]).args(processes);
    rig.generate(&command)
}
