//! `noonmark-demo`: an NTS server and a client on loopback, and what passes between them.
//!
//! Everything it makes lives in one private folder that is gone afterwards. Without root, without settings; no clock is set.

mod authority;
mod daemon;
mod folder;
mod row;

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use noonmark_client::{Client, Event, Family, KeServer, Plan, Settings};
use noonmark_nts::KeRequest;
use noonmark_os::clock;
use noonmark_units::Mono;

use crate::command::{parse_seconds, refuse};
use crate::interrupt::Interrupt;
use crate::paint::Paint;
use crate::query::DEFAULT_AEADS;
use crate::{Verdict, trust};
use daemon::{Daemon, Ports};
use folder::PrivateFolder;
use row::{Row, State};

/// Starts an NTS server on loopback with a throw-away certificate, asks it over NTS, and shows what comes back.
///
/// Needs neither root nor settings and never sets a clock. Ctrl-C ends it.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "noonmark-demo",
    version,
    after_help = "\
Exit status: 0 if authenticated answers came and were verified; 2 if none came or something failed; 64 wrong usage"
)]
pub struct DemoArguments {
    /// End after this time, as in 10s, 500ms or 2m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,
    /// Time from one question to the next, as in 1s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    pub interval: Duration,
    /// Print one JSON object per sample and nothing else (docs/json.md)
    #[arg(long)]
    pub json: bool,
}

/// Reads the command line and runs the demonstration.
#[must_use]
pub fn main() -> ExitCode {
    let verdict = match DemoArguments::try_parse() {
        Ok(arguments) => run(&arguments),
        Err(error) => refuse(&error),
    };
    verdict.into()
}

fn run(arguments: &DemoArguments) -> Verdict {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(async {
        // Before anything is made that would have to be taken away again.
        let mut interrupt = match Interrupt::new() {
            Ok(interrupt) => interrupt,
            Err(error) => return failed(&error),
        };
        match demonstrate(arguments, &mut interrupt).await {
            Ok(verdict) => verdict,
            Err(error) => failed(&*error),
        }
    })
}

fn failed(error: &dyn std::fmt::Display) -> Verdict {
    crate::output::say(format_args!("noonmark-demo: {error}"));
    Verdict::Critical
}

type Failure = Box<dyn std::error::Error>;

async fn demonstrate(
    arguments: &DemoArguments,
    interrupt: &mut Interrupt,
) -> Result<Verdict, Failure> {
    let program = interrupt.unless(daemon::build()).await.ok_or(TOO_EARLY)??;
    // Dropped last: the daemon is gone by then.
    let folder = PrivateFolder::make()?;
    authority::make(folder.path())?;
    let mut daemon =
        interrupt.unless(Daemon::start(&program, &folder)).await.ok_or(TOO_EARLY)??;

    let ports = daemon.ports();
    let settings = Settings {
        window: arguments.interval.clamp(SHORTEST_WINDOW, LONGEST_WINDOW),
        ..Settings::new(Plan::Continuous { interval: arguments.interval }, clock::precision())
    };
    let ke_server = KeServer {
        host: authority::ADDRESS.to_owned(),
        port: ports.ke,
        family: Family::V4,
        tls: trust::tls(Some(&authority::ca_file(folder.path())))?,
        request: KeRequest::offering(&DEFAULT_AEADS),
        ntp_port: None,
        time_limit: Duration::from_secs(5),
    };
    let client = Client::nts(ke_server, settings)?;
    let mut show = Show::new(arguments.json);
    show.introduce(ports, &folder);
    let verdict = follow(client, &mut daemon, arguments.duration, interrupt, &mut show).await?;
    show.conclude();
    daemon.stop().await;
    Ok(verdict)
}

/// Shows sample after sample until the time is up, somebody interrupts, or the server is gone.
async fn follow(
    mut client: Client,
    daemon: &mut Daemon,
    duration: Option<Duration>,
    interrupt: &mut Interrupt,
    show: &mut Show,
) -> Result<Verdict, Failure> {
    let end = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    let mut rate = Rate::default();
    // Only the second reading gives a rate.
    rate.read(daemon).await;
    loop {
        let event = tokio::select! {
            biased;
            () = interrupt.wait() => break,
            () = &mut end => break,
            event = client.next() => event,
            outcome = daemon.ended() => return Err(outcome.into()),
        };
        let state = match event {
            Some(Event::Established(established)) => {
                show.established(&established);
                continue;
            }
            Some(Event::Measured(exchange)) => State::Verified(exchange),
            Some(Event::Refused(refusal)) => State::Refused(refusal),
            // What came has its row already.
            Some(Event::Dropped(_)) => continue,
            Some(Event::Kiss { code, authenticated }) => State::Kiss { code, authenticated },
            Some(Event::Unanswered) => State::Unanswered,
            Some(Event::Unreachable(error)) => State::Failed(error.to_string()),
            Some(Event::NotEstablished(error)) => State::Failed(error.to_string()),
            Some(Event::GaveUp(reason)) => return Err(reason.to_string().into()),
            None => break,
        };
        let answers_per_second = rate.read(daemon).await;
        show.row(&Row {
            state,
            aead: client.aead(),
            cookies_left: client.cookies_left(),
            answers_per_second,
        })?;
    }
    Ok(if show.verified > 0 { Verdict::Good } else { Verdict::Critical })
}

/// Where the demonstration is shown: rows of a table, or objects.
struct Show {
    json: bool,
    paint: Paint,
    /// Rows since the headings were last printed; `None` before the first.
    since_headings: Option<u32>,
    verified: u64,
    others: u64,
}

impl Show {
    fn new(json: bool) -> Self {
        let paint = Paint::for_stream(&std::io::stdout());
        Self { json, paint, since_headings: None, verified: 0, others: 0 }
    }

    fn introduce(&self, ports: Ports, folder: &PrivateFolder) {
        let Ports { ntp, ke } = ports;
        let ca = authority::ca_file(folder.path());
        let ca = ca.display();
        // Under Cargo nothing is installed.
        let by_cargo = std::env::var_os("CARGO").is_some();
        let noonmark = if by_cargo { "cargo run --quiet --bin noonmark --" } else { "noonmark" };
        self.say(&format!(
            "noonmarkd serves NTP on UDP port {ntp} and NTS key establishment on TCP port {ke} of {host}.\n\
             \n\
             To point a chronyd at it, as long as this runs:\n\
             \n    server {host} port {ntp} nts ntsport {ke} iburst\n    ntstrustedcerts {ca}\n\
             \n\
             or ask it by hand:\n\
             \n    {noonmark} query {host} --nts --ke-port {ke} --ca {ca}\n",
            host = authority::HOST,
        ));
    }

    fn established(&self, established: &noonmark_client::Established) {
        self.say(&format!(
            "Keys established in {}: {}, {} cookies.\n",
            crate::query::unsigned(established.took.as_secs_f64()),
            established.aead,
            established.cookies,
        ));
    }

    /// Says something that is no sample.
    fn say(&self, text: &str) {
        if self.json {
            return;
        }
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    fn row(&mut self, row: &Row) -> Result<(), std::io::Error> {
        match row.state {
            State::Verified(_) => self.verified += 1,
            _ => self.others += 1,
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &row.object())?;
        } else {
            let repeat = std::io::stdout().is_terminal().then_some(HEADINGS_EVERY);
            if self.since_headings.is_none_or(|rows| repeat.is_some_and(|every| rows >= every)) {
                writeln!(out, "{}", self.paint.heading(&Row::headings()))?;
                self.since_headings = Some(0);
            }
            self.since_headings = self.since_headings.map(|rows| rows + 1);
            out.write_all(row.line(self.paint).as_bytes())?;
        }
        writeln!(out)?;
        out.flush()
    }

    fn conclude(&self) {
        let text = format!(
            "\n{} answers authenticated and verified, {} rows without one.",
            self.verified, self.others
        );
        self.say(&if self.verified > 0 { self.paint.good(&text) } else { self.paint.bad(&text) });
    }
}

/// Answers per second over the last seconds, out of a counter that only grows.
///
/// The daemon publishes its counters a moment after it answers, so one reading may miss the answer just received.
#[derive(Default)]
struct Rate {
    readings: VecDeque<(u64, Mono)>,
}

impl Rate {
    /// The daemon's rate now, if it says and there is an earlier reading.
    async fn read(&mut self, daemon: &Daemon) -> Option<f64> {
        let answers = daemon.answers().await?;
        self.of(answers, clock::monotonic())
    }

    /// The rate now, once there is an earlier reading to compare with.
    fn of(&mut self, answers: u64, now: Mono) -> Option<f64> {
        let is_old = |reading: &(u64, Mono)| now.since(reading.1) > RATE_OVER;
        while self.readings.len() > 1 && self.readings.front().is_some_and(is_old) {
            self.readings.pop_front();
        }
        self.readings.push_back((answers, now));
        let (before, then) = *self.readings.front()?;
        let seconds = now.since(then).as_secs_f64();
        (seconds >= SHORTEST_RATE_S).then(|| answers.saturating_sub(before) as f64 / seconds)
    }
}

/// A time with its unit: `10s`, `500ms`, `2m`, `1h`; without one, seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number and one of ms, s, m, h, as in 10s".to_owned()),
    };
    let seconds: f64 =
        number.parse().map_err(|_| "a time is a number and a unit, as in 10s".to_owned())?;
    parse_seconds(&(seconds * factor).to_string())
}

/// Nothing was shown, so nothing is known to work.
const TOO_EARLY: &str = "interrupted before an authenticated answer came";
/// Long enough to smooth, short enough to be called live.
const RATE_OVER: Duration = Duration::from_secs(5);
/// Less time than this says nothing about answers per second.
const SHORTEST_RATE_S: f64 = 0.15;
/// On a terminal the headings come again before they have scrolled away.
const HEADINGS_EVERY: u32 = 20;
/// A loaded machine may be slow even on loopback.
const SHORTEST_WINDOW: Duration = Duration::from_millis(500);
const LONGEST_WINDOW: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        DemoArguments::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse_time(text).ok(), millis.map(Duration::from_millis), "{text}");
        };
        check("10s", Some(10_000));
        check("500ms", Some(500));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("1.5", Some(1_500));
        check("", None);
        check("s", None);
        check("-1s", None);
        check("0s", None);
        check("3d", None);
        check("99h", None);
    }

    #[test]
    fn a_rate_needs_two_readings() {
        let mut rate = Rate::default();
        let second = |n: u64| Mono(n * 1_000_000_000);
        assert_eq!(rate.of(10, second(0)), None);
        assert_eq!(rate.of(11, Mono(1_000_000)), None);
        assert_eq!(rate.of(14, second(2)), Some(2.0));
        assert_eq!(rate.of(14, second(4)), Some(1.0));
        assert_eq!(rate.of(14, second(100)), Some(0.0), "what is long past does not count");
        assert_eq!(
            rate.of(0, second(101)),
            Some(0.0),
            "a restarted server does not count backwards"
        );
    }
}
