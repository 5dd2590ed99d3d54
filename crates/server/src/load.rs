//! Whether a serving thread keeps up, and how much is shed while it does not.

use std::time::Duration;

use noonmark_units::Mono;

/// A part of a whole, 0 to 1, in 2^-16.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(1 << 16);

    /// One part in so many, at least one.
    pub const fn one_in(parts: u16) -> Self {
        Self((1 << 16) / if parts == 0 { 1 } else { parts as u32 })
    }

    /// In 2^-16, or `None` for everything.
    pub(crate) fn as_u16(self) -> Option<u16> {
        u16::try_from(self.0).ok()
    }

    /// The part that this is of another share, at most all of it.
    pub(crate) fn out_of(self, whole: Self) -> Self {
        let part = (u64::from(self.0) << 16) / u64::from(whole.0.max(1));
        Self(part.min(1 << 16) as u32)
    }

    /// The power of two next above it, or nothing.
    fn rounded_up(self) -> Self {
        if self == Self::NONE { self } else { Self(self.0.next_power_of_two()).min(Self::ALL) }
    }

    /// Whether one thing is within it, decided by a number that is any of its kind with equal chance.
    pub(crate) fn admits(self, chance: u16) -> bool {
        u32::from(chance) < self.0
    }
}

/// What is shed, in this order: of what proves nothing everything but a share, then of what comes with a good cookie whatever goes beyond an even pace
/// of each client prefix. Clients of listed prefixes are never shed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pressure {
    /// The share that is left of requests without NTS and of those whose cookie does not open.
    pub(crate) rest: Share,
    /// From one answer to the next for each prefix, of requests whose cookie opens; `None` for no limit. Only while `rest` is nothing.
    pub(crate) interval: Option<Duration>,
    /// The share of datagrams too short to prove anything that the kernel lets through, so that only the rest is left to be shed here.
    sifted: Share,
}

impl Pressure {
    /// Nothing is shed.
    pub const NONE: Self = Self { rest: Share::ALL, interval: None, sifted: Share::ALL };

    /// Whether anything is shed.
    pub fn is_on(self) -> bool {
        self.rest < Share::ALL
    }

    /// The share that is left of what proves nothing.
    pub fn rest(self) -> Share {
        self.rest
    }

    /// What the kernel may let through of what is too short to prove anything. It changes in steps of two, so seldom.
    pub fn sieve(self) -> Share {
        self.rest.rounded_up()
    }

    /// The same pressure on what is left once the kernel lets so much through.
    #[must_use]
    pub fn behind(self, sieve: Share) -> Self {
        Self { sifted: sieve, ..self }
    }

    /// The share that is left of what is too short to prove anything and has been let through.
    pub(crate) fn rest_of_short(self) -> Share {
        self.rest.out_of(self.sifted)
    }

    /// The pace left to a prefix of clients with good cookies.
    pub fn interval(self) -> Option<Duration> {
        self.interval
    }
}

/// The load of one thread: from when its sockets were found empty it is seen whether it keeps up, and that alone decides.
///
/// A thread that keeps up finds its sockets empty again and again. One that has not for [`ONSET`] is overloaded, however much the sockets may
/// hold. At once nothing is left of what proves nothing. If that was not enough, each client prefix with good cookies gets a pace, slower
/// with every [`STEP`]. From the first step on within which the sockets were found empty it all goes back, in the reverse order and slowly enough to
/// see in time that the flood goes on. Without a flood that takes half a second.
///
/// Time comes in as an argument, so that a script can stand for a flood.
#[derive(Clone, Debug)]
pub struct Load {
    pressure: Pressure,
    /// The last look.
    looked: Mono,
    /// How long the thread has worked, as far as it was seen to, since the sockets were last found empty.
    busy: Duration,
    /// The sockets were found empty since the last look.
    is_idle: bool,
    /// As much waited in them as a batch holds, so the thread had not been waiting for it.
    is_behind: bool,
    /// When the present step began.
    began: Mono,
    /// The sockets were found empty in the present step.
    was_idle: bool,
    /// How long in it the thread waited for something to do.
    rested: Duration,
    /// Datagrams in the present step.
    received: u64,
    /// Answers in it that prove to be ours.
    authentic: u64,
}

impl Load {
    /// A thread that is not overloaded.
    pub const fn new() -> Self {
        Self {
            pressure: Pressure::NONE,
            looked: Mono(0),
            busy: Duration::ZERO,
            is_idle: true,
            is_behind: false,
            began: Mono(0),
            was_idle: false,
            rested: Duration::ZERO,
            received: 0,
            authentic: 0,
        }
    }

    /// When that was last looked at.
    pub fn looked(&self) -> Mono {
        self.looked
    }

    /// What is shed since the last look.
    pub fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Says that the sockets were found empty, so that until the next look the thread waits.
    pub fn idle(&mut self) {
        self.is_idle = true;
    }

    /// Says that a whole batch was waiting: the time since the last look went to others, whether the sockets were empty then or not.
    pub fn behind(&mut self) {
        self.is_behind = true;
    }

    /// Says what was done since the last look, of which only the proportion matters: datagrams received, and authentic answers among them.
    pub fn worked(&mut self, received: u64, authentic: u64) {
        self.received += received;
        self.authentic += authentic;
    }

    /// What is to be shed from `now` on: asked for before each batch is answered, and at least every [`STEP`] while something is shed.
    pub fn look(&mut self, now: Mono) -> Pressure {
        let passed = now.since(self.looked);
        self.looked = now;
        let is_behind = std::mem::take(&mut self.is_behind);
        if std::mem::take(&mut self.is_idle) {
            self.was_idle = true;
            if !is_behind {
                self.rested += passed;
            }
            self.busy = Duration::ZERO;
        } else {
            // Who was stopped for a second has not worked for a second.
            self.busy += passed.min(LONGEST_TURN);
        }
        if self.pressure.is_on() {
            let steps = now.since(self.began).as_nanos() / STEP.as_nanos();
            if steps > 0 {
                self.pressure = self.after(now.since(self.began), steps);
                self.begin_step(now);
            }
        } else if self.busy > ONSET {
            self.pressure.rest = Share::NONE;
            // What waits by now is worked off first.
            self.busy = Duration::ZERO;
            self.begin_step(now);
        }
        self.pressure
    }

    /// The pressure after a step, or after several in which there was nothing to do.
    fn after(&self, passed: Duration, steps: u128) -> Pressure {
        let mut pressure = self.pressure;
        if self.was_idle {
            // Who keeps up with little to spare goes slowly, since the next step may be the one too many.
            let growth = if self.rested * 2 >= passed { FAST } else { SLOW };
            for _ in 0..steps.min(MANY_STEPS) {
                pressure = ease(pressure, growth);
            }
        } else if pressure.rest > Share::NONE && self.busy > RETREAT {
            pressure.rest = Share::NONE;
        } else if self.busy > ONSET {
            // Answers cost several times what it takes to receive a datagram. Where they are few, fewer of them would not help.
            let is_worth_it = self.authentic * WORTH >= self.received;
            pressure = match pressure.interval {
                _ if !is_worth_it => pressure,
                None => Pressure { interval: Some(SHORTEST), ..pressure },
                Some(interval) => {
                    Pressure { interval: Some((interval * 2).min(LONGEST)), ..pressure }
                }
            };
        }
        pressure
    }

    fn begin_step(&mut self, now: Mono) {
        (self.began, self.was_idle, self.rested) = (now, false, Duration::ZERO);
        (self.received, self.authentic) = (0, 0);
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

/// One step back: first the pace of prefixes, then the share of what proves nothing, which grows by one part in `growth`.
fn ease(pressure: Pressure, growth: u32) -> Pressure {
    match (pressure.interval, pressure.rest) {
        (Some(interval), rest) => {
            let interval = Some(interval / 2).filter(|interval| *interval >= SHORTEST);
            Pressure { rest, interval, ..pressure }
        }
        (None, Share::NONE) => Pressure { rest: LEAST, ..pressure },
        (None, Share(rest)) => {
            Pressure { rest: Share(rest + rest / growth).min(Share::ALL), ..pressure }
        }
    }
}

/// A thread that has not found its sockets empty for so long does not keep up. Longer than a server that is given its processor in slices, as
/// containers are, has to wait for the next one or two.
pub const ONSET: Duration = Duration::from_millis(30);

/// How often the pressure changes.
pub const STEP: Duration = Duration::from_millis(10);

/// A thread that sheds already and has not found its sockets empty for so long gives back what it had taken on again.
const RETREAT: Duration = Duration::from_millis(12);

/// More between two looks is not work but waiting for a processor, and is taken for so much.
const LONGEST_TURN: Duration = Duration::from_millis(5);
/// More steps than lead from any pressure to none.
const MANY_STEPS: u128 = 64;
/// One authentic answer in so many datagrams is worth shedding.
const WORTH: u64 = 16;
/// The first pace of a prefix: 1000 answers a second.
const SHORTEST: Duration = Duration::from_millis(1);
/// And the last: what one client that asks often needs.
const LONGEST: Duration = Duration::from_secs(4);
/// What is first given back to what proves nothing.
const LEAST: Share = Share::one_in(256);
/// By what part the share grows with each step while the thread waits for work most of the time, and while it does not.
const FAST: u32 = 4;
const SLOW: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    /// A server in virtual time that is given its processor in slices: what it was asked, and what became of it.
    struct Server {
        load: Load,
        now: Mono,
        /// Nanoseconds it may run in each period of 5 ms.
        slice: u64,
        ran: u64,
        /// What waits, by class: prove nothing, good cookies.
        waiting: [u64; 2],
    }

    impl Server {
        fn new() -> Self {
            let now = Mono(3_600_000 * MILLISECOND);
            Self { load: Load::new(), now, slice: 1_500_000, ran: 0, waiting: [0; 2] }
        }

        /// Lets a period pass in which so many of each class come, of which `admitted` goes by what is shed, and returns the pressure at its end.
        /// Receiving one takes 1 µs, answering it 3.5 µs.
        fn period(&mut self, coming: [u64; 2], authentic_within: impl Fn(Option<Duration>) -> u64) {
            let end = Mono(self.now.0 + 5 * MILLISECOND);
            for (waiting, coming) in self.waiting.iter_mut().zip(coming) {
                *waiting += coming;
            }
            self.ran = 0;
            while self.ran < self.slice && self.waiting != [0; 2] {
                let pressure = self.load.look(self.now);
                let mut spent = 0;
                if self.waiting[0] + self.waiting[1] >= 64 {
                    self.load.behind();
                }
                let mut batch = [0; 2];
                for (waiting, taken) in self.waiting.iter_mut().zip(&mut batch) {
                    *taken = (*waiting).min(32);
                    *waiting -= *taken;
                    spent += *taken * 1_000;
                }
                let plain = batch[0] * u64::from(pressure.rest.0) / 65_536;
                let authentic = batch[1].min(authentic_within(pressure.interval));
                spent += (plain + authentic) * 3_500;
                self.load.worked(batch[0] + batch[1], authentic);
                self.ran += spent;
                self.now = Mono(self.now.0 + spent);
            }
            if self.waiting == [0; 2] {
                self.load.look(self.now);
                self.load.idle();
            }
            // What does not fit the queue is lost.
            for waiting in &mut self.waiting {
                *waiting = (*waiting).min(3_000);
            }
            self.now = Mono(self.now.0.max(end.0));
        }

        fn run(&mut self, milliseconds: u64, per_second: [u64; 2]) {
            for _ in 0..milliseconds / 5 {
                self.period(per_second.map(|rate| rate / 200), |_| u64::MAX);
            }
        }
    }

    #[test]
    fn who_keeps_up_is_left_alone() {
        // 60 000 a second are 0.9 of what it can answer.
        for rate in [0, 1, 1_000, 30_000, 60_000] {
            let mut server = Server::new();
            server.run(60_000, [rate, 0]);
            assert_eq!(server.load.pressure(), Pressure::NONE, "{rate} a second");
        }
    }

    #[test]
    fn overload_is_met_within_the_onset_and_a_period() {
        let mut server = Server::new();
        server.run(1_000, [20_000, 0]);
        server.run(45, [200_000, 0]);
        assert_eq!(server.load.pressure().rest, Share::NONE);
        assert_eq!(server.load.pressure().interval, None, "the second measure waits");
    }

    #[test]
    fn a_flood_of_what_proves_nothing_never_touches_who_has_a_cookie() {
        let mut server = Server::new();
        for _ in 0..2_000 {
            server.run(5, [190_000, 10_000]);
            assert_eq!(server.load.pressure().interval, None);
        }
        assert!(server.load.pressure().is_on());
    }

    #[test]
    fn a_flood_with_good_cookies_is_brought_to_a_pace_and_let_go_in_the_reverse_order() {
        let mut server = Server::new();
        let mut steps = Vec::new();
        let mut note = |pressure: Pressure| {
            if steps.last() != Some(&pressure) {
                steps.push(pressure);
            }
        };
        // Ten prefixes ask without bounds; what an interval leaves to them all in a batch of theirs.
        for _ in 0..100 {
            let within = |interval: Option<Duration>| {
                interval.map_or(u64::MAX, |interval| (10_000 / interval.as_millis() as u64) / 4_000)
            };
            server.period([200, 600], within);
            note(server.load.pressure());
        }
        for _ in 0..200 {
            server.period([100, 0], |_| u64::MAX);
            note(server.load.pressure());
        }
        assert_eq!(steps.first().map(|first| first.rest), Some(Share::ALL), "{steps:?}");
        assert!(steps.iter().any(|step| step.interval.is_some()), "{steps:?}");
        assert!(
            steps.iter().all(|step| step.interval.is_none() || step.rest == Share::NONE),
            "no prefix is held to a pace while anything is left of what proves nothing: {steps:?}"
        );
        assert_eq!(steps.last(), Some(&Pressure::NONE));
    }

    #[test]
    fn normal_is_back_within_a_second_from_the_worst() {
        let mut server = Server::new();
        server.load.pressure =
            Pressure { rest: Share::NONE, interval: Some(LONGEST), ..Pressure::NONE };
        server.load.began = server.now;
        let start = server.now;
        while server.load.pressure().is_on() {
            server.period([100, 10], |_| u64::MAX);
        }
        let took = server.now.since(start);
        assert!(took < Duration::from_millis(700), "{took:?}");
    }

    #[test]
    fn normal_is_back_without_anybody_asking() {
        let mut load = Load::new();
        let at = |milliseconds: u64| Mono((1_000 + milliseconds) * MILLISECOND);
        load.look(at(0));
        for turn in 0..50 {
            load.look(at(turn));
        }
        assert!(load.pressure().is_on());
        load.idle();
        assert!(load.look(at(200)).is_on(), "that much has to pass");
        load.idle();
        assert_eq!(load.look(at(1_000)), Pressure::NONE);
    }

    #[test]
    fn being_stopped_is_not_being_overloaded() {
        let mut load = Load::new();
        let at = |milliseconds: u64| Mono((1_000 + milliseconds) * MILLISECOND);
        load.look(at(0));
        load.idle();
        load.look(at(1));
        for minutes in 1..6 {
            assert!(!load.look(at(minutes * 60_000)).is_on(), "stopped for a minute in a batch");
        }
    }

    #[test]
    fn where_answers_are_few_no_prefix_is_held_to_a_pace() {
        let check = |authentic, expected: bool| {
            let mut load = Load::new();
            for turn in 0..200 {
                load.look(Mono((1_000 + turn) * MILLISECOND));
                load.worked(160, authentic);
            }
            assert_eq!(load.pressure().interval.is_some(), expected, "{authentic} of 160");
        };
        check(0, false);
        check(9, false);
        check(10, true);
        check(160, true);
    }

    #[test]
    fn what_the_kernel_lets_through_and_what_is_left_of_it_make_the_share() {
        let check = |rest: u32, sieve: u32| {
            let pressure = Pressure { rest: Share(rest), ..Pressure::NONE };
            assert_eq!(pressure.sieve(), Share(sieve), "{rest}");
            let left = pressure.behind(pressure.sieve()).rest_of_short();
            let both = (u64::from(left.0) * u64::from(sieve)) >> 16;
            assert!(both.abs_diff(rest.into()) <= 1, "{rest}: {left:?} of {sieve}");
        };
        for rest in (0..=65_536).step_by(17).chain([1, 1024, 1025, 32_768_u32, 32_769]) {
            let sieve = if rest == 0 { 0 } else { rest.next_power_of_two().min(65_536) };
            check(rest, sieve);
        }
        // What waited when a sieve was put on.
        let shut = Pressure { rest: Share::NONE, ..Pressure::NONE }.behind(Share::NONE);
        assert_eq!(shut.rest_of_short(), Share::NONE);
        assert_eq!((Share::NONE.as_u16(), Share::ALL.as_u16()), (Some(0), None));
    }

    #[test]
    fn a_share_admits_so_many() {
        let admitted = |share: Share| (0..=u16::MAX).filter(|chance| share.admits(*chance)).count();
        assert_eq!(admitted(Share::NONE), 0);
        assert_eq!(admitted(Share::one_in(64)), 1024);
        assert_eq!(admitted(Share::one_in(0)), 65_536);
        assert_eq!(admitted(Share::ALL), 65_536);
    }
}
