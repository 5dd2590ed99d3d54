//! `frame-proof`: asks a server in whole frames, one at a time, and tells what came back for each.
//!
//! The frames are such as no socket sends: with tags, options, wrong checksums and lengths, parts of datagrams. Who looks at the counters of
//! the server besides learns which of its ways answered. On the way it makes the interface fit to take frames that a program at the other end of
//! a pair of virtual interfaces sends back: that takes a program at this end, too, one that lets everything pass.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use noonmark_os::bpf::{Mode, Program, verdict};
use noonmark_os::devices::devices;
use noonmark_rig::frame::{Mac, mac};
use noonmark_rig::generator;
use noonmark_rig::odd::{self, Ends, Odd};
use noonmark_rig::wire::Wire;
use serde_json::{Value, json};

/// Prints one JSON object: for each frame asked for whether it was answered, and of the answers the offset and the time the server held the request.
#[derive(Parser)]
struct Arguments {
    /// The interface to ask on
    #[arg(long)]
    interface: String,
    /// The server's hardware address
    #[arg(long)]
    server_mac: String,
    /// The server's addresses
    #[arg(long)]
    v4: Ipv4Addr,
    #[arg(long)]
    v6: Ipv6Addr,
    /// Our addresses
    #[arg(long)]
    from_v4: Ipv4Addr,
    #[arg(long)]
    from_v6: Ipv6Addr,
    /// Names of the frames to send; all if there are none
    #[arg(long)]
    only: Vec<String>,
    /// How often each
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Ask until the first is answered before anything else, for so many seconds
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
}

fn main() -> ExitCode {
    match prove(&Arguments::parse()) {
        Ok(rows) => {
            println!("{rows}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("frame-proof: {problem}");
            ExitCode::from(2)
        }
    }
}

fn prove(arguments: &Arguments) -> Result<Value, String> {
    let said = |e: io::Error| e.to_string();
    let known = devices().map_err(said)?;
    let device = known.get(&arguments.interface).ok_or("no such interface")?;
    let from_mac: Mac = device.mac.ok_or("no hardware address")?;
    let pass = generator::always(verdict::PASS);
    let program = Program::load(c"pass", c"Apache-2.0 OR MIT", &pass).map_err(|e| e.to_string())?;
    let _attached = program.attach(device.number, Mode::Native).map_err(said)?;
    let wire = Wire::open(&arguments.interface).map_err(said)?;
    let ends = Ends {
        to_mac: mac(&arguments.server_mac)?,
        from_mac,
        v4: (arguments.from_v4, arguments.v4),
        v6: (arguments.from_v6, arguments.v6),
    };
    let all = odd::frames();
    let chosen: Vec<&Odd> = all
        .iter()
        .filter(|odd| {
            arguments.only.is_empty() || arguments.only.iter().any(|name| name == odd.name)
        })
        .collect();
    let first = chosen.first().ok_or("no frame of that name")?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(arguments.warm_up) {
        if ask(&wire, first, &ends)?.is_some() {
            break;
        }
    }
    let mut rows = Vec::new();
    for odd in chosen {
        let mut answers = Vec::new();
        for _ in 0..arguments.times {
            answers.extend(ask(&wire, odd, &ends)?);
        }
        let mean = |of: fn(&Answer) -> f64| {
            (!answers.is_empty())
                .then(|| answers.iter().map(of).sum::<f64>() / answers.len() as f64)
        };
        rows.push(json!({
            "name": odd.name,
            "answered": answers.len(),
            "expected": odd.way.name(),
            "offset_s": mean(|answer| answer.offset_s),
            "held_s": mean(|answer| answer.held_s),
        }));
    }
    Ok(Value::Array(rows))
}

/// What an answer says.
struct Answer {
    offset_s: f64,
    held_s: f64,
}

/// Sends a frame and waits for what comes back.
fn ask(wire: &Wire, odd: &Odd, ends: &Ends) -> Result<Option<Answer>, String> {
    let said = |e: io::Error| e.to_string();
    wire.drain().map_err(said)?;
    let sent = now();
    let mark = (sent * 1e9) as u64;
    for frame in odd.octets(ends, mark) {
        wire.send(&frame).map_err(said)?;
    }
    let deadline = Instant::now() + PATIENCE;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        let Some((frame, arrived)) = wire.receive(left).map_err(said)? else { break };
        let Some(payload) = odd::answer(&frame, odd, ends) else { continue };
        if payload[24..32] != mark.to_be_bytes() {
            continue;
        }
        let stamp = |at: usize| odd::unix_of(payload[at..at + 8].try_into().unwrap_or_default());
        let (received, left) = (stamp(32), stamp(40));
        let arrived = arrived.as_secs_f64();
        return Ok(Some(Answer {
            offset_s: ((received - sent) + (left - arrived)) / 2.0,
            held_s: left - received,
        }));
    }
    Ok(None)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// A busy machine may take a while to answer; what is not answered is waited for in vain.
const PATIENCE: Duration = Duration::from_millis(400);
