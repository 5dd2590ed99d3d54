//! The keeper in a world of its own: one clock, some servers, and nobody else.

use std::time::Duration;

use noonmark_clock::{
    Adjusted, Adjustment, ClockState, Keeper, Memory, NotAdjusted, Output, Reading, Sample,
    Settings, SourceId, SourceOptions, SourceState, StepRule,
};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Frequency, Mono, Precision, Span, Timestamp};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_bits(0xee00_0000 << 32);

/// A server and the way to it, seconds.
#[derive(Clone, Copy, Debug)]
struct Server {
    up_s: f64,
    down_s: f64,
    /// Mean of the queueing, each way.
    queue_s: f64,
    offset_s: f64,
    loss: f64,
    stratum: u8,
    /// Mean by which its transmit stamp is later than the departure, seconds.
    late_s: f64,
}

const GOOD: Server = Server {
    up_s: 0.01,
    down_s: 0.01,
    queue_s: 1e-4,
    offset_s: 0.0,
    loss: 0.0,
    stratum: 1,
    late_s: 0.0,
};

struct World {
    keeper: Keeper,
    servers: Vec<Server>,
    /// When each is asked next, and how often; true seconds.
    next_s: Vec<f64>,
    interval_s: Vec<f64>,
    extra: Vec<(f64, usize)>,
    random: u64,
    /// True time and the monotonic clock, seconds since the start.
    now_s: f64,
    mono_s: f64,
    /// By how much the system clock is ahead of the monotonic one.
    ahead_s: f64,
    /// The oscillator's error, and what the clock runs faster by.
    error: f64,
    rate: f64,
    refuses: bool,
    outputs: Vec<Output>,
    steps: usize,
    fastest: f64,
    /// Seconds in which the truth was not where the keeper says, once it said anything.
    outside: u32,
    /// The sources named as reference, each once in a row.
    references: Vec<Option<SourceId>>,
    /// Seconds in which a source was called false, all sources together.
    called_false: usize,
}

impl World {
    fn new(settings: Settings, offset_s: f64, error: f64, servers: &[Server]) -> Self {
        Self::remembering(None, settings, offset_s, error, servers)
    }

    fn remembering(
        memory: Option<Memory>,
        settings: Settings,
        offset_s: f64,
        error: f64,
        servers: &[Server],
    ) -> Self {
        let now =
            Reading { mono: Mono(MONO_START), real: START + Span::from_seconds_f64(offset_s) };
        let mut world = Self {
            keeper: Keeper::new(settings, memory, now),
            servers: servers.to_vec(),
            next_s: (1u32..).take(servers.len()).map(|n| f64::from(n) * 0.3).collect(),
            interval_s: vec![64.0; servers.len()],
            extra: Vec::new(),
            random: 1,
            now_s: 0.0,
            mono_s: 0.0,
            ahead_s: offset_s,
            error,
            rate: 0.0,
            refuses: false,
            outputs: Vec::new(),
            steps: 0,
            fastest: 0.0,
            outside: 0,
            references: Vec::new(),
            called_false: 0,
        };
        for id in (0u32..).take(servers.len()) {
            // As the client's burst at the start does.
            let place = id as usize;
            world.extra.extend([2.0, 4.0, 6.0].map(|at_s| (at_s + f64::from(id) * 0.3, place)));
            world.keeper.add_source(SourceId(id), SourceOptions::default(), now);
        }
        world.drain();
        world
    }

    fn reading(&self) -> Reading {
        let nanos = (self.mono_s * 1e9).round() as u64;
        let real = START + Span::from_seconds_f64(self.mono_s + self.ahead_s);
        Reading { mono: Mono(MONO_START + nanos), real }
    }

    fn truth(&self) -> Timestamp {
        START + Span::from_seconds_f64(self.now_s)
    }

    /// The clock less true time.
    fn offset_s(&self) -> f64 {
        self.mono_s + self.ahead_s - self.now_s
    }

    fn speed(&self) -> f64 {
        (1.0 + self.error) * (1.0 + self.rate)
    }

    fn pass(&mut self, seconds: f64) {
        self.now_s += seconds;
        self.mono_s += seconds * self.speed();
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014), over 0..1.
    fn uniform(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + 1e-17
    }

    fn run(&mut self, seconds: f64) {
        let end_s = self.now_s + seconds;
        let mut second_s = self.now_s.floor() + 1.0;
        while self.now_s < end_s {
            let timer_s = match self.keeper.deadline() {
                Mono::NEVER => f64::INFINITY,
                deadline => {
                    let left = deadline.since(self.reading().mono).as_secs_f64();
                    self.now_s + left / self.speed() + 1e-9
                }
            };
            let regular = (0..self.servers.len()).map(|server| (self.next_s[server], server));
            let asked = regular
                .chain(self.extra.iter().copied())
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap_or((f64::INFINITY, 0));
            let next_s = timer_s.min(asked.0).min(second_s).min(end_s);
            self.pass((next_s - self.now_s).max(0.0));
            if next_s == asked.0 {
                match self.extra.iter().position(|extra| *extra == asked) {
                    Some(place) => drop(self.extra.swap_remove(place)),
                    None => self.next_s[asked.1] += self.interval_s[asked.1],
                }
                self.ask(asked.1);
            } else if next_s == timer_s {
                let now = self.reading();
                self.keeper.handle_timeout(now);
            }
            self.drain();
            if self.now_s >= second_s {
                self.observe();
                second_s = self.now_s.floor() + 1.0;
            }
        }
    }

    fn observe(&mut self) {
        let tracking = self.keeper.tracking(self.reading());
        let (before, after) = (self.truth() - tracking.earliest, tracking.latest - self.truth());
        let told = tracking.state != ClockState::Unsynchronised;
        self.outside += u32::from(told && (before.is_negative() || after.is_negative()));
        if self.references.last() != Some(&tracking.reference) {
            self.references.push(tracking.reference);
        }
        assert!(tracking.offset_sigma >= Span::ZERO && tracking.root_dispersion >= Span::ZERO);
        let sources = self.keeper.sources(self.reading());
        self.called_false +=
            sources.iter().filter(|source| source.state == SourceState::Falseticker).count();
    }

    fn ask(&mut self, place: usize) {
        let server = self.servers[place];
        let id = SourceId(place as u32);
        let queue = |world: &mut Self| -server.queue_s * world.uniform().ln();
        let (up_s, down_s) = (server.up_s + queue(self), server.down_s + queue(self));
        let origin = self.reading().real;
        self.pass(up_s);
        let receive = self.truth() + Span::from_seconds_f64(server.offset_s);
        self.pass(down_s);
        let now = self.reading();
        if self.uniform() < server.loss {
            self.keeper.handle_unanswered(id, now);
            return;
        }
        let late_s = if server.late_s > 0.0 { -server.late_s * self.uniform().ln() } else { 0.0 };
        let transmit = receive + Span::from_seconds_f64(late_s);
        let stratum = server.stratum;
        let sample = Sample { receive, transmit, stratum, ..sample(origin, now.real) };
        self.keeper.handle_sample(id, &sample, now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.keeper.poll_output() {
            self.outputs.push(output);
            match output {
                Output::Adjust(adjustment) => self.adjust(adjustment),
                Output::Pace { source, interval } => {
                    let place = source.0 as usize;
                    self.interval_s[place] = interval.as_secs_f64().max(1.0);
                    self.next_s[place] =
                        self.next_s[place].min(self.now_s + self.interval_s[place]);
                }
                Output::Burst { source, questions, spacing } => {
                    self.extra.retain(|(_, server)| *server != source.0 as usize);
                    let at_s = |n: u32| self.now_s + (spacing * n).as_secs_f64().max(0.1);
                    self.extra.extend((1..=questions).map(|n| (at_s(n), source.0 as usize)));
                }
            }
        }
    }

    fn adjust(&mut self, adjustment: Adjustment) {
        let outcome = if self.refuses {
            Err(NotAdjusted::Forbidden("not today".into()))
        } else {
            match adjustment {
                Adjustment::Rate(rate) => {
                    self.rate = rate.as_ratio();
                    self.fastest =
                        self.fastest.max(((1.0 + self.error) * (1.0 + self.rate) - 1.0).abs());
                }
                Adjustment::Step(by) => {
                    self.ahead_s += by.as_seconds_f64();
                    self.steps += 1;
                }
                Adjustment::Status(_) => {}
            }
            Ok(Adjusted { adjustment, at: self.reading() })
        };
        let now = self.reading();
        self.keeper.handle_adjusted(&outcome, now);
    }

    /// Somebody else moves the clock.
    fn meddle(&mut self, by_s: f64) {
        self.ahead_s += by_s;
        let now = self.reading();
        self.keeper.handle_step(Span::from_seconds_f64(by_s), now);
        self.drain();
    }

    /// The machine sleeps, and wakes with a clock that is off by so much.
    fn sleep(&mut self, seconds: f64, off_s: f64) {
        self.now_s += seconds;
        self.ahead_s = self.now_s + off_s - self.mono_s;
        for next_s in &mut self.next_s {
            *next_s = next_s.max(self.now_s + 1.0);
        }
        let now = self.reading();
        self.keeper.handle_resume(now);
        self.drain();
    }

    fn frequency(&self) -> f64 {
        self.keeper.tracking(self.reading()).frequency.as_ratio()
    }

    fn state_of(&self, place: usize) -> SourceState {
        self.keeper.sources(self.reading())[place].state
    }

    #[track_caller]
    fn check(&self, most_s: f64) {
        let offset_s = self.offset_s();
        assert!(offset_s.abs() < most_s, "off by {offset_s} s");
        let state = self.keeper.tracking(self.reading()).state;
        assert_eq!(state, ClockState::Synchronised);
        assert_eq!(self.outside, 0, "the truth was elsewhere");
    }
}

fn sample(origin: Timestamp, destination: Timestamp) -> Sample {
    Sample {
        origin,
        receive: origin,
        transmit: destination,
        destination,
        leap: Leap::None,
        stratum: 1,
        root_delay: Span::ZERO,
        root_dispersion: Span::ZERO,
        reference_id: ReferenceId(*b"GPS\0"),
        reference_time: origin,
        precision: Precision(-23),
        authenticated: false,
    }
}

fn slewing() -> Settings {
    Settings { steps: StepRule::NEVER, ..Settings::default() }
}

const MONO_START: u64 = 1_000_000_000_000;

#[test]
fn one_server_is_enough() {
    for (offset_s, error) in [(0.1, 1e-4), (-0.5, -3e-4), (3600.0, 2e-5), (0.0, 0.0)] {
        let mut world = World::new(Settings::default(), offset_s, error, &[GOOD]);
        world.run(3000.0);
        world.check(2e-4);
        let expected = 1.0 / (1.0 + error) - 1.0;
        assert!((world.frequency() - expected).abs() < 2e-7, "{}", world.frequency());
    }
}

#[test]
fn a_liar_among_four_is_told_from_the_others() {
    for lie_s in [0.5, -0.2, 30.0] {
        let liar = Server { offset_s: lie_s, ..GOOD };
        let mut world = World::new(Settings::default(), 0.1, 1e-4, &[GOOD, liar, GOOD, GOOD]);
        world.run(3000.0);
        world.check(2e-4);
        let states: Vec<SourceState> = (0..4).map(|place| world.state_of(place)).collect();
        let (yes, no) = (SourceState::Followed, SourceState::Falseticker);
        assert_eq!(states, [yes, no, yes, yes]);
    }
}

/// On one machine or one wire the round trip is no longer than stamps are wrong by.
#[test]
fn stamps_that_contradict_each_other_make_no_neighbour_false() {
    for late_s in [0.0, 5e-6, 2e-5, 1e-4] {
        let near = Server { up_s: 8e-6, down_s: 8e-6, queue_s: 3e-6, ..GOOD };
        let late = Server { late_s, ..near };
        for servers in [&[near, late, late][..], &[near, near, late], &[late, late, late]] {
            let mut world = World::new(Settings::default(), 0.1, 1e-5, servers);
            world.run(5000.0);
            assert!(world.offset_s().abs() < 2e-4, "off by {} s", world.offset_s());
            // Of 15 000 s of sources and 5000 s of ours.
            assert!(world.called_false < 150, "{late_s}: {} s false", world.called_false);
            assert!(
                world.outside <= 5,
                "{late_s}: the truth was elsewhere for {} s",
                world.outside
            );
        }
    }
}

#[test]
fn the_reference_stays_where_no_other_is_clearly_better() {
    let at = |stratum, ways_s| Server { stratum, up_s: ways_s, down_s: ways_s, ..GOOD };
    let check = |servers: &[Server], most_changes: usize, last: u32| {
        let mut world = World::new(Settings::default(), 0.1, 1e-5, servers);
        world.run(600.0);
        world.references.clear();
        world.run(20_000.0);
        assert!(world.references.len() <= 1 + most_changes, "{:?}", world.references);
        assert_eq!(world.references.last(), Some(&Some(SourceId(last))), "{servers:?}");
    };
    check(&[at(4, 0.01), at(3, 0.01), at(1, 0.01), at(2, 0.01)], 0, 2);
    check(&[at(4, 2e-4), at(3, 2e-4), at(1, 2e-4), at(2, 2e-4)], 0, 2);
    // What is clearly nearer is worth more than a stratum.
    check(&[at(1, 0.05), at(2, 0.005)], 0, 1);
}

#[test]
fn lost_answers_only_slow_it_down() {
    for loss in [0.3, 0.7] {
        let mut world = World::new(Settings::default(), 0.1, 1e-4, &[Server { loss, ..GOOD }]);
        world.run(6000.0);
        world.check(5e-4);
    }
}

#[test]
fn a_foreign_step_is_undone_at_once_by_the_rule() {
    for by_s in [100.0, -7.0, 1.5] {
        let mut world = World::new(Settings::default(), 0.1, 1e-4, &[GOOD]);
        world.run(3000.0);
        world.meddle(by_s);
        world.check(2e-4);
        assert_eq!(world.steps, 1, "{by_s}");
        world.run(600.0);
        world.check(2e-4);
    }
    // What is less than the rule has, or never to be stepped, is slewed.
    for (settings, by_s, within_s) in
        [(Settings::default(), 0.8, 30.0), (slewing(), 10.0, 200.0), (slewing(), -10.0, 200.0)]
    {
        let mut world = World::new(settings, 0.1, 1e-4, &[GOOD]);
        world.run(3000.0);
        world.meddle(by_s);
        world.run(within_s);
        world.check(1e-3);
        assert_eq!(world.steps, 0);
    }
}

#[test]
fn sleep_loses_the_offset_and_keeps_the_frequency() {
    let mut world = World::new(Settings::default(), 0.1, 1e-4, &[GOOD, GOOD, GOOD]);
    world.run(3000.0);
    let before = world.frequency();
    for off_s in [2.5, -0.3, 1e-3] {
        world.sleep(3600.0, off_s);
        assert!((world.frequency() - before).abs() < 1e-7);
        world.run(120.0);
        world.check(2e-3);
        world.run(1000.0);
        world.check(5e-4);
    }
}

#[test]
fn a_crystal_five_percent_off_is_kept() {
    for error in [0.05, -0.05] {
        for settings in [Settings::default(), slewing()] {
            let mut world = World::new(settings, 0.1, error, &[GOOD]);
            // Nobody reckons with so much: at first the truth is thought to be nearer.
            world.run(600.0);
            world.outside = 0;
            world.run(4400.0);
            world.check(1e-3);
        }
    }
}

#[test]
fn who_says_never_is_never_stepped() {
    for offset_s in [100.0, -100.0, 0.2] {
        let mut world = World::new(slewing(), offset_s, 1e-4, &[GOOD]);
        world.run(2500.0);
        world.check(1e-3);
        assert_eq!(world.steps, 0);
    }
}

#[test]
fn steps_are_for_the_first_updates_only() {
    let mut world = World::new(Settings::default(), 5.0, 1e-4, &[GOOD]);
    world.run(1000.0);
    assert_eq!(world.steps, 1);
    // The server itself jumps: that is followed, but not by a step.
    world.servers[0].offset_s = 3.0;
    world.run(3000.0);
    assert_eq!(world.steps, 1);
}

#[test]
fn no_slew_is_faster_than_allowed() {
    for ppm in [100.0, 500.0, 83_333.0] {
        let settings = Settings { max_slew: Frequency::from_ppm(ppm), ..slewing() };
        let mut world = World::new(settings, -0.8, 0.0, &[GOOD]);
        world.run(2000.0);
        // Beside the slew there is the correction of a frequency that is still being learned.
        let most = ppm * 1e-6 + 2e-4;
        assert!((ppm * 0.5e-6..most).contains(&world.fastest), "{ppm} ppm: {}", world.fastest);
        assert!(world.offset_s().abs() < 0.8);
    }
}

#[test]
fn the_same_inputs_give_the_same_outputs_bit_for_bit() {
    let servers = [GOOD, Server { offset_s: 0.3, ..GOOD }, Server { loss: 0.3, ..GOOD }, GOOD];
    let run = |seed| {
        let mut world = World::new(Settings::default(), 2.0, 1e-4, &servers);
        world.random = seed;
        world.run(2000.0);
        world.meddle(3.0);
        world.sleep(100.0, 0.5);
        world.run(500.0);
        // Debug shows every bit of a float that matters.
        format!("{:?} {:?}", world.outputs, world.keeper.tracking(world.reading()))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn what_is_refused_is_asked_for_again_later() {
    for (settings, offset_s) in [(Settings::default(), 0.1), (slewing(), 5.0)] {
        let mut world = World::new(settings, offset_s, 1e-4, &[GOOD]);
        world.refuses = true;
        world.run(1000.0);
        assert!((world.offset_s() - offset_s - 0.1).abs() < 1e-3, "it cannot have moved");
        assert_eq!(world.outside, 0);
        let tries = |world: &World| {
            world.outputs.iter().filter(|output| matches!(output, Output::Adjust(_))).count()
        };
        let tried = tries(&world);
        assert!((5..500).contains(&tried), "{tried} tries");
        world.refuses = false;
        world.run(1000.0);
        world.check(1e-3);
    }
}

#[test]
fn a_refused_step_does_not_stop_it_for_ever() {
    let mut world = World::new(Settings::default(), 20.0, 1e-4, &[GOOD]);
    world.refuses = true;
    world.run(500.0);
    world.refuses = false;
    // By now there were more updates than the rule has for steps.
    world.run(1500.0);
    world.check(1e-3);
}

#[test]
fn an_error_too_far_to_be_slewed_is_stepped_or_left() {
    let settings = Settings { largest_slewed: Span::from_seconds(5), ..slewing() };
    let mut world = World::new(settings, 20.0, 1e-4, &[GOOD]);
    world.run(1000.0);
    assert_eq!(world.steps, 1, "it is asked for, whatever the rule: another says no");
    world.check(1e-3);
    let mut world = World::new(settings, 20.0, 1e-4, &[GOOD]);
    world.refuses = true;
    world.run(100.0);
    world.outputs.clear();
    world.run(1000.0);
    let asked = |is: fn(&Adjustment) -> bool| {
        let mut adjustments = world.outputs.iter().filter_map(|output| match output {
            Output::Adjust(adjustment) => Some(adjustment),
            _ => None,
        });
        adjustments.any(is)
    };
    assert!(asked(|it| matches!(it, Adjustment::Step(_))), "{:?}", world.outputs);
    assert!(!asked(|it| matches!(it, Adjustment::Rate(rate) if rate.as_ppm().abs() > 200.0)));
    assert_eq!(world.outside, 0);
}

#[test]
fn what_is_remembered_is_right_from_the_start() {
    let memory = Memory { frequency: Frequency::from_ppm(-100.0), skew: Frequency::from_ppm(0.1) };
    let mut world = World::remembering(Some(memory), Settings::default(), 0.0, 1e-4, &[GOOD]);
    assert!((world.rate + 1e-4).abs() < 1e-12);
    world.run(1000.0);
    world.check(2e-4);
    let kept = world.keeper.memory().unwrap();
    assert!((kept.frequency.as_ppm() + 100.0).abs() < 0.1, "{kept:?}");
}

#[test]
fn without_sources_it_coasts_and_says_so() {
    let mut world = World::new(Settings::default(), 0.1, 1e-4, &[GOOD]);
    world.run(10_000.0);
    world.servers[0].loss = 1.0;
    world.run(20_000.0);
    let tracking = world.keeper.tracking(world.reading());
    assert_eq!(tracking.state, ClockState::Holdover);
    assert_eq!((tracking.reference, world.outside), (None, 0));
    assert!(world.offset_s().abs() < 5e-3, "{}", world.offset_s());
}

#[test]
fn sources_may_come_and_go() {
    let mut world = World::new(Settings::default(), 0.1, 1e-4, &[GOOD; 5]);
    world.run(2000.0);
    for place in 0..4 {
        let now = world.reading();
        world.keeper.remove_source(SourceId(place), now);
        world.run(500.0);
        world.check(5e-4);
    }
    for place in 0..4 {
        let now = world.reading();
        world.keeper.add_source(SourceId(place), SourceOptions::default(), now);
        world.run(500.0);
        world.check(5e-4);
    }
}

/// All a keeper holds is in its `Debug`, so that grows no more when it does not.
#[test]
fn memory_stays_bounded() {
    let held = |seconds: f64| {
        let servers = [GOOD, GOOD, Server { loss: 0.4, ..GOOD }];
        let mut world = World::new(Settings::default(), 0.1, 1e-4, &servers);
        for _ in 0..20 {
            world.run(seconds / 20.0);
            world.meddle(0.01);
        }
        format!("{:?}", world.keeper).len()
    };
    let (early, late) = (held(200_000.0), held(600_000.0));
    assert!(late < early + early / 10, "{early} characters, then {late}");
}

/// Something that may happen to a keeper, sensible or not.
#[derive(Clone, Debug)]
enum Input {
    Sample { source: u32, stamps: [Stamp; 4], root: [i64; 2], stratum: u8 },
    Unanswered(u32),
    Timeout,
    Adjusted(bool, i64),
    Step(i64),
    Resume,
    Add(u32, i8, i8),
    Remove(u32),
}

/// A stamp: so far from now, or anything.
#[derive(Clone, Copy, Debug)]
enum Stamp {
    FromNow(i64),
    Any(u64),
}

impl Stamp {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::FromNow(bits) => now + Span::from_bits(bits),
            Self::Any(bits) => Timestamp::from_bits(bits),
        }
    }
}

fn span() -> impl Strategy<Value = i64> {
    let second = 1i64 << 32;
    prop_oneof![
        3 => -second / 100..second / 100,
        2 => -second * 10..second * 10,
        1 => prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), Just(-1), any::<i64>()],
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let stamp = || {
        prop_oneof![
            8 => span().prop_map(Stamp::FromNow),
            1 => prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()].prop_map(Stamp::Any),
        ]
    };
    let stamps = [stamp(), stamp(), stamp(), stamp()];
    let plain = (0..5u32, 0..100i64).prop_map(|(source, millis)| {
        let ago = Stamp::FromNow(-(millis << 22));
        let middle = Stamp::FromNow(-(millis << 21));
        let now = Stamp::FromNow(0);
        Input::Sample { source, stamps: [ago, middle, middle, now], root: [0, 0], stratum: 1 }
    });
    prop_oneof![
        8 => plain,
        6 => (0..5u32, stamps, [span(), span()], any::<u8>()).prop_map(
            |(source, stamps, root, stratum)| Input::Sample { source, stamps, root, stratum }
        ),
        2 => (0..5u32).prop_map(Input::Unanswered),
        2 => Just(Input::Timeout),
        1 => (any::<bool>(), span()).prop_map(|(rate, by)| Input::Adjusted(rate, by)),
        1 => span().prop_map(Input::Step),
        1 => Just(Input::Resume),
        2 => (0..5u32, any::<i8>(), any::<i8>()).prop_map(|(id, a, b)| Input::Add(id, a, b)),
        1 => (0..5u32).prop_map(Input::Remove),
    ]
}

fn feed(keeper: &mut Keeper, input: &Input, now: Reading) {
    match input {
        Input::Sample { source, stamps, root, stratum } => {
            let [origin, receive, transmit, destination] = stamps.map(|stamp| stamp.at(now.real));
            let [root_delay, root_dispersion] = root.map(Span::from_bits);
            let sample = Sample {
                origin,
                receive,
                transmit,
                destination,
                root_delay,
                root_dispersion,
                stratum: *stratum,
                ..sample(origin, destination)
            };
            keeper.handle_sample(SourceId(*source), &sample, now);
        }
        Input::Unanswered(source) => keeper.handle_unanswered(SourceId(*source), now),
        Input::Timeout => keeper.handle_timeout(now),
        Input::Adjusted(rate, by) => {
            let adjustment = if *rate {
                let ratio = Span::from_bits(*by).as_seconds_f64().clamp(-0.1, 0.1);
                Adjustment::Rate(Frequency::from_ratio(ratio))
            } else {
                Adjustment::Step(Span::from_bits(*by))
            };
            keeper.handle_adjusted(&Ok(Adjusted { adjustment, at: now }), now);
        }
        Input::Step(by) => keeper.handle_step(Span::from_bits(*by), now),
        Input::Resume => keeper.handle_resume(now),
        Input::Add(id, min_poll, max_poll) => {
            let options = SourceOptions {
                min_poll: noonmark_units::PollExponent(*min_poll),
                max_poll: noonmark_units::PollExponent(*max_poll),
                ..SourceOptions::default()
            };
            keeper.add_source(SourceId(*id), options, now);
        }
        Input::Remove(id) => keeper.remove_source(SourceId(*id), now),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_makes_it_panic_or_ask_for_nonsense(
        inputs in prop::collection::vec((input(), 0..200_000u64, 0..4u8), 1..80),
        start in prop_oneof![Just(START.to_bits()), Just(u64::MAX - (20 << 32)), any::<u64>()],
    ) {
        let settings = Settings::default();
        let mut now = Reading { mono: Mono(MONO_START), real: Timestamp::from_bits(start) };
        let mut keeper = Keeper::new(settings, None, now);
        for id in 0..3 {
            keeper.add_source(SourceId(id), SourceOptions::default(), now);
        }
        let most = settings.max_frequency.as_ratio() + settings.max_slew.as_ratio() + 1e-9;
        for (input, millis, refusals) in inputs {
            let passed = Duration::from_millis(millis);
            now = Reading { mono: now.mono + passed, real: now.real + Span::from_duration(passed) };
            feed(&mut keeper, &input, now);
            for turn in 0..1000 {
                let Some(output) = keeper.poll_output() else { break };
                prop_assert!(turn < 100, "it is never content");
                let Output::Adjust(adjustment) = output else { continue };
                if let Adjustment::Rate(rate) = adjustment {
                    prop_assert!(rate.as_ratio().abs() <= most, "{rate:?}");
                }
                if let Adjustment::Step(by) = adjustment
                    && refusals > 0
                {
                    now.real = now.real + by;
                }
                let outcome = match refusals {
                    0 => Err(NotAdjusted::Failed("no".into())),
                    _ => Ok(Adjusted { adjustment, at: now }),
                };
                keeper.handle_adjusted(&outcome, now);
            }
            let tracking = keeper.tracking(now);
            prop_assert!(!(tracking.latest - tracking.earliest).is_negative(), "{tracking:?}");
            prop_assert!(tracking.frequency.as_ratio().is_finite());
            prop_assert!(tracking.root_dispersion >= Span::ZERO);
            prop_assert!(keeper.sources(now).len() <= 5);
            if let Some(memory) = keeper.memory() {
                prop_assert!(memory.skew.as_ratio().is_finite());
            }
            prop_assert!(keeper.deadline() > Mono(0));
        }
    }
}

#[test]
fn what_a_source_measured_is_also_told_as_it_is_now() {
    let mut world = World::new(Settings::default(), 0.05, 5e-5, &[GOOD]);
    world.refuses = true;
    world.run(2000.0);
    let now = world.reading();
    let report = world.keeper.sources(now).remove(0);
    let age_s = now.mono.since(report.last_answer.expect("answers came")).as_secs_f64();
    assert!(age_s > 0.1, "{age_s}");
    let (then_s, now_s) = (report.offset.as_seconds_f64(), report.offset_now.as_seconds_f64());
    assert!((now_s + world.offset_s()).abs() < 1e-3, "{now_s} and {}", world.offset_s());
    assert!((then_s - now_s).abs() > 5e-4, "slewed since: {then_s} and {now_s}");
    let sigma_s = report.offset_sigma.as_seconds_f64();
    assert!((1e-6..1e-3).contains(&sigma_s), "{sigma_s}");
}

#[test]
fn what_is_not_known_says_so() {
    let world = World::new(Settings::default(), 0.0, 0.0, &[GOOD]);
    let before = world.keeper.tracking(world.reading());
    assert!(!before.is_estimated() && !before.is_bounded());
    let mut world = world;
    world.run(300.0);
    let after = world.keeper.tracking(world.reading());
    assert!(after.is_estimated() && after.is_bounded());
}
