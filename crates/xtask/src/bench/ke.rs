//! `cargo xtask bench ke`: processor time per key establishment with a P-256 certificate.

use serde::Deserialize;

use super::contestant::{Arena, Peer};
use super::figure::{Best, Figure};
use super::rig::{Rig, Server};
use super::{Wish, certificate};

/// What `ke-load` prints, as far as it is looked at.
#[derive(Deserialize)]
struct Outcome {
    failures: u64,
    complaints: Vec<String>,
    handshakes_per_s: f64,
    ns_per_handshake: f64,
    busy: f64,
}

/// Drives noonmarkd and `peers` in turn.
///
/// # Errors
/// What could not be started, or which establishments failed.
pub fn measure(wish: Wish, peers: &[Peer]) -> Result<Vec<Figure>, String> {
    let arena = Arena::new(Rig::new(wish)?, peers)?;
    let mut servers = vec![arena.ours()?];
    for peer in peers {
        servers.push(arena.peer(*peer)?);
    }
    let mut samples: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); servers.len()];
    for round in 1..=wish.rounds {
        for (server, (ns, rate)) in servers.iter().zip(&mut samples) {
            let outcome = drive(server.rig, &server.server, "2")?;
            eprintln!(
                "round {round} of {}  {:<11} {:>6.0} handshakes/s  {:>7.0} ns each  busy {:>3.0} %",
                wish.rounds,
                server.server.name,
                outcome.handshakes_per_s,
                outcome.ns_per_handshake,
                outcome.busy * 100.0,
            );
            ns.push(outcome.ns_per_handshake);
            rate.push(outcome.handshakes_per_s);
        }
    }
    let (ours, others) = samples.split_first().expect("noonmarkd is the first");
    let figures = others.iter().zip(servers.iter().skip(1)).flat_map(|(other, server)| {
        let cost = format!("ke_over_{}", server.server.name);
        let rate = format!("ke_rate_over_{}", server.server.name);
        [
            Figure::new(cost, "ns per handshake", Best::Least, &ours.0, &other.0),
            Figure::new(rate, "handshakes/s", Best::Most, &ours.1, &other.1),
        ]
    });
    Ok(figures.flatten().collect())
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
