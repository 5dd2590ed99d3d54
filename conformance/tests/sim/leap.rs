//! Leap seconds: chrony's scenarios 113a, 113b and 113d for a client, and what its tests do not have.
//!
//! What stands around the daemon here is what the process that has the clock does: the agenda, the kernel's status and the step.

use std::collections::VecDeque;
use std::time::Duration;

use noonmark_clock::leap::{Agenda, Handling, LeapSecond, LeapSeconds, Months};
use noonmark_clock::{Adjusted, Adjustment, KernelStatus, NotAdjusted, Reading};
use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::{
    ClockModel, Daemon, Intention, Model, Node, PathModel, Record, ServerModel, TimeServer,
    Variant, World,
};
use noonmark_packet::Leap;
use noonmark_units::{Mono, Precision, Span, Timestamp, UnixTime};

/// The end of 2029-06-30.
const AT: UnixTime = UnixTime { seconds: 1_877_558_400, nanos: 0 };
/// The run begins so many seconds before it.
const BEFORE_S: i64 = 4000;

/// The daemon with its warden.
struct Warded {
    daemon: Daemon,
    agenda: Agenda,
    today: Option<LeapSecond>,
    next_look: Mono,
    /// What the warden itself wants done, and whether what was last handed out is that.
    own: VecDeque<Intention>,
    is_own: bool,
    /// How often the kernel was told of a leap second, or the clock stepped for one.
    armed: u32,
}

impl Warded {
    fn look(&mut self, now: Reading) {
        let real = now.real.unix_near(AT);
        let announced = self.daemon.keeper().tracking(now).leap;
        self.today = self.agenda.today(announced, real);
        if let Some(leap) = self.agenda.step_due(real) {
            self.agenda.pass(leap);
            self.own.push_back(Intention::Adjust(Adjustment::Step(leap.jump())));
        }
        self.daemon.plan_leap(self.today, self.agenda.handling(), now);
        if self.agenda.handling() == Handling::Kernel {
            let leap = self.today.map_or(Leap::None, LeapSecond::leap);
            self.armed += u32::from(leap != Leap::None);
            self.own.push_back(Intention::Adjust(Adjustment::Status(KernelStatus {
                synchronised: true,
                max_error: Span::from_nanos(1_000_000),
                estimated_error: Span::ZERO,
                leap,
                tai_offset: None,
            })));
        }
        // The next second, or the instant of the leap second.
        let left = self.today.map(|leap| leap.instant() - real);
        let left = left.filter(|left| *left > Span::ZERO && *left < Span::from_seconds(1));
        let pause = left
            .map_or(Duration::from_secs(1), |left| left.to_duration() + Duration::from_micros(1));
        self.next_look = now.mono + pause;
    }
}

impl Node for Warded {
    fn handle_timeout(&mut self, now: Reading) {
        if self.next_look <= now.mono {
            self.look(now);
        }
        if self.daemon.deadline() <= now.mono {
            self.daemon.handle_timeout(now);
        }
    }

    fn handle_sent(&mut self, server: usize, sent: Timestamp) {
        self.daemon.handle_sent(server, sent);
    }

    fn handle_datagram(&mut self, server: usize, octets: &[u8], received: Timestamp, now: Reading) {
        self.daemon.handle_datagram(server, octets, received, now);
    }

    fn handle_adjusted(&mut self, outcome: Result<Adjusted, NotAdjusted>, now: Reading) {
        match (self.is_own, &outcome) {
            // Seen by whoever watches the clock.
            (true, Ok(Adjusted { adjustment: Adjustment::Step(by), .. })) => {
                self.daemon.handle_step(*by, now);
            }
            (true, _) => {}
            (false, _) => self.daemon.handle_adjusted(outcome, now),
        }
    }

    fn handle_step(&mut self, by: Span, now: Reading) {
        self.daemon.handle_step(by, now);
    }

    fn handle_errand(&mut self, number: u64, now: Reading) {
        self.daemon.handle_errand(number, now);
    }

    fn poll_output(&mut self) -> Option<Intention> {
        let own = self.own.pop_front();
        self.is_own = own.is_some();
        own.or_else(|| self.daemon.poll_output())
    }

    fn deadline(&self) -> Mono {
        self.daemon.deadline().min(self.next_look)
    }

    fn interval(&self, now: Reading) -> Option<(Timestamp, Timestamp)> {
        self.daemon.interval(now)
    }
}

/// What comes, who says so, and what is done.
#[derive(Clone, Copy)]
struct Case {
    handling: Handling,
    /// What happens, if anything does.
    leap: Option<LeapSecond>,
    /// What each server announces, and whether its clock has the leap second that happens.
    servers: &'static [(Leap, bool)],
    list: Option<&'static str>,
    options: &'static str,
    conf: &'static [&'static str],
    before_s: i64,
    seconds: u64,
}

const LEAP: LeapSecond = LeapSecond { at: AT, inserted: true };
const LEFT_OUT: LeapSecond = LeapSecond { at: AT, inserted: false };
const ALL: &[(Leap, bool)] = &[(Leap::InsertSecond, true); 3];

const USUAL: Case = Case {
    handling: Handling::Kernel,
    leap: Some(LEAP),
    servers: ALL,
    list: None,
    options: "",
    conf: &[],
    before_s: BEFORE_S,
    seconds: 8000,
};

struct Course {
    record: Record,
    node: Warded,
    leaps: u32,
    steps: u32,
}

impl Case {
    fn run(&self, seed: u64) -> Course {
        let path = PathModel { base: 1e-4, exp: 1e-4, ..PathModel::default() };
        let server = ServerModel { up: path, down: path, ..ServerModel::default() };
        let client = ClockModel { offset: 0.1, freq: 1e-4, wander: 1e-9, ..ClockModel::default() };
        let model = Model { client, servers: vec![server; self.servers.len()] };
        let variant = Variant::read(self.options, self.conf, &[]).expect("options of the table");
        let start = Timestamp::from_unix(AT) - Span::from_seconds(self.before_s);
        let mut world = World::starting_at(start, &model, seed, variant.server_precision);
        let jump = self.leap.map(|leap| world.set_leap(leap));
        for (number, (says, has)) in self.servers.iter().enumerate() {
            let mut host = TimeServer::new(&model.servers[number], start, Precision(-23));
            host.leap = *says;
            host.jump = jump.filter(|_| *has);
            world.replace_host(number, Box::new(host));
        }
        let mut agenda = Agenda::new(self.handling, Months::JuneDecember);
        if let Some(list) = self.list {
            agenda.set_list(LeapSeconds::from_tzdata(list).expect("a list"));
        }
        let setup = Setup::new(&variant, self.servers.len());
        let daemon = Daemon::new(setup, World::node_random(seed), world.reading());
        let mut node = Warded {
            daemon,
            agenda,
            today: None,
            next_look: Mono(0),
            own: VecDeque::new(),
            is_own: false,
            armed: 0,
        };
        let record = Record::watched(&mut world, &mut node, self.seconds, 1);
        Course { record, node, leaps: world.clock().leaps(), steps: world.clock().steps() }
    }

    /// The clock is right, and the truth within the interval told, from 300 s on, but for `but` around the leap second.
    fn check(&self, what: &str, leaps: u32, steps: u32, but: std::ops::Range<i64>) {
        for seed in 0..3 {
            let course = self.run(seed);
            let Record { offsets, outside, .. } = &course.record;
            assert_eq!((course.leaps, course.steps), (leaps, steps), "{what}, seed {seed}");
            // At the second of the leap the clock, some microseconds off, may be on the other side of it. Who ignores it knows nothing.
            let is_told = *outside <= 1 || self.handling == Handling::Ignore;
            assert!(is_told, "{what}, seed {seed}: {outside} s outside");
            for (second, offset) in (0_i64..).zip(offsets).skip(300) {
                let since = second - self.before_s;
                let good = but.contains(&since) || offset.abs() < 1e-3;
                assert!(good, "{what}, seed {seed}: {offset} s at {since} s");
            }
        }
    }
}

#[test]
fn the_kernel_s_leap_second_is_no_error_of_the_clock() {
    USUAL.check("113a inserted", 1, 0, -1..2);
    let servers: &[_] = &[(Leap::DeleteSecond, true); 3];
    Case { leap: Some(LEFT_OUT), servers, ..USUAL }.check("113a left out", 1, 0, -2..1);
    Case { options: "xleave", ..USUAL }.check("interleaved", 1, 0, -1..2);
    Case { options: "minpoll 0 maxpoll 0", seconds: 5000, ..USUAL }.check("each s", 1, 0, -1..2);
    // The step is that of the start.
    Case { conf: &["makestep 0.09 -1"], ..USUAL }.check("whose steps are allowed", 1, 1, -1..2);
}

#[test]
fn our_own_step_does_the_same() {
    let step = Case { handling: Handling::Step, ..USUAL };
    step.check("113a, stepped", 0, 1, -1..2);
    let servers: &[_] = &[(Leap::DeleteSecond, true); 3];
    Case { leap: Some(LEFT_OUT), servers, ..step }.check("left out, stepped", 0, 1, -2..1);
    Case { options: "xleave", ..step }.check("interleaved, stepped", 0, 1, -1..2);
}

#[test]
fn a_slewed_second_is_worked_off_in_thirteen_and_never_stepped() {
    let slew = Case { handling: Handling::Slew, ..USUAL };
    // chrony's 113b wants 11 to 13 s.
    slew.check("113b", 0, 0, -1..14);
    Case { conf: &["makestep 0.09 -1"], ..slew }.check("whose steps are allowed", 0, 1, -1..14);
    let servers: &[_] = &[(Leap::DeleteSecond, true); 3];
    Case { leap: Some(LEFT_OUT), servers, ..slew }.check("left out, slewed", 0, 0, -2..14);
    let offsets = slew.run(0).record.offsets;
    let after = |seconds: i64| offsets[usize::try_from(BEFORE_S + seconds).expect("in the run")];
    assert!((after(1) - 0.917).abs() < 0.02, "{}", after(1));
    assert!((after(6) - 0.5).abs() < 0.02, "{}", after(6));
}

#[test]
fn who_ignores_it_is_a_second_off_and_comes_back() {
    let ignore = Case { handling: Handling::Ignore, ..USUAL };
    ignore.check("ignored", 0, 0, -1..1500);
    let offsets = ignore.run(0).record.offsets;
    assert!((offsets[4002] - 1.0).abs() < 0.01, "{}", offsets[4002]);
}

#[test]
fn a_minority_s_leap_second_does_not_happen() {
    let servers: &[_] = &[
        (Leap::InsertSecond, true),
        (Leap::None, false),
        (Leap::None, false),
        (Leap::None, false),
    ];
    for handling in [Handling::Kernel, Handling::Step, Handling::Slew] {
        // Whoever lies jumps by himself. Nobody else does.
        let lie = Case { leap: None, handling, servers, ..USUAL };
        lie.check("one of four announces", 0, 0, 0..0);
        assert_eq!(lie.run(0).node.armed, 0);
    }
    let servers: &[_] = &[
        (Leap::InsertSecond, true),
        (Leap::InsertSecond, true),
        (Leap::InsertSecond, true),
        (Leap::None, false),
    ];
    Case { servers, ..USUAL }.check("three of four announce", 1, 0, -1..2);
}

#[test]
fn announced_all_month_it_comes_once_at_the_end() {
    for handling in [Handling::Kernel, Handling::Step] {
        // From the evening of the day before to the evening of the day after, announced all the while.
        let month = Case { handling, before_s: 90_000, seconds: 175_000, ..USUAL };
        let counts = if handling == Handling::Kernel { (1, 0) } else { (0, 1) };
        month.check("announced all month", counts.0, counts.1, -1..2);
    }
}

/// chrony's 113d: a list, with sources that know nothing.
#[test]
fn a_list_needs_no_announcement_and_contradicts_one() {
    let servers: &[_] = &[(Leap::None, true); 3];
    let list = Some("Leap 2029 Jun 30 23:59:60 + S\n#expires 1900000000\n");
    Case { servers, list, ..USUAL }.check("113d", 1, 0, -1..2);
    let list = Some("Leap 2016 Dec 31 23:59:60 + S\n#expires 1900000000\n");
    let servers: &[_] = &[(Leap::InsertSecond, false); 3];
    Case { leap: None, servers, list, ..USUAL }.check("the list has none", 0, 0, 0..0);
}
