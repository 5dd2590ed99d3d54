//! `frame-live`: has the kernel make requests at one end of a pair of virtual interfaces, faster than any process could send them.
//!
//! The kernel gives frames of its own to a program that writes a request into each and sends it (BPF_PROG_RUN with live frames). What comes back is
//! dropped by another program at this end as soon as it is here. With `--stay` nothing is asked: frames that a program at the other end sends
//! back are let through, for whoever listens here, until this is ended.

use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use noonmark_os::bpf::{Mode, Program, verdict};
use noonmark_os::devices::devices;
use noonmark_rig::frame::{self, Route, mac};
use noonmark_rig::generator;
use serde_json::json;

/// Prints how many requests were made and how long that took, as a JSON object; with --stay, `ready`.
#[derive(Parser)]
struct Arguments {
    /// The interface at this end
    #[arg(long)]
    interface: String,
    /// The server's hardware address
    #[arg(long, default_value = "00:00:00:00:00:00")]
    server_mac: String,
    /// The server's address
    #[arg(long, default_value = "0.0.0.0")]
    server: Ipv4Addr,
    /// The client's address
    #[arg(long, default_value = "0.0.0.0")]
    client: Ipv4Addr,
    /// For so many seconds, at least
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Ask nothing and let everything through
    #[arg(long)]
    stay: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("frame-live: {problem}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<serde_json::Value, String> {
    let said = |e: io::Error| e.to_string();
    let known = devices().map_err(said)?;
    let device = known.get(&arguments.interface).ok_or("no such interface")?;
    let fate = if arguments.stay { verdict::PASS } else { verdict::DROP };
    let load = |instructions: &[u64]| {
        Program::load(c"noonmark-rig", c"Apache-2.0 OR MIT", instructions)
            .map_err(|e| e.to_string())
    };
    let end = load(&generator::always(fate))?;
    let _attached = end.attach(device.number, Mode::Native).map_err(said)?;
    if arguments.stay {
        println!("ready");
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
    let route = Route {
        to_mac: mac(&arguments.server_mac)?,
        from_mac: device.mac.ok_or("no hardware address")?,
        to: arguments.server,
        port: 123,
    };
    let mut request = frame::headers(&route, arguments.client, 4711, 48).to_vec();
    request.push(0x23);
    request.resize(frame::HEADERS + 48, 0);
    let maker = load(&generator::sends(&request))?;
    let (begun, mut made) = (Instant::now(), 0_u64);
    while begun.elapsed().as_secs_f64() < arguments.seconds {
        maker.run_live(&request, device.number, ROUND).map_err(said)?;
        made += u64::from(ROUND);
    }
    Ok(json!({ "made": made, "seconds": begun.elapsed().as_secs_f64() }))
}

/// Frames in one call, whose setting up takes a while.
const ROUND: u32 = 1 << 16;
