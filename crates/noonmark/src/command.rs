//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use noonmark_client::Family;
use noonmark_config::import::Dialect;
use noonmark_nts::Aead;

use crate::Verdict;
use crate::conform::arguments::ConformArguments;
use crate::decode::DecodeArguments;

/// Asks NTP and NTS servers, checks and imports configurations, reads the state of noonmarkd. Sets nothing.
#[derive(Debug, Parser)]
#[command(name = "noonmark", version, after_help = EXIT_STATUS, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the tool can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a server what time it has and print what was learned
    #[command(after_help = QUERY_STATUS)]
    Query(QueryArguments),
    /// Check a configuration, or show the defaults
    Config(ConfigArguments),
    /// Make a configuration from that of ntpd, NTPsec, chrony or ntpd-rs, and say what becomes of each line
    #[command(after_help = IMPORT_STATUS)]
    Import(ImportArguments),
    /// Judge a server by the clauses of its RFCs
    Conform(ConformArguments),
    /// Show packets and records in full, with what is wrong with them
    #[command(after_help = DECODE_STATUS)]
    Decode(DecodeArguments),
    /// Show the state of a running noonmarkd
    #[command(after_help = EXIT_STATUS)]
    Status(StatusArguments),
    /// Show the sources of time that a running noonmarkd asks
    #[command(after_help = SOURCES_STATUS)]
    Sources(SourcesArguments),
    /// Show where this machine's clock stands, by a running noonmarkd
    #[command(after_help = TRACKING_STATUS)]
    Tracking(StatusArguments),
    /// Wait until this machine's clock is synchronised
    #[command(after_help = WAIT_STATUS)]
    WaitSync(WaitArguments),
}

/// `noonmark query`.
#[derive(Args, Clone, Debug)]
pub struct QueryArguments {
    /// Name or address of the server, without a port
    #[arg(value_parser = parse_host)]
    pub host: String,
    /// UDP port of the server; with --nts, instead of the one negotiated [default: 123]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Authenticate with NTS; never falls back to plain NTP
    #[arg(long)]
    pub nts: bool,
    /// TCP port of key establishment
    #[arg(long, value_name = "PORT", default_value_t = 4460, requires = "nts", value_parser = clap::value_parser!(u16).range(1..))]
    pub ke_port: u16,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", requires = "nts")]
    pub ca: Option<PathBuf>,
    /// Offer only this AEAD, by number: 15, 17 or 30; may be repeated, most wanted first
    #[arg(long, value_name = "NUMBER", requires = "nts", value_parser = parse_aead)]
    pub aead: Vec<Aead>,
    /// Do not ask for the exporter context of AEAD 30 that RFC 8915 demands (record 1024)
    #[arg(long, requires = "nts")]
    pub no_compliant_gcm_siv: bool,
    /// How many times to ask, 1 to 1000
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub count: u32,
    /// Seconds from one question to the next, 0.01 to 3600 [default: 2, and 16 for more than 8 questions]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub interval: Option<Duration>,
    /// Seconds to wait for an answer, and for key establishment, 0.01 to 3600
    #[arg(long, visible_alias = "timeout", value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub time_out: Duration,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

impl QueryArguments {
    /// The address family asked for.
    #[must_use]
    pub fn family(&self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        }
    }

    /// From one question to the next: a short burst may be quick, a long run leaves the server in peace.
    #[must_use]
    pub fn spacing(&self) -> Duration {
        self.interval.unwrap_or(if self.count <= 8 {
            Duration::from_secs(2)
        } else {
            Duration::from_secs(16)
        })
    }
}

/// `noonmark config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with configurations.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read a configuration as noonmarkd would and say what is wrong with it, all at once
    Check {
        /// The file
        file: PathBuf,
        /// Print one JSON object (docs/json.md)
        #[arg(long)]
        json: bool,
    },
    /// Print a configuration
    Show {
        /// The one that holds where the file says nothing, every key explained
        #[arg(long, required = true)]
        defaults: bool,
        /// Print the keys as a JSON list (docs/json.md)
        #[arg(long)]
        json: bool,
    },
}

/// `noonmark import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArguments {
    /// An ntp.conf, chrony.conf or ntp.toml; what it includes is read as well
    pub file: PathBuf,
    /// Whose it is, where its words do not tell: ntp, chrony or ntpd-rs
    #[arg(long, value_name = "PROGRAM", value_parser = parse_dialect)]
    pub from: Option<Dialect>,
    /// Write the configuration to this file, and the report to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Let it take the place of a file that is there
    #[arg(long, requires = "output")]
    pub replace: bool,
    /// Write nothing and fail if a line is not supported
    #[arg(long)]
    pub strict: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

/// `noonmark status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    /// The Unix socket on which noonmarkd shows its state
    #[arg(long, value_name = "PATH", default_value = DEFAULT_STATUS_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON (docs/json.md, docs/status.md)
    #[arg(long)]
    pub json: bool,
}

/// `noonmark sources`.
#[derive(Args, Clone, Debug)]
pub struct SourcesArguments {
    /// Say of each why it is followed or not
    #[arg(long)]
    pub why: bool,
    #[command(flatten)]
    /// Whom to ask.
    pub status: StatusArguments,
}

/// `noonmark wait-sync`.
#[derive(Args, Clone, Debug)]
pub struct WaitArguments {
    /// Seconds to wait, 0.01 to 3600 [default: for ever]
    #[arg(long, visible_alias = "time-out", value_name = "SECONDS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,
    /// Seconds the clock may be wrong by at most, 0.000001 to 16
    #[arg(long, value_name = "SECONDS", value_parser = parse_error)]
    pub max_error: Option<Duration>,
    #[command(flatten)]
    /// Whom to ask.
    pub status: StatusArguments,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Errors
    /// The verdict to leave with, after saying what was wrong or printing the help that was asked for.
    pub fn read() -> Result<Self, Verdict> {
        Self::try_parse().map_err(|error| refuse(&error))
    }
}

/// Prints what clap has to say and turns it into our statuses.
#[must_use]
pub fn refuse(error: &clap::Error) -> Verdict {
    crate::output::deliver(verdict_of(error), error.print())
}

/// 64 for wrong usage, not clap's 2, which means critical here; 0 for help and version.
fn verdict_of(error: &clap::Error) -> Verdict {
    if error.use_stderr() { Verdict::Usage } else { Verdict::Good }
}

/// A name or an address; one colon or brackets are the sign of a port, which has options of its own.
fn parse_host(text: &str) -> Result<String, String> {
    if text.starts_with('[') || text.matches(':').count() == 1 {
        return Err("a name or an address stands alone: the port goes to --port, or to --ke-port \
                    for key establishment, and IPv6 addresses take no brackets"
            .to_owned());
    }
    Ok(text.to_owned())
}

fn parse_aead(text: &str) -> Result<Aead, String> {
    text.parse().ok().and_then(Aead::from_id).ok_or_else(|| {
        "the AEADs are 15 (AES-SIV-CMAC-256), 17 (AES-SIV-CMAC-512) and 30 (AES-128-GCM-SIV)"
            .to_owned()
    })
}

fn parse_dialect(text: &str) -> Result<Dialect, String> {
    let found = Dialect::ALL.into_iter().find(|dialect| dialect.as_str() == text);
    found.ok_or_else(|| "ntp (ntpd and NTPsec), chrony or ntpd-rs".to_owned())
}

/// Seconds with a fraction, from 10 ms to an hour.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.01..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.01 and 3600 seconds".to_owned())
    }
}

/// Seconds with a fraction, from a microsecond to what no client accepts any more.
fn parse_error(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (1e-6..=16.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("between 0.000001 and 16 seconds".to_owned())
    }
}

/// Where noonmarkd shows its state unless told otherwise.
pub const DEFAULT_STATUS_SOCKET: &str = "/run/noonmark/status.sock";

const EXIT_STATUS: &str = "\
Exit status: 0 good; 1 warning; 2 critical, as without an answer; 3 unknown; 64 wrong usage \
(docs/json.md says when, for each command)";

const DECODE_STATUS: &str = "\
Exit status: 0 nothing is wrong; 1 a packet breaks a rule that binds it, or could not be read; 2 what was given cannot \
be read; 64 wrong usage";

const QUERY_STATUS: &str = "\
Exit status: 0 good; 1 warning: answers are missing or not to be used; 2 critical: no answer; \
3 unknown: authentication was refused; 64 wrong usage";

const IMPORT_STATUS: &str = "\
Exit status: 0 every line is kept, changed or ignored; 1 some are not supported; 2 the same with --strict, or nothing \
could be imported or written; 64 wrong usage

The configuration goes to standard output and the report to standard error, unless --output says where to.";

const SOURCES_STATUS: &str = "\
Exit status: 0 a source is followed and nothing is wrong with the others; 1 something is; \
2 none is followed, or noonmarkd cannot be asked; 3 it asks no sources; 64 wrong usage

reach has a bit for each of the last eight questions, in octal: 377 when all were answered. The offset is given as it \
is now, [as the last answer measured it], and ± the most it can be wrong by.";

const TRACKING_STATUS: &str = "\
Exit status: 0 the clock follows sources; 1 not any more, or a correction was refused; 2 it never did, or noonmarkd \
cannot be asked; 3 it asks no sources; 64 wrong usage";

const WAIT_STATUS: &str = "\
Exit status: 0 synchronised; when the time is over: 1 synchronised, but not known that well; 2 not synchronised, or \
noonmarkd cannot be asked; 3 it asks no sources; 64 wrong usage";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_told_from_a_call_for_help() {
        fn check(line: &str, expected: Option<Verdict>) {
            let parsed = Arguments::try_parse_from(line.split(' '));
            assert_eq!(parsed.err().map(|error| verdict_of(&error)), expected, "{line}");
        }
        check("noonmark query host", None);
        check("noonmark query 2001:db8::1", None);
        check("noonmark query fe80::1%eth0", None);
        check("noonmark query host --nts --ca x --aead 30 --aead 15 -n 4 -4 --json", None);
        check("noonmark import x --from ntp -o y --replace --strict --json", None);
        check("noonmark sources --why --json --socket x", None);
        check("noonmark tracking --json", None);
        check("noonmark decode --pcap x --keys y --port 123 --port 11123 --json", None);
        check("noonmark decode --hex 80000000 --ke response", None);
        check("noonmark wait-sync --timeout 5 --max-error 0.001", None);
        check("noonmark conform server host:123 --ke [::1]:4460 --only NS-14 --json", None);
        check("noonmark conform explain NS-14 --report x --controls", None);
        check("noonmark --help", Some(Verdict::Good));
        check("noonmark query --help", Some(Verdict::Good));
        check("noonmark --version", Some(Verdict::Good));
        for line in [
            "noonmark",
            "noonmark query",
            "noonmark query host:123",
            "noonmark query [::1]",
            "noonmark query [::1]:123",
            "noonmark query host -n 0",
            "noonmark query host -n 1001",
            "noonmark query host --ca x",
            "noonmark query host --nts --aead 14",
            "noonmark query host -4 -6",
            "noonmark query host --port 0",
            "noonmark query host --time-out 0",
            "noonmark query host --time-out -1",
            "noonmark query host --time-out nan",
            "noonmark wait-sync --timeout 0",
            "noonmark wait-sync --max-error 17",
            "noonmark config show",
            "noonmark conform",
            "noonmark conform server",
            "noonmark conform server host --rate 0",
            "noonmark conform explain --report x",
            "noonmark decode",
            "noonmark decode --pcap x --hex 00",
            "noonmark decode --pcap x --ke request",
            "noonmark decode --hex 00 --port 123",
            "noonmark import",
            "noonmark import x --from sntp",
            "noonmark import x --replace",
            "noonmark frobnicate",
        ] {
            check(line, Some(Verdict::Usage));
        }
    }
}
