//! The command line of `noonmark conform`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `noonmark conform`.
#[derive(Args, Clone, Debug)]
pub struct ConformArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ConformCommand,
}

/// What can be judged.
#[derive(Clone, Debug, Subcommand)]
pub enum ConformCommand {
    /// Ask a server and say which clauses of which RFC it keeps, with the packets that show it
    #[command(after_help = SERVER_STATUS)]
    Server(ServerArguments),
    /// Play servers to a client that is pointed at them, and say which clauses of which RFC it keeps
    #[command(after_help = super::client::CLIENT_STATUS)]
    Client(super::client::ClientArguments),
    /// Say what a clause asks and what is sent for it, and, from a report, what came back, decoded
    Explain(ExplainArguments),
}

/// `noonmark conform server`.
#[derive(Args, Clone, Debug)]
pub struct ServerArguments {
    /// The server: HOST or HOST:PORT, an IPv6 address with a port in brackets; the port is that of NTP, 123 unless named
    pub host: String,
    /// Where it establishes keys [default: the same host, port 4460, if anybody is there]
    #[arg(long, value_name = "HOST:PORT")]
    pub ke: Option<String>,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Make the slow and the statistical probes too: up to fifteen minutes instead of one
    #[arg(long)]
    pub deep: bool,
    /// Datagrams a second, at most, 1 to 1000; key establishment gets two fifths of it
    #[arg(long, value_name = "NUMBER", default_value_t = 100.0, value_parser = parse_rate)]
    pub rate: f64,
    /// Judge this clause alone; may be repeated
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// The server lies beyond loopback and private networks, and its owner allows the test
    #[arg(long)]
    pub allowed: bool,
    /// Write all that was sent and received to this file, as a recording
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Write the report to this file as a page of HTML
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print one JSON object with all evidence (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

/// `noonmark conform explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArguments {
    /// The clause, as NS-14 [default: list them all]
    pub id: Option<String>,
    /// Show what this report has for it, as `noonmark conform … --json` printed it
    #[arg(long, value_name = "FILE", requires = "id")]
    pub report: Option<PathBuf>,
    /// Show control requests too
    #[arg(long, requires = "report")]
    pub controls: bool,
    /// Print JSON (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=1000.0).contains(&rate) { Ok(rate) } else { Err("between 1 and 1000".to_owned()) }
}

const SERVER_STATUS: &str = "\
Exit status: 0 every clause that was judged is kept, or departed from in a known and harmless way; 1 a SHOULD or a \
hardening rule is not kept, or something could not be told; 2 a MUST, or what follows from one, is not kept; 3 nothing \
could be told; 64 wrong usage";
