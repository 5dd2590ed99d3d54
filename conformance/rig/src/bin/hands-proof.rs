//! `hands-proof`: has noonmarkd, whole and unmodified, live through other hands on its clock, and through becoming another machine.
//!
//! Runs only in a guest. The truth is `CLOCK_MONOTONIC_RAW`, which nothing steers: a server on the loopback device gives it to noonmarkd
//! as UTC. Prints a line per promise, `held NAME: what was seen` or `broken NAME: why`, and last `verdict: good` or `verdict: bad`.

use std::fs::File;
use std::io::{self, Read};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use noonmark_os::clock::discipline;
use noonmark_packet::{Header, Leap, Mode, Packet, ReferenceId};
use noonmark_rig::guest::Guest;
use noonmark_rig::promise::{Promise, hold, tell};
use noonmark_units::{Precision, Short, Span, Timestamp};
use serde_json::Value;

/// What happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Fate {
    /// Somebody else sets and steers the clock
    Hands,
    /// The machine is frozen and goes on as another one; says `frozen` when it may be
    Copy,
}

/// Lives through it once.
#[derive(Parser)]
struct Arguments {
    /// What happens
    #[arg(value_enum)]
    fate: Fate,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let promises = Guest::enter().and_then(|guest| match arguments.fate {
        Fate::Hands => hands(guest),
        Fate::Copy => copy(guest),
    });
    tell("hands-proof", promises)
}

/// True time: what the clock showed at first, and what the oscillator that nobody steers has gone on since.
#[derive(Clone, Copy)]
struct Truth {
    guest: Guest,
    zero: Timestamp,
}

impl Truth {
    fn new(guest: Guest) -> Self {
        Self { guest, zero: guest.look().zero() }
    }

    fn now(&self) -> Timestamp {
        self.zero + Span::from_nanos(self.guest.raw())
    }

    /// The machine's clock less the truth.
    fn error(&self) -> Span {
        let look = self.guest.look();
        look.ahead_of(self.zero + Span::from_nanos(look.raw))
    }

    /// Gives it to whoever asks at port 1123 (RFC 5905 §7.3).
    fn serve(self) -> io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:1123")?;
        std::thread::spawn(move || {
            let mut room = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut room) {
                let came = self.now();
                let Some(Ok(question)) = room.get(..length).map(Packet::parse) else { continue };
                let question = question.header();
                let answer = Header {
                    leap: Leap::None,
                    mode: Mode::Server,
                    stratum: 1,
                    precision: Precision(-24),
                    root_delay: Short::ZERO,
                    root_dispersion: Short::ZERO,
                    reference_id: ReferenceId(*b"RAW\0"),
                    reference_time: came - Span::from_seconds(1),
                    origin: question.transmit,
                    receive: came,
                    transmit: self.now(),
                    ..question
                };
                // Who asked has left.
                let _ = socket.send_to(&answer.to_octets(), from);
            }
        });
        Ok(())
    }
}

/// A noonmarkd, ended when dropped.
struct Daemon {
    child: Child,
    name: &'static str,
}

impl Daemon {
    fn start(name: &'static str, configuration: &str) -> Result<Self, String> {
        let (file, state) = (format!("/etc/{name}.toml"), format!("/state-{name}"));
        let text = format!(
            "{configuration}[state]\nfolder = \"{state}\"\n[status]\nsocket = \"/run/{name}.sock\"\n"
        );
        std::fs::write(&file, text).map_err(said)?;
        let log = File::create(format!("/run/{name}.log")).map_err(said)?;
        let child = Command::new("noonmarkd").args(["--config", &file]).stderr(log).spawn();
        Ok(Self { child: child.map_err(|error| format!("noonmarkd: {error}"))?, name })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(format!("/run/{}.log", self.name)).unwrap_or_default()
    }

    /// The status document; `Null` while nobody answers.
    fn status(&self) -> Value {
        let ask = || {
            let mut text = String::new();
            let mut stream = UnixStream::connect(format!("/run/{}.sock", self.name))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_to_string(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        ask().ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
    }

    /// The status, once it is as wanted.
    fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let began = Instant::now();
        loop {
            let status = self.status();
            if is_so(&status) {
                return Ok(status);
            }
            if began.elapsed() > patience {
                let log = self.log();
                let end = log.len().saturating_sub(3000);
                let log = log.get(end..).unwrap_or(&log);
                return Err(format!("{what}: not within {patience:?}; {status}\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn pid_of(status: &Value, role: &str) -> Option<u64> {
        let roles = status["roles"].as_array()?;
        roles.iter().find(|one| one["role"] == role)?["pid"].as_u64()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_synchronised(status: &Value) -> bool {
    status["ready"] == true && status["tracking"]["state"] == "synchronised"
}

/// What is promised, the words of the report, the deed, and whether it is put right.
type Kind<'a> = (&'static str, &'static str, &'a dyn Fn() -> io::Result<()>, &'a dyn Fn() -> bool);

/// Keeps the clock by the truth.
const KEEPER: &str = "[server]\nlisten = [\"127.0.0.1:123\"]\n[clock]\nclock = \"keep\"\n\
                      [[source]]\nserver = \"127.0.0.1\"\nport = 1123\nminpoll = 0\nmaxpoll = 0\n";

fn hands(guest: Guest) -> Result<Vec<Promise>, String> {
    let truth = Truth::new(guest);
    truth.serve().map_err(said)?;
    let daemon = Daemon::start("keeper", KEEPER)?;
    daemon.wait_until("synchronised", PATIENCE, is_synchronised)?;
    let called = || discipline().is_ok_and(|now| now.is_synchronised());
    wait_for("the kernel is told", called)?;
    let status = daemon.status();
    let mut promises: Vec<Promise> = vec![(
        "a clock left alone is not reported",
        hold(status["machine"]["meddled"].is_null(), status["machine"].to_string()),
    )];
    let kinds: [Kind<'_>; 4] = [
        (
            "another rate is reported and put right",
            "the rate was set to",
            &|| guest.run_faster(FOREIGN_PPM as i32),
            &|| discipline().is_ok_and(|now| now.frequency != FOREIGN_PPM << 16),
        ),
        (
            "an armed leap second is reported and put right",
            "no leap second was armed and one is (to insert a second)",
            &|| guest.arm_leap_second(),
            &|| discipline().is_ok_and(|now| !now.inserts_second()),
        ),
        (
            "the kernel's own loop is reported and put right",
            "the kernel's own loop was off and is on",
            &|| guest.leave_things_to_do(),
            &|| discipline().is_ok_and(|now| now.status & PLL == 0),
        ),
        (
            "a clock set by hand is reported and put right",
            "the clock was set by",
            &|| {
                let mut now = noonmark_os::clock::realtime();
                now.seconds += 3600;
                guest.set_clock(now)
            },
            &|| truth.error().abs() < Span::from_nanos(50_000_000),
        ),
    ];
    for (name, words, meddle, is_right) in kinds {
        let count = daemon.status()["machine"]["meddled"]["count"].as_u64().unwrap_or(0);
        meddle().map_err(said)?;
        let reported = daemon.wait_until(name, PATIENCE, |status| {
            let meddled = &status["machine"]["meddled"];
            meddled["count"].as_u64().is_some_and(|now| now > count)
                && meddled["facts"].as_str().is_some_and(|facts| facts.contains(words))
        });
        let logged = daemon.log().contains(words) || words.starts_with("the clock was set");
        let result = reported.and_then(|status| {
            wait_for(name, is_right)?;
            let facts = status["machine"]["meddled"]["facts"].to_string();
            hold(logged, facts)
        });
        promises.push((name, result));
    }
    let settled = daemon.wait_until("synchronised again", PATIENCE, is_synchronised);
    promises.push((
        "in the end the clock is right",
        settled.and_then(|_| {
            let error = truth.error();
            hold(error.abs() < Span::from_nanos(50_000_000), format!("off by {error}"))
        }),
    ));
    Ok(promises)
}

fn copy(guest: Guest) -> Result<Vec<Promise>, String> {
    let truth = Truth::new(guest);
    truth.serve().map_err(said)?;
    let server = Daemon::start(
        "server",
        "[server]\nlisten = [\"127.0.0.1:2123\"]\nlocal-stratum = 2\n\
         [nts]\nlisten = [\"127.0.0.1:4460\"]\ncertificate = \"/etc/chain.pem\"\nkey = \"/etc/key.pem\"\n",
    )?;
    server.wait_until("the server serves", PATIENCE, |status| status["ready"] == true)?;
    let keeper = format!(
        "{KEEPER}[[source]]\nnts = \"127.0.0.1\"\nca = \"/etc/ca.pem\"\nminpoll = 0\nmaxpoll = 0\n"
    );
    let keeper = Daemon::start("keeper", &keeper)?;
    let has_cookies = |status: &Value| {
        let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
        sources.iter().any(|source| source["nts"]["cookies"].as_u64().is_some_and(|left| left > 0))
    };
    let before = keeper.wait_until("synchronised, with cookies", PATIENCE, |status| {
        is_synchronised(status) && has_cookies(status)
    })?;
    let server_before = server.status();
    let count = |words: &str| keeper.log().matches(words).count();
    let (established, told) = (count(ESTABLISHED), count(SYNCHRONISED));
    println!("frozen");
    let noticed = keeper.wait_until("another machine", 3 * PATIENCE, |status| {
        status["machine"]["restored"].is_object()
    })?;
    let after = keeper.wait_until("synchronised again, with cookies", PATIENCE, |status| {
        is_synchronised(status)
            && has_cookies(status)
            && count(ESTABLISHED) > established
            && count(SYNCHRONISED) > told
    })?;
    let server_after =
        server.wait_until("the server serves again", PATIENCE, |status| status["ready"] == true)?;
    let log = keeper.log();
    let since = log.find("this machine is not the one it was").map_or("", |at| &log[at..]);
    let is_new = |old: &Value, new: &Value, role: &str| {
        let (old, new) = (Daemon::pid_of(old, role), Daemon::pid_of(new, role));
        hold(old.is_some() && new.is_some() && old != new, format!("{role} {old:?}, then {new:?}"))
    };
    let unsynchronised = since.find("the kernel was told synchronised=false");
    let synchronised = since.find(SYNCHRONISED);
    Ok(vec![
        (
            "that this is another machine is noticed",
            hold(!since.is_empty(), noticed["machine"]["restored"].to_string()),
        ),
        ("whoever had cookies has ended", is_new(&before, &after, "sources")),
        ("whoever sealed answers has ended", is_new(&server_before, &server_after, "ntp")),
        ("whoever made cookies has ended", is_new(&server_before, &server_after, "ke")),
        (
            "keys are established anew",
            hold(since.contains(ESTABLISHED), format!("{established} before")),
        ),
        (
            "the clock is unsynchronised until it is verified",
            hold(
                unsynchronised.is_some() && synchronised > unsynchronised,
                format!("told so {unsynchronised:?} and {synchronised:?} octets later in the log"),
            ),
        ),
        ("in the end it is synchronised", Ok(after["tracking"]["state"].to_string())),
    ])
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            return Err(format!("{what}: not within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn said(problem: io::Error) -> String {
    problem.to_string()
}

/// Lines of noonmarkd's log.
const ESTABLISHED: &str = "NTS keys established";
const SYNCHRONISED: &str = "the kernel was told synchronised=true";
/// What another hand has the clock gain; ours is never just that.
const FOREIGN_PPM: i64 = 200;
/// `STA_PLL` of linux/timex.h.
const PLL: i32 = 1;
/// An emulated machine may be busy with something else.
const PATIENCE: Duration = Duration::from_secs(40);
