//! `leap-proof`: lives through a leap second with noonmarkd, whole and unmodified, and looks at its answers all the while.
//!
//! Runs only in a guest, whose clock is set to half a minute before the end of 2027-06-30, for which a list is made up. The truth is
//! `CLOCK_MONOTONIC_RAW`, which nothing steers: a server on the loopback device gives it to noonmarkd as UTC, with the leap second
//! announced. Prints a line per promise, `held NAME: what was seen` or `broken NAME: why`, and last `verdict: good` or `verdict: bad`.

use std::io;
use std::net::UdpSocket;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use noonmark_clock::leap::{LeapSecond, Shape, Smear};
use noonmark_packet::{Header, Leap, Mode, Packet, ReferenceId};
use noonmark_rig::guest::Guest;
use noonmark_rig::promise::{Promise, hold, tell};
use noonmark_units::{Precision, Short, Span, Timestamp, UnixTime};

/// What noonmarkd is told to do about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Way {
    /// The kernel sets the clock, and answers announce it
    Kernel,
    /// noonmarkd steps the clock, and answers announce it
    Step,
    /// The clock goes on, and the second is worked off
    Slew,
    /// The kernel sets the clock, and answers are smeared
    Smear,
}

/// Lives through it once.
#[derive(Parser)]
struct Arguments {
    /// What is done about it
    #[arg(value_enum)]
    way: Way,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let promises = Guest::enter().and_then(|guest| live(guest, arguments.way));
    tell("leap-proof", promises)
}

/// True time: what UTC would show if it went on counting, by the oscillator nobody steers.
#[derive(Clone, Copy)]
struct Truth {
    guest: Guest,
    /// What it showed when the oscillator showed zero.
    zero: Timestamp,
}

impl Truth {
    fn continuous(&self) -> Timestamp {
        self.zero + Span::from_nanos(self.guest.raw())
    }

    /// UTC as computers count it, at an instant told as if it went on.
    fn utc(continuous: Timestamp) -> Timestamp {
        let is_over = !(continuous - LEAP.at_stamp()).is_negative();
        if is_over { continuous + LEAP.jump() } else { continuous }
    }
}

/// One answer of noonmarkd.
struct Seen {
    /// Between asking and hearing, as if UTC went on counting.
    at: Timestamp,
    /// How far the two were apart.
    width: Span,
    header: Header,
    /// The machine's clock less UTC.
    clock_error: Span,
}

impl Seen {
    fn since(&self) -> Span {
        self.at - LEAP.at_stamp()
    }

    /// By how much the answer is off UTC at least, given that it was written between asking and hearing.
    fn error(&self) -> Span {
        self.least(self.header.transmit - Truth::utc(self.at))
    }

    /// What is left of an error that may have come from not knowing when the answer was written.
    fn least(&self, error: Span) -> Span {
        (error.abs() - self.width.half()).max(Span::ZERO)
    }

    /// Whether nobody can say on which side of the leap second it was written.
    fn is_ambiguous(&self) -> bool {
        self.since().abs() < self.width + Span::from_nanos(20_000_000)
    }
}

fn live(guest: Guest, way: Way) -> Result<Vec<Promise>, String> {
    guest.set_clock(AT - Span::from_seconds(BEFORE_S)).map_err(said)?;
    let truth = Truth { guest, zero: guest.look().zero() };
    let socket = UdpSocket::bind("127.0.0.1:1123").map_err(said)?;
    std::thread::spawn(move || serve(&socket, truth));
    std::fs::write("/etc/leap-seconds.list", LIST).map_err(said)?;
    std::fs::write("/etc/noonmark.toml", configuration(way)).map_err(said)?;
    let mut daemon = Command::new("noonmarkd")
        .args(["--config", "/etc/noonmark.toml"])
        .spawn()
        .map_err(|error| format!("noonmarkd: {error}"))?;
    let seen = watch(truth)?;
    let told = Command::new("noonmark")
        .args(["tracking", "--socket", "/run/status.sock"])
        .output()
        .map_err(|error| format!("noonmark: {error}"))?;
    daemon.kill().and_then(|()| daemon.wait()).map_err(said)?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    Ok(judge(way, &seen, &told))
}

/// The truth over NTP (RFC 5905 §7.3), the leap second announced while it is to come.
fn serve(socket: &UdpSocket, truth: Truth) -> Result<(), io::Error> {
    let mut room = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut room)?;
        let came = truth.continuous();
        let Ok(question) = Packet::parse(&room[..length]) else { continue };
        let question = question.header();
        let is_to_come = (came - LEAP.at_stamp()).is_negative();
        let answer = Header {
            leap: if is_to_come { Leap::InsertSecond } else { Leap::None },
            mode: Mode::Server,
            stratum: 1,
            precision: Precision(-24),
            root_delay: Short::ZERO,
            root_dispersion: Short::ZERO,
            reference_id: ReferenceId(*b"RAW\0"),
            reference_time: Truth::utc(came - Span::from_seconds(1)),
            origin: question.transmit,
            receive: Truth::utc(came),
            transmit: Truth::utc(truth.continuous()),
            ..question
        };
        socket.send_to(&answer.to_octets(), from)?;
    }
}

/// Asks ten times a second until well after the leap second.
fn watch(truth: Truth) -> Result<Vec<Seen>, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(said)?;
    socket.set_read_timeout(Some(Duration::from_millis(300))).map_err(said)?;
    socket.connect("127.0.0.1:123").map_err(said)?;
    let mut seen = Vec::new();
    let end = LEAP.at_stamp() + Span::from_seconds(AFTER_S);
    let mut cookie = 1;
    while truth.continuous() - end < Span::ZERO {
        std::thread::sleep(Duration::from_millis(100));
        cookie += 1;
        let origin = Timestamp::from_bits(cookie << 32);
        let asked = truth.continuous();
        // Nobody listens before noonmarkd has started.
        let _ = socket.send(&Header::client(origin).to_octets());
        let answer = answer_to(origin, &socket);
        let heard = truth.continuous();
        if let Some(header) = answer.filter(|header| header.leap != Leap::Unsynchronised) {
            let look = truth.guest.look();
            let clock_error = look.ahead_of(Truth::utc(truth.zero + Span::from_nanos(look.raw)));
            let width = heard - asked;
            seen.push(Seen { at: asked + width.half(), width, header, clock_error });
        }
    }
    Ok(seen)
}

/// The answer to this question; later ones to earlier questions are passed over.
fn answer_to(origin: Timestamp, socket: &UdpSocket) -> Option<Header> {
    let mut room = [0; 128];
    while let Ok(length) = socket.recv(&mut room) {
        let header = Packet::parse(room.get(..length)?).ok()?.header();
        if header.origin == origin {
            return Some(header);
        }
    }
    None
}

fn judge(way: Way, seen: &[Seen], told: &str) -> Vec<Promise> {
    let smear = Smear { leap: LEAP, shape: Shape::Linear, seconds: Smear::DAY };
    let is_announced = way != Way::Smear;
    let clear = || seen.iter().filter(|seen| !seen.is_ambiguous());
    let before = clear().filter(|seen| seen.since().is_negative()).count();
    let after = clear().count() - before;
    let largest = |errors: &mut dyn Iterator<Item = Span>| {
        errors.map(Span::abs).max().unwrap_or(Span::from_seconds(1 << 20))
    };
    let mut promises: Vec<Promise> = vec![(
        "answers came on both sides of the leap second",
        hold(before >= 50 && after >= 100, format!("{before} before, {after} after")),
    )];
    let leaps = clear().filter(|seen| {
        let expected = if is_announced && seen.since().is_negative() {
            Leap::InsertSecond
        } else {
            Leap::None
        };
        // The repeated second is the last of its day, too.
        let is_repeated = seen.since() < Span::from_seconds(1) && !seen.since().is_negative();
        seen.header.leap != expected && !(is_repeated && is_announced && way != Way::Slew)
    });
    let wrong = leaps.count();
    promises.push((
        if is_announced { "it is announced until it is over" } else { "nothing is announced" },
        hold(wrong == 0, format!("{wrong} answers say otherwise")),
    ));
    let clock = match way {
        Way::Slew => largest(&mut clear().filter(|s| s.since() > SLEWED).map(|s| s.clock_error)),
        _ => largest(&mut clear().map(|seen| seen.clock_error)),
    };
    promises.push((
        "the machine's clock is UTC before and after",
        hold(clock < MOST, format!("off by {clock} at most")),
    ));
    match way {
        Way::Smear => {
            let off =
                |seen: &Seen| seen.least(seen.header.transmit - (seen.at + smear.offset(seen.at)));
            let worst = largest(&mut seen.iter().map(off));
            let name = "served time is the smear, to the instant of the leap second";
            promises.push((name, hold(worst < MOST, format!("off by {worst} at most"))));
            let backwards = seen.windows(2).filter(|pair| {
                let [one, next] = [&pair[0], &pair[1]];
                let unlike = (next.header.transmit - one.header.transmit) - (next.at - one.at);
                unlike.abs() > MOST + one.width + next.width
                    || next.header.transmit - one.header.transmit <= Span::ZERO
            });
            let jumps = backwards.count();
            promises.push(("it never jumps", hold(jumps == 0, format!("{jumps} jumps"))));
            let named =
                seen.iter().all(|s| s.header.reference_id == ReferenceId([127, 127, 1, 255]));
            promises.push(("and says so by its reference", hold(named, "127.127.1.255".into())));
        }
        Way::Kernel | Way::Step => {
            let worst = largest(&mut clear().map(Seen::error));
            let name = "served time is UTC, with one second twice";
            promises.push((name, hold(worst < MOST, format!("off by {worst} at most"))));
        }
        Way::Slew => {
            let back = seen
                .windows(2)
                .filter(|pair| pair[1].header.transmit - pair[0].header.transmit <= Span::ZERO);
            let back = back.count();
            promises
                .push(("served time never goes back", hold(back == 0, format!("{back} times"))));
            let denied = clear().filter(|seen| {
                let bound =
                    seen.header.root_dispersion.to_span() + seen.header.root_delay.to_span().half();
                seen.error().abs() > bound + seen.width
            });
            let denied = denied.count();
            let name = "and owns up to its error";
            promises.push((name, hold(denied == 0, format!("{denied} answers do not"))));
        }
    }
    let words = match way {
        Way::Smear => "smeared (linear",
        _ => "synchronised",
    };
    promises.push((
        "noonmark tracking says how it is",
        hold(told.contains(words), format!("{:?}", told.lines().take(8).collect::<Vec<_>>())),
    ));
    promises
}

fn configuration(way: Way) -> String {
    let (leap, smear) = match way {
        Way::Kernel => ("kernel", "none"),
        Way::Step => ("step", "none"),
        Way::Slew => ("slew", "none"),
        Way::Smear => ("kernel", "linear"),
    };
    format!(
        "[server]\nlisten = [\"127.0.0.1:123\"]\nleap-smear = \"{smear}\"\n\
         [[source]]\nserver = \"127.0.0.1\"\nport = 1123\nminpoll = 0\nmaxpoll = 0\n\
         [clock]\nclock = \"keep\"\nleap = \"{leap}\"\nleap-seconds = \"/etc/leap-seconds.list\"\n\
         [state]\nfolder = \"/state\"\n[status]\nsocket = \"/run/status.sock\"\n"
    )
}

fn said(problem: io::Error) -> String {
    problem.to_string()
}

/// The end of 2027-06-30.
const AT: UnixTime = UnixTime { seconds: 1_814_400_000, nanos: 0 };
const LEAP: LeapSecond = LeapSecond { at: AT, inserted: true };
/// A list of two leap seconds, the second of which nobody has decided; its sum is right.
const LIST: &str = "#$ 4000000000\n#@ 4050000000\n3692217600 37 # 1 Jan 2017\n4023388800 38 # 1 Jul 2027\n\
                    #h 193cec8e 2727e2fa 87e228f1 5c39977d 37e14c86\n";
const BEFORE_S: i64 = 25;
const AFTER_S: i64 = 18;
/// A second is worked off by then, at a twelfth of a second each second.
const SLEWED: Span = Span::from_seconds(15);
/// An emulated machine may be busy with something else.
const MOST: Span = Span::from_nanos(30_000_000);
