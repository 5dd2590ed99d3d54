//! `ntp-flood`: lets honest clients and attackers ask an NTP server at the same time and prints as JSON who got answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use noonmark_rig::crowd::{Crowd, Wanted};
use noonmark_rig::establish::{Establisher, random};
use noonmark_rig::flood::{self, Plan};
use noonmark_rig::frame::{Mac, NOBODY, Route, mac};

/// Floods an NTP server and counts what honest clients still get.
///
/// A crowd is written as name=NAME,kind=KIND,rate=PER_SECOND,from=NETWORK,clients=COUNT,per-prefix=COUNT. Kinds are plain, nts
/// (a valid cookie for each client), forged-cookie and forged-tag. NETWORK is the first /24, or `anywhere` for random addresses.
#[derive(Parser)]
struct Arguments {
    /// Interface to write frames to
    #[arg(long)]
    interface: String,
    /// Server's hardware address
    #[arg(long, value_parser = mac)]
    server_mac: Mac,
    /// Server's IPv4 address
    #[arg(long)]
    server: Ipv4Addr,
    /// Server's UDP port
    #[arg(long, default_value_t = 123)]
    port: u16,
    /// A crowd that asks all the time
    #[arg(long, value_name = "CROWD")]
    honest: Vec<Wanted>,
    /// A crowd that asks during the flood
    #[arg(long, value_name = "CROWD")]
    attack: Vec<Wanted>,
    /// Seconds before the flood
    #[arg(long, default_value_t = 0.5)]
    calm: f64,
    /// Seconds of the flood
    #[arg(long, default_value_t = 2.0)]
    flood: f64,
    /// Seconds after the flood
    #[arg(long, default_value_t = 1.5)]
    after: f64,
    /// Microseconds to sleep between two looks; 0 takes a whole processor
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pause: u64,
    /// A process of the server, whose time on a processor is measured
    #[arg(long = "process", value_name = "PID")]
    processes: Vec<u32>,
    /// Where keys are established
    #[arg(long)]
    ke: Option<SocketAddr>,
    /// Name in the server's certificate
    #[arg(long, default_value = "localhost")]
    name: String,
    /// Certificates to trust, PEM
    #[arg(long, requires = "ke")]
    ca: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(Arguments::parse()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("ntp-flood: {problem}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let route = Route {
        to_mac: arguments.server_mac,
        from_mac: NOBODY,
        to: arguments.server,
        port: arguments.port,
    };
    let phase = |seconds: f64| Duration::try_from_secs_f64(seconds).map(|time| time.min(LONGEST));
    let plan = Plan {
        interface: arguments.interface,
        route,
        calm: phase(arguments.calm)?,
        flood: phase(arguments.flood)?,
        after: phase(arguments.after)?,
        processes: arguments.processes,
        pause: Duration::from_micros(arguments.pause),
    };
    let establisher = match (arguments.ke, &arguments.ca) {
        (Some(ke), Some(ca)) => Some(Establisher::new(ke, &arguments.name, ca)?),
        _ => None,
    };
    let honest = arguments.honest.into_iter().map(|wanted| (wanted, true));
    let all = honest.chain(arguments.attack.into_iter().map(|wanted| (wanted, false)));
    let mut random = random()?;
    let crowds: Result<Vec<_>, String> = all
        .zip(FIRST_PORT..)
        .map(|((wanted, honest), port)| {
            Crowd::new(wanted, honest, &route, port, establisher.as_ref(), &mut random)
        })
        .collect();
    Ok(serde_json::to_string(&flood::run(&plan, crowds?)?)?)
}

/// The first crowd's port; each has one of its own, by which its answers are known.
const FIRST_PORT: u16 = 20_000;
/// No phase lasts longer than this.
const LONGEST: Duration = Duration::from_secs(60);
