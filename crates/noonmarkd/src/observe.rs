//! The role that tells local readers how everything is: one JSON document per connection to the status socket.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use noonmark_clock::leap::Shape;
use noonmark_config::{ClockMode, LeapRule};
use noonmark_ke::Counter as KeCounter;
use noonmark_os::page::{CounterReader, StateReader};
use noonmark_os::pulse::BEAT_EVERY;
use noonmark_os::{clock, peer};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_server::fast_path::{FastCounter, FastCounters};
use noonmark_server::{CLOCK_WORDS, ClockState, Counter as NtpCounter, SMEARED};
use noonmark_units::{Mono, Span, Timestamp, UnixTime};

use crate::confinement::Kept;
use crate::exit::{Failure, Status};
use crate::link::Incoming;
use crate::memory;
use crate::message::{
    Certificate, Confined, Epochs, Event, Happening, KernelPath, Listening, Message, Part, Parts,
    Phase, RoleState, Subject, Taken,
};
use crate::role::Role;
use crate::sources::report::{REPORT_WORDS, Report};
use crate::station::{Collected, Ending, Station};
use crate::status::{
    self, Address, CertificateFacts, Clock, Configuration, Cookies, Counters, Document, LeapSecond,
    Process, Refused, Replaceable, SCHEMA, Sandbox, Smear,
};
use crate::warden::bequest::{BEQUEST_WORDS, Bequest};

pub(crate) mod tracking;

/// Answers until told to stop.
///
/// # Errors
/// [`Ending::Stopped`], or why it cannot go on.
pub fn run(station: &mut Station) -> Result<(), Ending> {
    station.confine(&Kept::default())?;
    let rules = &station.settings.clock;
    let (mode, leap_rule, max_distance) = (rules.mode, rules.leap, rules.max_distance);
    let receive_buffer = station.settings.overload.receive_buffer;
    let tables = memory::tables(&station.settings).collect();
    let mut known =
        Known { mode, leap_rule, max_distance, receive_buffer, tables, ..Known::default() };
    let mut collected = Collected::default();
    let listener = loop {
        match station.wait()? {
            Incoming { message: Message::Sockets { first, count }, descriptors } => {
                if let Some(socket) =
                    collected.add(first, count, descriptors)?.and_then(|mut all| all.pop())
                {
                    break UnixListener::from(socket);
                }
            }
            incoming => known.learn(incoming, clock::monotonic())?,
        }
    };
    station.show_pulse(0)?;
    station.ready()?;
    loop {
        let ready = station.sleep(&[listener.as_fd()], BEAT_EVERY)?;
        // First what is new, so that the answer has it.
        while let Some(incoming) = station.poll()? {
            known.learn(incoming, clock::monotonic())?;
        }
        if ready == [true] {
            accept(&listener, &known)?;
        }
    }
}

/// Answers everybody who has connected.
fn accept(listener: &UnixListener, known: &Known) -> Result<(), Failure> {
    loop {
        match listener.accept() {
            Ok((reader, _)) => {
                if let Err(error) = answer(reader, known) {
                    tracing::debug!(%error, "a reader of the status did not wait for it");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: the readers wait, and so do we, or this would be a busy loop.
            Err(error) => {
                tracing::debug!(%error, "status socket");
                std::thread::sleep(Duration::from_millis(100));
                return Ok(());
            }
        }
    }
}

/// Writes the document. It fits what the kernel buffers for a socket; a reader that takes nothing is not waited for long.
fn answer(mut reader: UnixStream, known: &Known) -> io::Result<()> {
    reader.set_nonblocking(false)?;
    reader.set_write_timeout(Some(PATIENCE))?;
    if let Ok(who) = peer::credentials(&reader) {
        tracing::debug!(pid = who.pid, uid = who.uid, "status asked for");
    }
    let document = known.document(clock::realtime(), clock::monotonic(), clock::boot_time());
    let mut text = serde_json::to_vec(&document).map_err(io::Error::other)?;
    text.push(b'\n');
    reader.write_all(&text)
}

const PATIENCE: Duration = Duration::from_millis(200);
/// The launcher says how the roles are every five seconds.
const LAUNCHER_HUNG_AFTER: Duration = Duration::from_secs(15);
/// The warden turns the cookie keys within a second, and tries again after ten if it cannot store them.
const OVERDUE_AFTER: Span = Span::from_seconds(15);
/// The warden writes every second.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// What the launcher has told, and the pages of the other roles.
struct Known {
    /// What the configuration does with the clock.
    mode: ClockMode,
    leap_rule: LeapRule,
    max_distance: Duration,
    /// What it asks for each UDP socket.
    receive_buffer: u32,
    /// What it fixes the tables at.
    tables: Vec<memory::Table>,
    /// When the launcher last said something.
    heard: Mono,
    started: Option<UnixTime>,
    ready: bool,
    file: String,
    configuration: Option<Taken>,
    certificate: Option<Taken>,
    certificate_says: Option<Certificate>,
    listening: Vec<Listening>,
    roles: Vec<RoleState>,
    /// What each role has given up.
    confined: Vec<(Role, Confined)>,
    /// The last of each kind of what happened to machine and clock.
    happenings: Vec<Happening>,
    epochs: Option<Epochs>,
    clock: Option<StateReader>,
    bequest: Option<StateReader>,
    sources: Option<StateReader>,
    ntp: Option<CounterReader>,
    ke: Option<CounterReader>,
    /// What answers in the kernel, and what it counted.
    kernel: KernelPath,
    fast: Option<FastCounters>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            mode: ClockMode::Off,
            leap_rule: LeapRule::Kernel,
            max_distance: Duration::MAX,
            receive_buffer: 0,
            tables: Vec::new(),
            heard: Mono(0),
            started: None,
            ready: false,
            file: String::new(),
            configuration: None,
            certificate: None,
            certificate_says: None,
            listening: Vec::new(),
            roles: Vec::new(),
            confined: Vec::new(),
            happenings: Vec::new(),
            epochs: None,
            clock: None,
            bequest: None,
            sources: None,
            ntp: None,
            ke: None,
            kernel: KernelPath::default(),
            fast: None,
        }
    }
}

impl Known {
    fn learn(&mut self, incoming: Incoming, now: Mono) -> Result<(), Ending> {
        self.heard = now;
        let page = incoming.descriptors.first();
        match incoming.message {
            Message::Daemon { started, ready, file } => {
                self.started = Some(started);
                self.ready = ready;
                file.as_str().clone_into(&mut self.file);
            }
            Message::Taken(taken) => match taken.subject {
                Subject::Configuration => self.configuration = Some(taken),
                Subject::Certificate => {
                    self.certificate = (taken.generation > 0).then_some(taken);
                }
            },
            Message::Listening(listening) => {
                if listening.index == 0 {
                    self.listening.clear();
                }
                self.listening.push(listening);
            }
            Message::RoleState(state) => {
                match self.roles.iter_mut().find(|known| known.role == state.role) {
                    Some(known) => *known = state,
                    None => self.roles.push(state),
                }
            }
            Message::Confined { role, confined } => {
                self.confined.retain(|(known, _)| *known != role);
                self.confined.push((role, confined));
            }
            Message::Happened(happening) => {
                self.happenings.retain(|known| known.event != happening.event);
                self.happenings.push(happening);
            }
            Message::Certificate(certificate) => self.certificate_says = Some(certificate),
            Message::Epochs(epochs) => self.epochs = Some(epochs),
            Message::ClockPage => {
                self.clock = page.map(open_with(StateReader::open)).transpose()?;
            }
            Message::Bequest => {
                self.bequest = page.map(open_with(StateReader::open)).transpose()?;
            }
            Message::SourcesPage => {
                self.sources = page.map(open_with(StateReader::open)).transpose()?;
            }
            Message::CounterPage { role: Role::Ntp } => {
                self.ntp = page.map(open_with(CounterReader::open)).transpose()?;
            }
            Message::KernelPath(kernel) => {
                let counters = page.map(|page| FastCounters::open(page.as_fd(), kernel.lanes));
                self.fast = counters.transpose().map_err(Failure::while_doing(
                    Status::System,
                    "the counters of the fast path",
                ))?;
                self.kernel = kernel;
            }
            Message::CounterPage { .. } => {
                self.ke = page.map(open_with(CounterReader::open)).transpose()?;
            }
            message => return Err(Ending::unexpected(&message)),
        }
        Ok(())
    }

    fn document(&self, time: UnixTime, now: Mono, boot_time: Mono) -> Document {
        let started = self.started.unwrap_or(time);
        let silent = now.since(self.heard);
        let launcher_hangs = silent >= LAUNCHER_HUNG_AFTER;
        let report = self.report();
        // The warden's page counts from the machine's start, asleep or not.
        let served = self.clock_state(boot_time);
        Document {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            time: time.to_string(),
            started: self.started.map(|started| started.to_string()),
            uptime_seconds: (time - started).as_seconds_f64(),
            ready: self.ready && !launcher_hangs,
            configuration: Configuration {
                file: self.file.clone(),
                replaceable: self.configuration.as_ref().map(replaceable).unwrap_or_default(),
            },
            certificate: self.certificate.as_ref().map(|taken| status::Certificate {
                replaceable: replaceable(taken),
                facts: self.certificate_says.as_ref().map(|says| facts(says, time)),
            }),
            listening: self
                .listening
                .iter()
                .map(|listening| address(listening, self.receive_buffer))
                .collect(),
            tracking: report.as_ref().map(|report| {
                tracking::tracking(report, self.mode, now, time)
                    .within(self.max_distance)
                    .as_served(&served)
            }),
            clock: served,
            sources: report
                .as_ref()
                .map(|report| tracking::sources(report, now))
                .unwrap_or_default(),
            cookies: self.epochs.map(|epochs| Cookies {
                epoch: epochs.current,
                oldest_epoch: epochs.oldest,
                next_rotation: epochs.next_turn.to_string(),
                overdue: time - epochs.next_turn > OVERDUE_AFTER,
            }),
            machine: status::Machine {
                restored: self.happening(Event::Restored, now),
                meddled: self.happening(Event::Meddled, now),
            },
            roles: self
                .roles
                .iter()
                .map(|state| match state.role {
                    // It cannot say itself that it hangs.
                    None if launcher_hangs => {
                        RoleState { phase: Phase::Hung, silence: silent, ..*state }
                    }
                    _ => *state,
                })
                .map(|state| Process { sandbox: self.sandbox_of(&state), ..process(&state, now) })
                .collect(),
            tables: self.tables.iter().map(table).collect(),
            fast_path: fast_path(&self.kernel),
            counters: Counters {
                ntp: sums(self.ntp.as_ref(), &NtpCounter::ALL.map(NtpCounter::name)),
                ke: sums(self.ke.as_ref(), &KeCounter::ALL.map(KeCounter::name)),
                fast_path: self.fast.iter().flat_map(fast_sums).collect(),
            },
        }
    }

    /// What happened of a kind, last.
    fn happening(&self, event: Event, now: Mono) -> Option<status::Happening> {
        let last = self.happenings.iter().find(|known| known.event == event)?;
        Some(status::Happening {
            count: last.count,
            time: last.time.to_string(),
            seconds_ago: now.since(last.at).as_secs_f64(),
            facts: last.facts.as_str().to_owned(),
        })
    }

    /// What a role has given up, while there is a process of it.
    fn sandbox_of(&self, state: &RoleState) -> Option<Sandbox> {
        let (_, confined) = self.confined.iter().find(|(role, _)| state.role == Some(*role))?;
        let names = |parts: Parts| parts.iter().map(Part::name).collect();
        (state.pid != 0).then(|| Sandbox {
            user: confined.user,
            given_up: names(confined.held),
            lacking: names(confined.lacking),
        })
    }

    /// What the role that asks the sources shows; nothing if none are asked.
    fn report(&self) -> Option<Report> {
        let page = self.sources.as_ref().filter(|_| self.mode != ClockMode::Off)?;
        let mut words = vec![0; REPORT_WORDS];
        if !page.read(&mut words) {
            return None;
        }
        Report::from_words(&words).unwrap_or_else(|error| {
            tracing::error!(%error, "the page of the sources");
            None
        })
    }

    fn clock_state(&self, now: Mono) -> Clock {
        let mut words = [0; CLOCK_WORDS];
        let read = self.clock.as_ref().is_some_and(|page| page.read(&mut words));
        let state = if read { ClockState::from_words(&words) } else { ClockState::UNSYNCHRONISED };
        let smear = state.smear.filter(|smear| smear.is_under_way(now));
        let reference_id = smear.map_or(state.reference_id, |_| SMEARED);
        Clock {
            synchronised: state.is_synchronised(),
            leap: leap(state.leap),
            leap_second: leap_second(&state, self.leap_rule, now),
            stratum: state.stratum.get(),
            reference_id: reference(state.stratum.get(), reference_id),
            root_delay_seconds: state.root_delay.to_span().as_seconds_f64(),
            root_dispersion_seconds: state.root_dispersion(now).to_span().as_seconds_f64(),
            precision_log2_seconds: state.precision.0,
            stale: !read || now.since(state.as_of) > STALE_AFTER,
            local: self.local(),
        }
    }

    /// Since when, and why, the clock is served without a source, if it is.
    fn local(&self) -> Option<status::Local> {
        let mut words = [0; BEQUEST_WORDS];
        let read = self.bequest.as_ref().is_some_and(|page| page.read(&mut words));
        let bequest = Bequest::from_words(&words).ok().flatten().filter(|_| read)?;
        let why = match (self.mode, bequest.local.last_followed) {
            (ClockMode::Off, _) => "no source is configured",
            (_, None) => "no source has been usable yet",
            (_, Some(_)) => "no source is usable any more",
        };
        bequest.local_since.map(|since| status::Local { since: since.to_string(), why })
    }
}

/// The counters of the fast path by name.
fn fast_sums(counters: &FastCounters) -> impl Iterator<Item = (&'static str, u64)> {
    FastCounter::ALL.into_iter().map(|counter| (counter.name(), counters.get(counter)))
}

/// What answers in the kernel; nothing where nobody wants that.
fn fast_path(kernel: &KernelPath) -> Option<status::FastPath> {
    let reason = Some(kernel.reason.as_str()).filter(|reason| !reason.is_empty());
    let devices = kernel.devices.iter().map(|(name, mode)| status::FastPathDevice {
        name: name.as_str().to_owned(),
        mode: mode.name(),
    });
    let devices: Vec<_> = devices.collect();
    let is_there = reason.is_some() || !devices.is_empty();
    is_there.then(|| status::FastPath { devices, reason: reason.map(str::to_owned) })
}

fn open_with<T, E: std::fmt::Display>(
    open: impl Fn(std::os::fd::BorrowedFd<'_>) -> Result<T, E>,
) -> impl Fn(&OwnedFd) -> Result<T, Failure> {
    move |page| {
        open(page.as_fd()).map_err(Failure::while_doing(Status::Internal, "a page handed over"))
    }
}

/// Adds up the rows of a page: one row for each thread of its role.
fn sums<const N: usize>(
    page: Option<&CounterReader>,
    names: &[&'static str; N],
) -> std::collections::BTreeMap<&'static str, u64> {
    let Some(page) = page else { return std::collections::BTreeMap::new() };
    let values = page.values();
    let sum = |place| {
        values
            .iter()
            .skip(place)
            .step_by(N.max(1))
            .fold(0_u64, |sum, value| sum.wrapping_add(*value))
    };
    names.iter().enumerate().map(|(place, name)| (*name, sum(place))).collect()
}

/// The leap second that comes, or is being smeared.
fn leap_second(state: &ClockState, rule: LeapRule, now: Mono) -> Option<LeapSecond> {
    let real = clock::realtime();
    let (at, inserted) = match (&state.smear, state.leap) {
        (Some(smear), _) => (smear.smear.leap.at, smear.smear.leap.inserted),
        (None, Leap::InsertSecond) => (state.leap_until.unix_near(real), true),
        (None, Leap::DeleteSecond) => (state.leap_until.unix_near(real), false),
        (None, Leap::None | Leap::Unsynchronised) => return None,
    };
    let smear = state.smear.map(|smear| Smear {
        shape: if smear.smear.shape == Shape::Linear { "linear" } else { "quadratic" },
        length_seconds: smear.smear.seconds,
        ahead_seconds: smear.ahead(Timestamp::from_unix(real), now).as_seconds_f64(),
    });
    Some(LeapSecond {
        end_of_day: at.to_string(),
        kind: if inserted { "insert" } else { "delete" },
        clock: rule.as_str(),
        smear,
    })
}

fn leap(leap: Leap) -> &'static str {
    match leap {
        Leap::None => "none",
        Leap::InsertSecond => "insert",
        Leap::DeleteSecond => "delete",
        Leap::Unsynchronised => "unsynchronised",
    }
}

/// At stratum 1 letters, above an address or the hash of one; letters again if that is what somebody configured.
fn reference(stratum: u8, id: ReferenceId) -> String {
    id.display(if stratum <= 1 { 1 } else { stratum }).to_string()
}

fn replaceable(taken: &Taken) -> Replaceable {
    Replaceable {
        generation: taken.generation,
        loaded: Some(taken.at.to_string()),
        refused: taken.refused.as_ref().map(|(time, reason)| Refused {
            time: time.to_string(),
            reason: reason.as_str().to_owned(),
        }),
    }
}

fn facts(says: &Certificate, time: UnixTime) -> CertificateFacts {
    CertificateFacts {
        names: says.names.iter().map(|name| name.as_str().to_owned()).collect(),
        not_before: says.leaf.not_before.to_string(),
        not_after: says.leaf.not_after.to_string(),
        chain_not_before: says.chain.not_before.to_string(),
        chain_not_after: says.chain.not_after.to_string(),
        spki_sha256: says.spki_sha256.iter().map(|octet| format!("{octet:02x}")).collect(),
        validity: says.judge(time).0.name(),
        ends_in_seconds: says.chain.not_after.seconds.saturating_sub(time.seconds),
    }
}

fn address(listening: &Listening, wanted: u32) -> Address {
    let interface = listening.interface.as_str();
    let is_set = listening.receive_buffer > 0;
    Address {
        receive_buffer_bytes: is_set.then_some(listening.receive_buffer),
        receive_buffer_wanted_bytes: is_set.then_some(wanted),
        protocol: listening.protocol.name(),
        address: listening.address.to_string(),
        interface: (!interface.is_empty()).then(|| interface.to_owned()),
    }
}

fn table(table: &memory::Table) -> status::Table {
    status::Table { name: table.name, entries: table.entries, memory_bytes: table.octets }
}

fn process(state: &RoleState, now: Mono) -> Process {
    Process {
        role: state.role.map_or("launcher", Role::name),
        state: state.phase.name(),
        silent_seconds: (state.phase == Phase::Hung).then_some(state.silence.as_secs_f64()),
        pid: (state.pid != 0).then_some(state.pid),
        started: (state.started != UnixTime::EPOCH).then(|| state.started.to_string()),
        restarts: state.restarts,
        last_end: state.last_end.map(|end| end.how.to_string()),
        last_end_time: state.last_end.map(|end| end.time.to_string()),
        last_end_seconds_ago: state.last_end.map(|end| now.since(end.at).as_secs_f64()),
        memory_bytes: state.memory,
        memory_bound_bytes: (state.memory_bound > 0).then_some(state.memory_bound),
        sandbox: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{End, LastEnd, Protocol, Text};
    use noonmark_nts::ValidityPeriod;
    use noonmark_os::page::{CounterPage, StatePage};
    use noonmark_units::{Precision, Stratum};
    use serde_json::json;
    use std::sync::atomic::Ordering;

    fn learn(known: &mut Known, message: Message, page: Option<OwnedFd>) {
        let incoming = Incoming { message, descriptors: page.into_iter().collect() };
        assert!(known.learn(incoming, Mono(0)).is_ok());
    }

    #[test]
    fn document_tells_what_was_learnt() {
        let tables = vec![memory::Table { name: "interleaved", entries: 1000, octets: 65_536 }];
        let mut known = Known { tables, ..Known::default() };
        let time = |seconds: i64| UnixTime::new(1_900_000_000 + seconds, 0);
        learn(
            &mut known,
            Message::Daemon { started: time(0), ready: true, file: Text::new("/x") },
            None,
        );
        let refused = Some((time(5), Text::new("no \"key\"")));
        let taken = Taken { subject: Subject::Certificate, generation: 2, at: time(1), refused };
        learn(&mut known, Message::Taken(taken), None);
        let period = |from, to| ValidityPeriod { not_before: time(from), not_after: time(to) };
        let says =
            Certificate::new(["a.example"], period(0, 100_000), period(0, 50_000), [0xa5; 32]);
        learn(&mut known, Message::Certificate(says), None);
        for (index, count) in [(0, 2), (1, 2), (0, 1)] {
            let address = "192.0.2.1:123".parse().expect("an address");
            let listening = Listening {
                index,
                count,
                protocol: Protocol::Ntp,
                address,
                receive_buffer: 425_984,
                interface: Text::default(),
            };
            learn(&mut known, Message::Listening(listening), None);
        }
        for (role, restarts) in [(Some(Role::Ntp), 0), (Some(Role::Ntp), 1), (None, 0)] {
            let state = RoleState {
                role,
                phase: Phase::Ready,
                last_end: Some(LastEnd { how: End::Signal(9), time: time(3), at: Mono(1_000) }),
                silence: Duration::ZERO,
                pid: 7,
                restarts,
                memory: 4096,
                memory_bound: 1 << 25,
                started: time(2),
            };
            learn(&mut known, Message::RoleState(state), None);
        }
        let counters = CounterPage::new(c"test", 2 * NtpCounter::COUNT).expect("memory");
        counters.words()[0].store(3, Ordering::Relaxed);
        counters.words()[NtpCounter::COUNT].store(4, Ordering::Relaxed);
        let page = counters.descriptor().try_clone_to_owned().expect("descriptors");
        learn(&mut known, Message::CounterPage { role: Role::Ntp }, Some(page));
        let mut clock = StatePage::new(c"test", CLOCK_WORDS).expect("memory");
        let state =
            ClockState::local(Stratum::new(2), ReferenceId([127, 127, 1, 1]), Precision(-25));
        clock.publish(&ClockState { as_of: Mono(1_000), ..state }.to_words());
        let page = clock.descriptor().try_clone_to_owned().expect("descriptors");
        learn(&mut known, Message::ClockPage, Some(page));

        let check = |now, stale: bool| {
            let value = serde_json::to_value(known.document(time(10), Mono(now), Mono(now)))
                .expect("serialises");
            assert_eq!(value["schema"], 1);
            assert_eq!(value["uptime_seconds"], 10.0);
            assert_eq!(value["certificate"]["refused"]["reason"], "no \"key\"");
            assert_eq!(value["configuration"]["file"], "/x");
            assert_eq!(
                value["listening"].as_array().map(Vec::len),
                Some(1),
                "a new list replaces the old"
            );
            assert_eq!(value["listening"][0]["receive_buffer_bytes"], 425_984);
            assert_eq!(value["roles"][0]["restarts"], 1);
            assert_eq!(value["roles"][0]["last_end"], "signal 9");
            assert_eq!(value["roles"][0]["memory_bound_bytes"], 1 << 25);
            assert_eq!(value["roles"][0]["last_end_time"], time(3).to_string());
            assert_eq!(value["roles"].as_array().map(Vec::len), Some(2));
            assert_eq!(value["counters"]["ntp"]["received"], 7, "the threads' rows are added up");
            assert_eq!(value["clock"]["reference_id"], "127.127.1.1");
            assert_eq!(value["clock"]["stale"], stale);
            let table = json!({ "name": "interleaved", "entries": 1000, "memory_bytes": 65_536 });
            assert_eq!(value["tables"], json!([table]));
            assert!(value["cookies"].is_null());
        };
        check(2_000, false);
        check(6_000_000_000, true);
        let value =
            |now| serde_json::to_value(known.document(time(10), now, now)).expect("serialises");
        let soon = value(Mono(3_000_001_000));
        assert_eq!(soon["roles"][0]["last_end_seconds_ago"], 3.0);
        assert_eq!((&soon["ready"], &soon["roles"][1]["state"]), (&true.into(), &"ready".into()));
        let certificate = &soon["certificate"];
        assert_eq!(certificate["names"], serde_json::json!(["a.example"]));
        assert_eq!(certificate["not_after"], time(100_000).to_string());
        assert_eq!(certificate["chain_not_after"], time(50_000).to_string());
        assert_eq!(certificate["spki_sha256"], "a5".repeat(32));
        assert_eq!(
            (&certificate["validity"], &certificate["ends_in_seconds"]),
            (&"valid".into(), &49_990.into())
        );
        let late = value(Mono(16_000_000_000));
        assert_eq!(
            (&late["ready"], &late["roles"][1]["state"], &late["roles"][1]["silent_seconds"]),
            (&false.into(), &"hung".into(), &16.0.into()),
            "the launcher itself has said nothing for long"
        );
        let expired = known.document(time(50_001), Mono(0), Mono(0));
        let expired = serde_json::to_value(expired).expect("serialises");
        assert_eq!(expired["certificate"]["validity"], "expired");
        let none =
            Taken { subject: Subject::Certificate, generation: 0, at: time(0), refused: None };
        learn(&mut known, Message::Taken(none), None);
        let value = known.document(time(10), Mono(0), Mono(0));
        assert!(serde_json::to_value(value).expect("serialises")["certificate"].is_null());
    }

    #[test]
    fn every_reader_gets_a_whole_document() {
        let path = std::env::temp_dir().join(format!("noonmark-observe-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("free");
        listener.set_nonblocking(true).expect("a socket");
        let mut readers: Vec<_> =
            (0..3).map(|_| UnixStream::connect(&path).expect("listening")).collect();
        // One that leaves at once must not keep the others from being served.
        drop(readers.remove(1));
        accept(&listener, &Known::default()).expect("answered");
        for mut reader in readers {
            let mut text = String::new();
            io::Read::read_to_string(&mut reader, &mut text).expect("the daemon closes");
            let value: serde_json::Value = serde_json::from_str(&text).expect("an object");
            assert_eq!(
                (&value["ready"], &value["clock"]["leap"]),
                (&false.into(), &"unsynchronised".into())
            );
        }
        std::fs::remove_file(&path).expect("ours");
    }
}
