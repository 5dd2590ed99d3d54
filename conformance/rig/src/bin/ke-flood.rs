//! `ke-flood`: thousands of connections to key establishment, few of them meant well, and what became of them as JSON.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use noonmark_rig::establish::{Establisher, random};
use noonmark_rig::frame::{self, HEADERS, Mac, NOBODY, Route, mac};
use noonmark_rig::siege::{self, Plan};
use noonmark_rig::tap::Sender;

/// Opens connections to key establishment: a quarter each whole ones, slow ones (an octet at a time), silent ones, garbage.
#[derive(Parser)]
struct Arguments {
    /// Where keys are established
    #[arg(long)]
    server: SocketAddrV4,
    /// Name in the server's certificate
    #[arg(long, default_value = "localhost")]
    name: String,
    /// Certificates to trust, PEM
    #[arg(long)]
    ca: PathBuf,
    /// First of the addresses that connections come from, which the machine must have
    #[arg(long)]
    first_client: Ipv4Addr,
    /// Number of addresses that take turns
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Connections in all
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Seconds over which they begin, and when those end that are left
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Milliseconds between two octets of a slow connection
    #[arg(long, default_value_t = 50)]
    drip: u64,
    /// Interface to write to, for connections that are asked for and never taken up, one for each eight of the others
    #[arg(long, requires = "server_mac")]
    interface: Option<String>,
    /// Server's hardware address
    #[arg(long, value_parser = mac)]
    server_mac: Option<Mac>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("ke-flood: {problem}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let most = siege::raise_descriptor_limit()?;
    if most < u64::from(arguments.connections) {
        return Err(
            format!("only {most} descriptors for {} connections", arguments.connections).into()
        );
    }
    let plan = Plan {
        server: arguments.server,
        first_client: arguments.first_client,
        clients: arguments.clients,
        connections: arguments.connections,
        time: Duration::try_from_secs_f64(arguments.seconds)?.min(LONGEST),
        drip: Duration::from_millis(arguments.drip),
    };
    let establisher = Establisher::new(arguments.server.into(), &arguments.name, &arguments.ca)?;
    let mut half_open = match (&arguments.interface, arguments.server_mac) {
        (Some(interface), Some(to_mac)) => {
            let (to, port) = (*arguments.server.ip(), arguments.server.port());
            let route = Route { to_mac, from_mac: NOBODY, to, port };
            Some((Sender::open(interface, 1)?, route))
        }
        _ => None,
    };
    let mut failed = None;
    let each = |n: u32| {
        if let Some((sender, route)) = &mut half_open
            && n.is_multiple_of(8)
        {
            // Documentation's network, which nobody is in: what the server sends back goes nowhere.
            let from = Ipv4Addr::from(SPOOFED + n % 256);
            let frame = frame::syn(route, from, 1024 + (n % 60_000) as u16, n);
            let (front, rest) = frame.split_first_chunk::<HEADERS>().expect("a frame is longer");
            failed = sender.send(&[(*front, rest)]).err().or(failed.take());
        }
    };
    let outcome = siege::lay(&plan, establisher, &mut random()?, each)?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(serde_json::to_string(&outcome)?),
    }
}

/// 198.51.100.0 (RFC 5737).
const SPOOFED: u32 = 0xc633_6400;
/// No siege lasts longer than this.
const LONGEST: Duration = Duration::from_secs(60);
