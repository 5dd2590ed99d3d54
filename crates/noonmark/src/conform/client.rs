//! `noonmark conform client`.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use noonmark_prober::client::lines::{Program, lines};
use noonmark_prober::client::{News, Run, Settings, looks};
use noonmark_prober::decode::write_keys;
use noonmark_prober::output::{page, table};
use noonmark_prober::{Clause, pcap};

use super::{painter, verdict_of, write_file};
use crate::Verdict;
use crate::command::parse_seconds;
use crate::interrupt::Interrupt;
use crate::output::{complain, deliver, say, write_json, write_text};

/// `noonmark conform client`.
#[derive(Args, Clone, Debug)]
pub struct ClientArguments {
    /// The first address to listen on; each script takes the one after that of the script before
    #[arg(long, value_name = "ADDRESS")]
    pub listen: IpAddr,
    /// TCP port of key establishment
    #[arg(long, value_name = "PORT", default_value_t = 4460, value_parser = clap::value_parser!(u16).range(1..))]
    pub ke_port: u16,
    /// UDP port of NTP; another than 123 is named by key establishment
    #[arg(long, value_name = "PORT", default_value_t = 123, value_parser = clap::value_parser!(u16).range(1..))]
    pub ntp_port: u16,
    /// Point the client at names that end in this, s1.DOMAIN and so on, instead of addresses
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Where the authority's certificate and the lines for each client are written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Start the client under test with this line of shell once everything listens, and end it afterwards
    #[arg(long, value_name = "COMMAND")]
    pub run: Option<String>,
    /// Seconds to wait for the client to come, 0.01 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub patience: Duration,
    /// How many times longer than usual a script may take, 1 to 100, for clients that ask seldom
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = parse_slowness)]
    pub slowness: f64,
    /// Play only so many scripts at once, and start the client anew for the next ones
    #[arg(long, value_name = "NUMBER", requires = "run", value_parser = clap::value_parser!(u16).range(1..))]
    pub at_once: Option<u16>,
    /// What the client is called in the report
    #[arg(long, value_name = "NAME", default_value = "client")]
    pub name: String,
    /// Judge this clause alone; may be repeated
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// The addresses lie beyond loopback and private networks, and that is as it should be
    #[arg(long)]
    pub allowed: bool,
    /// Write all that was sent and received to this file, as a recording, and the keys to FILE.keys
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Write the report to this file as a page of HTML
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print one JSON object with all evidence (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

fn parse_slowness(text: &str) -> Result<f64, String> {
    let slowness: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (1.0..=100.0).contains(&slowness) {
        Ok(slowness)
    } else {
        Err("between 1 and 100".to_owned())
    }
}

/// The exit status, for the help.
pub const CLIENT_STATUS: &str = "\
Exit status: 0 every clause that was judged is kept, or departed from in a known and harmless way; 1 a SHOULD or a \
hardening rule is not kept, or something could not be told; 2 a MUST, or what follows from one, is not kept; 3 nothing \
could be told; 64 wrong usage";

/// Plays the servers, prints the verdicts and writes the files asked for.
#[must_use]
pub fn run(arguments: &ClientArguments) -> Verdict {
    if let Some(unknown) = arguments.only.iter().find(|id| Clause::find(id).is_none()) {
        complain(format_args!(
            "no clause has the id {unknown}; `noonmark conform explain` lists them all"
        ));
        return Verdict::Usage;
    }
    let settings = settings(arguments);
    if let Err(problem) = stays_private(&settings, arguments.allowed) {
        complain(problem);
        return Verdict::Usage;
    }
    match play(arguments, settings) {
        Ok(verdict) => verdict,
        Err(problem) => {
            complain(problem);
            Verdict::Critical
        }
    }
}

fn settings(arguments: &ClientArguments) -> Settings {
    Settings {
        ke_port: arguments.ke_port,
        ntp_port: arguments.ntp_port,
        domain: arguments.domain.clone(),
        only: arguments.only.clone(),
        patience: arguments.patience,
        slowness: arguments.slowness,
        ..Settings::new(arguments.listen)
    }
}

/// Listening to the world would serve time with a certificate that nobody should trust, and lies with the others.
fn stays_private(settings: &Settings, is_allowed: bool) -> Result<(), String> {
    let count = settings.scripts().len();
    for address in (0..count).map(|number| settings.address(number)) {
        match address {
            Some(address) if is_allowed || is_private(address) => {}
            Some(address) => {
                return Err(format!(
                    "{address} is neither loopback nor private; --allowed says that this is as it should be"
                ));
            }
            None => {
                return Err(format!(
                    "{count} addresses are needed, and there are fewer from {}",
                    settings.listen
                ));
            }
        }
    }
    Ok(())
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

fn play(arguments: &ClientArguments, settings: Settings) -> Result<Verdict, String> {
    let run = Run::open(settings)?;
    let stop = interrupted()?;
    let all = run.posts().len();
    let at_once = arguments.at_once.map_or(all, usize::from);
    let mut done = 0;
    for first in (0..all).step_by(at_once) {
        let round = first..all.min(first + at_once);
        write_lines(arguments, &run, round.clone())?;
        let client = arguments.run.as_deref().map(Client::start).transpose()?.map(RefCell::new);
        let is_over = || {
            let ended = client.as_ref().and_then(|client| client.borrow_mut().ended());
            if let Some(how) = ended {
                complain(format_args!("the client under test has ended: {how}"));
                stop.store(true, Ordering::Relaxed);
            }
            stop.load(Ordering::Relaxed)
        };
        run.play(round, is_over, |news| match news {
            News::Began(script) => {
                say(format_args!("noonmark: the client came to `{}`", script.name));
            }
            News::Ended(_) => {
                done += 1;
                if done % 10 == 0 || done == all {
                    say(format_args!("noonmark: {done} of {all} scripts are over"));
                }
            }
        });
    }
    let outcome = run.judge(&arguments.name);
    let report = outcome.report;
    let mut verdict = verdict_of(&report);
    if let Some(file) = &arguments.pcap {
        verdict = write_file(file, &pcap::recording(&outcome.wire), verdict);
        let mut beside = file.clone().into_os_string();
        beside.push(".keys");
        verdict = write_file(beside.as_ref(), write_keys(&outcome.keys).as_bytes(), verdict);
    }
    if let Some(file) = &arguments.html {
        verdict = write_file(file, page::page(&report, &looks()).as_bytes(), verdict);
    }
    let written =
        if arguments.json { write_json(&report) } else { write_text(&table(&report, painter())) };
    Ok(deliver(verdict, written))
}

/// Writes the authority and the lines for each client, and says where.
fn write_lines(arguments: &ClientArguments, run: &Run, round: Range<usize>) -> Result<(), String> {
    let posts = run.posts().get(round).unwrap_or_default();
    let folder = std::path::absolute(&arguments.folder)
        .map_err(|error| format!("{}: {error}", arguments.folder.display()))?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .map_err(|error| format!("{}: {error}", path.display()))
            .map(|()| path)
    };
    let ca = write("prober-ca.pem", &run.authority_pem())?;
    say(format_args!(
        "the client has to trust {} and to ask {} servers; the lines for",
        ca.display(),
        posts.len()
    ));
    for program in Program::ALL {
        let path = write(program.file(), &lines(program, posts, &ca))?;
        say(format_args!(
            "  {:22} are in {}; {}",
            program.name(),
            path.display(),
            program.advice()
        ));
    }
    if arguments.domain.is_some() {
        let hosts: String = posts
            .iter()
            .filter_map(|post| Some(format!("{} {}\n", post.address, post.name.as_ref()?)))
            .collect();
        let path = write("prober-hosts", &hosts)?;
        say(format_args!("  {:22} are in {}", "the file hosts", path.display()));
    }
    say(format_args!("waiting at most {} s for it to come", arguments.patience.as_secs()));
    Ok(())
}

/// Becomes true when somebody wants an end: what was seen until then is judged.
fn interrupted() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("waiting for signals: {error}"))?;
    let interrupt = {
        let _guard = runtime.enter();
        Interrupt::new().map_err(|error| format!("waiting for signals: {error}"))?
    };
    std::thread::spawn(move || {
        let mut interrupt = interrupt;
        runtime.block_on(interrupt.wait());
        told.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

/// The client under test, where we start it. Dropped, it is ended.
struct Client {
    child: Child,
    has_ended: bool,
}

impl Client {
    fn start(line: &str) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        // What it says goes to standard error; standard output is the report's. The shell becomes the client.
        shell
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::null())
            .stdout(Stdio::from(std::io::stderr()));
        let child = shell.spawn().map(|child| Self { child, has_ended: false });
        child.map_err(|error| format!("starting the client: {error}"))
    }
}

impl Client {
    /// How it ended, told once.
    fn ended(&mut self) -> Option<ExitStatus> {
        if self.has_ended {
            return None;
        }
        let how = self.child.try_wait().ok()?;
        self.has_ended = how.is_some();
        how
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_our_own_are_listened_on_unless_told() {
        let check = |address: &str, is_allowed: bool, holds: bool| {
            let settings = Settings::new(address.parse().expect("an address"));
            assert_eq!(stays_private(&settings, is_allowed).is_ok(), holds, "{address}");
        };
        check("127.0.0.11", false, true);
        check("10.1.2.3", false, true);
        check("fd00::1", false, true);
        check("192.0.2.1", false, false);
        check("192.0.2.1", true, true);
        check("255.255.255.250", true, false);
    }
}
