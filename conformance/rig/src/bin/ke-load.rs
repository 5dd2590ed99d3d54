//! `ke-load`: threads that do one whole NTS key establishment after another, and what each cost the server, as JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use noonmark_rig::establish::Establisher;
use noonmark_rig::spent;
use serde::Serialize;

/// Does NTS key establishments as fast as the server lets it and counts them.
#[derive(Parser)]
struct Arguments {
    /// Where keys are established
    #[arg(long)]
    server: SocketAddr,
    /// Name in the server's certificate
    #[arg(long, default_value = "localhost")]
    name: String,
    /// Certificates to trust, PEM
    #[arg(long)]
    ca: PathBuf,
    /// Establishments at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Seconds before the measured part
    #[arg(long, default_value_t = 0.2)]
    warm_up: f64,
    /// Seconds of the measured part
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// A process of the server, whose time on a processor is measured
    #[arg(long = "process", value_name = "PID")]
    processes: Vec<u32>,
}

/// What was seen in the measured part.
#[derive(Serialize)]
struct Outcome {
    handshakes: u64,
    failures: u64,
    /// What the first failures said.
    complaints: Vec<String>,
    handshakes_per_s: f64,
    /// Nanoseconds on a processor that the server's processes spent for each establishment.
    ns_per_handshake: f64,
    /// Part of the time that the server's processes were running.
    busy: f64,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("ke-load: {problem}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &Arguments) -> Result<String, Box<dyn std::error::Error>> {
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up)?;
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?.min(LONGEST);
    let establisher = Establisher::new(arguments.server, &arguments.name, &arguments.ca)?;
    let (done, failed, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let complaints = std::sync::Mutex::new(Vec::new());
    let start = Barrier::new(arguments.threads as usize + 1);
    let work = || {
        start.wait();
        while !over.load(Ordering::Relaxed) {
            match establisher.establish() {
                Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                Err(what) => {
                    if let Ok(mut complaints) = complaints.lock()
                        && complaints.len() < 5
                    {
                        complaints.push(what);
                    }
                    // A server that refuses everything is not asked as fast as it can refuse.
                    std::thread::sleep(Duration::from_millis(5));
                    failed.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    };
    let reading = || {
        let counts = (done.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
        spent::by_processes(&arguments.processes).map(|spent| (counts, spent, Instant::now()))
    };
    let (first, last) = std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(work);
        }
        start.wait();
        std::thread::sleep(warm_up);
        let first = reading();
        std::thread::sleep(seconds);
        let last = reading();
        over.store(true, Ordering::Relaxed);
        (first, last)
    });
    let (((begun, begun_failed), spent_before, at), ((ended, ended_failed), spent_after, until)) =
        (first?, last?);
    let (handshakes, spent) = (ended - begun, (spent_after - spent_before) as f64);
    let seconds = (until - at).as_secs_f64();
    let outcome = Outcome {
        handshakes,
        failures: ended_failed - begun_failed,
        complaints: complaints.into_inner().unwrap_or_default(),
        handshakes_per_s: handshakes as f64 / seconds,
        ns_per_handshake: spent / handshakes.max(1) as f64,
        busy: spent / 1e9 / seconds,
    };
    Ok(serde_json::to_string(&outcome)?)
}

/// No run lasts longer than this.
const LONGEST: Duration = Duration::from_secs(60);
