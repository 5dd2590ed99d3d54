//! `ntp-load`: offers NTP requests at a fixed rate from many client addresses and prints as JSON how many were answered
//! and what each cost the server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use noonmark_nts::Aead;
use noonmark_rig::conversation::Conversations;
use noonmark_rig::establish::{Establisher, random};
use noonmark_rig::frame::{Mac, NOBODY, Route, mac};
use noonmark_rig::load::{self, Plan};
use noonmark_rig::material::Material;

/// Offers NTP requests at a fixed rate and counts the answers.
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
    /// First of the client addresses
    #[arg(long, default_value = "10.0.0.0")]
    first_client: Ipv4Addr,
    /// Number of client addresses that take turns
    #[arg(long, default_value_t = 65_536)]
    clients: u32,
    /// Requests per second
    #[arg(long, default_value_t = 220_000.0)]
    rate: f64,
    /// Seconds before the measured part
    #[arg(long, default_value_t = 0.3)]
    warm_up: f64,
    /// Seconds of the measured part
    #[arg(long, default_value_t = 1.2)]
    seconds: f64,
    /// A process of the server, whose time on a processor is measured
    #[arg(long = "process", value_name = "PID")]
    processes: Vec<u32>,
    /// Processor the server is pinned to
    #[arg(long, default_value_t = 0)]
    server_processor: usize,
    /// Cookies each request asks for under NTS; none for plain NTP
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=8))]
    cookies: u8,
    /// Fewest cookies a good answer brings; as many as asked for if left out
    #[arg(long)]
    fewest_cookies: Option<u8>,
    /// Different requests under NTS
    #[arg(long, default_value_t = 4096)]
    requests: usize,
    /// Answers to requests under NTS need not verify: for an echo program, which sends back what it got
    #[arg(long)]
    unprotected_answers: bool,
    /// Algorithm the keys are for, as in the registry (RFC 8915 §7.5)
    #[arg(long, default_value_t = 15)]
    aead: u16,
    /// Without cookies: each client asks in interleaved mode, after all have been introduced to the server
    #[arg(long)]
    interleaved: bool,
    /// Note when each answer left beside what it says, and how long it took
    #[arg(long)]
    times: bool,
    /// Where keys are established
    #[arg(long, required_if_eq_any([("cookies", "1"), ("cookies", "8")]))]
    ke: Option<SocketAddr>,
    /// Name in the server's certificate
    #[arg(long, default_value = "localhost")]
    name: String,
    /// Certificates to trust, PEM
    #[arg(long)]
    ca: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("ntp-load: {problem}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let plan = Plan {
        interface: arguments.interface.clone(),
        route: Route {
            to_mac: arguments.server_mac,
            from_mac: NOBODY,
            to: arguments.server,
            port: arguments.port,
        },
        first_client: arguments.first_client,
        clients: arguments.clients,
        rate: arguments.rate,
        warm_up: Duration::try_from_secs_f64(arguments.warm_up)?,
        steady: Duration::try_from_secs_f64(arguments.seconds)?.min(LONGEST),
        processes: arguments.processes.clone(),
        server_processor: arguments.server_processor,
        times: arguments.times,
    };
    let material = match (arguments.cookies, arguments.ke, &arguments.ca) {
        (0, _, _) if arguments.interleaved => {
            Material::Interleaved(Conversations::new(arguments.first_client, arguments.clients))
        }
        (0, _, _) => Material::Plain,
        (cookies, Some(ke), Some(ca)) => {
            let aead = Aead::from_id(arguments.aead)
                .ok_or_else(|| format!("algorithm {} is none of ours", arguments.aead))?;
            let establisher = Establisher::new(ke, &arguments.name, ca)?.with(aead);
            let sessions = (0..arguments.requests.div_ceil(8))
                .map(|_| establisher.establish())
                .collect::<Result<Vec<_>, _>>()?;
            let mut material = Material::protected(
                &sessions,
                arguments.requests,
                cookies.into(),
                arguments.fewest_cookies.unwrap_or(cookies).into(),
                &mut random()?,
            )?;
            if arguments.unprotected_answers {
                material.trust_answers();
            }
            material
        }
        _ => return Err("NTS needs --ke and --ca".into()),
    };
    Ok(serde_json::to_string(&load::run(&plan, &material)?)?)
}

/// No run offers load for longer than this.
const LONGEST: Duration = Duration::from_secs(60);
