use super::*;
use crate::KernelStatus;
use noonmark_units::Timestamp;
use proptest::prelude::*;

const BUILT: UnixTime = UnixTime { seconds: 1_790_000_000, nanos: 0 };
const WALL: UnixTime = UnixTime { seconds: 1_800_000_000, nanos: 0 };
const LIFE: Life = Life { boot: [1; 16], run: [1; 16] };

fn at(seconds: f64) -> Reading {
    Reading { mono: Mono((seconds * 1e9) as u64), real: Timestamp::from_unix(WALL) }
}

fn rules() -> Rules {
    Rules { steps: Steps::Always, oscillator: Frequency::from_ppm(500.0), ..Rules::new(BUILT) }
}

fn step(seconds: f64) -> Adjustment {
    Adjustment::Step(Span::from_seconds_f64(seconds))
}

fn rate(ppm: f64) -> Adjustment {
    Adjustment::Rate(Frequency::from_ppm(ppm))
}

fn synchronised() -> Adjustment {
    Adjustment::Status(KernelStatus {
        synchronised: true,
        max_error: Span::ZERO,
        estimated_error: Span::ZERO,
        leap: Leap::None,
        tai_offset: None,
    })
}

/// The word of the rule that forbids the last of `asked`, or "permitted"; the others are permitted.
fn verdict(rules: Rules, asked: &[(f64, Adjustment, Facts)]) -> &'static str {
    let mut guard = Guard::new(rules, LIFE, at(0.0));
    let mut last = "nothing was asked";
    for (seconds, adjustment, facts) in asked {
        let request = Request { adjustment: *adjustment, facts: *facts };
        assert!(matches!(last, "permitted" | "nothing was asked"), "{last} came early");
        let result = guard.permit(&request, at(*seconds), WALL);
        last = result.map_or_else(|refusal| refusal.rule.word(), |()| "permitted");
    }
    last
}

#[test]
fn each_rule_stands_against_what_breaks_it_and_nothing_else() {
    let check = |rules: Rules, asked: &[Adjustment], word| {
        let facts = Facts { agreeing: 1, updates: 0 };
        let asked: Vec<_> = asked.iter().map(|adjustment| (1.0, *adjustment, facts)).collect();
        assert_eq!(verdict(rules, &asked), word, "{asked:?}");
    };
    let never = Rules { steps: Steps::Never, ..rules() };
    check(never, &[step(0.1)], "no-steps");
    check(never, &[rate(83_000.0)], "permitted");
    let first = Rules { steps: Steps::First(2), ..rules() };
    check(first, &[step(1.0), step(-1.0)], "permitted");
    check(first, &[step(1.0), step(-1.0), step(0.1)], "late-step");
    let short = Rules { largest_step: Some(Span::from_seconds(1)), ..rules() };
    check(short, &[step(1.0), step(-1.0)], "permitted");
    check(short, &[step(-1.001)], "long-step");
    check(rules(), &[rate(83_833.0), rate(-83_833.0)], "permitted");
    check(rules(), &[rate(83_834.0)], "fast-rate");
    let wild = Rules { slew: Frequency::from_ppm(1e6), ..rules() };
    check(wild, &[rate(100_501.0)], "fast-rate");
    check(rules(), &[step(-9_999_999.0)], "permitted");
    check(rules(), &[step(-10_000_001.0)], "before-floor");
    check(Rules { floor: UnixTime::EPOCH, ..rules() }, &[step(2_000_000_000.0)], "permitted");
    let old = Rules { floor: UnixTime::new(WALL.seconds - ERA_S, 0), ..rules() };
    check(old, &[step(-1.0)], "permitted");
    check(old, &[rate(500.0)], "permitted");
    check(old, &[rate(501.0)], "other-era");
    check(old, &[synchronised()], "other-era");
    let near_the_end = WALL.seconds + 2_000_000_000 - ERA_S;
    for (floor, word) in [(near_the_end + 1, "permitted"), (near_the_end, "other-era")] {
        let rules = Rules { floor: UnixTime::new(floor, 0), ..rules() };
        check(rules, &[step(2_000_000_000.0)], word);
    }
    let hourly = Rules { per_hour: Some(Span::from_seconds(10)), ..rules() };
    check(hourly, &[step(4.0), step(-6.0)], "permitted");
    check(hourly, &[step(4.0), step(-6.0), step(0.001)], "hour-spent");
    check(hourly, &[step(10.0), rate(500.0), rate(-500.0)], "permitted");
    check(hourly, &[step(10.0), rate(600.0)], "hour-spent");
    let daily = Rules { per_day: Some(Span::from_seconds(10)), ..rules() };
    check(daily, &[step(10.5)], "day-spent");
}

#[test]
fn too_few_sources_may_only_keep_the_clock_running() {
    let rules = Rules { least_agreeing: 2, ..rules() };
    let check = |adjustment, agreeing, word| {
        let asked = [(1.0, adjustment, Facts { agreeing, updates: 0 })];
        assert_eq!(verdict(rules, &asked), word, "{adjustment:?}");
    };
    check(step(0.1), 1, "few-sources");
    check(step(0.1), 2, "permitted");
    check(rate(501.0), 1, "few-sources");
    check(rate(499.0), 0, "permitted");
    check(synchronised(), 1, "few-sources");
    let Adjustment::Status(mut status) = synchronised() else { unreachable!("as built") };
    status.synchronised = false;
    check(Adjustment::Status(status), 0, "permitted");
    status.leap = Leap::InsertSecond;
    check(Adjustment::Status(status), 2, "no-leap-today");
    let any_day = Rules { leap_months: Months::Any, ..rules };
    let june = UnixTime::new(1_877_554_800, 0); // 2029-06-30
    for (wall, agreeing, expected) in
        [(june, 1, "few-sources"), (june, 2, "permitted"), (WALL, 2, "no-leap-today")]
    {
        for rules in [rules, any_day] {
            let facts = Facts { agreeing, updates: 0 };
            let request = Request { adjustment: Adjustment::Status(status), facts };
            let result = Guard::new(rules, LIFE, at(0.0)).permit(&request, at(1.0), wall);
            assert_eq!(
                result.map_or_else(|refusal| refusal.rule.word(), |()| "permitted"),
                expected
            );
        }
    }
}

#[test]
fn updates_once_told_cannot_be_taken_back() {
    let rules = Rules { steps: Steps::First(3), ..rules() };
    let told = |updates| Facts { agreeing: 1, updates };
    assert_eq!(verdict(rules, &[(1.0, step(1.0), told(2))]), "permitted");
    let asked = [(1.0, rate(1.0), told(3)), (2.0, step(1.0), told(0))];
    assert_eq!(verdict(rules, &asked), "late-step");
}

#[test]
fn what_was_counted_before_a_jump_does_not_count_after_it() {
    let rules = Rules { steps: Steps::First(3), ..rules() };
    let mut guard = Guard::new(rules, LIFE, at(0.0));
    let ask = |guard: &mut Guard, seconds, updates| {
        let request = Request { adjustment: step(1.0), facts: Facts { agreeing: 1, updates } };
        guard.permit(&request, at(seconds), WALL).map_err(|refusal| refusal.rule.word())
    };
    assert_eq!(ask(&mut guard, 1.0, 9), Err("late-step"));
    guard.handle_jump(at(2.0));
    assert_eq!(ask(&mut guard, 2.1, 9), Ok(()), "asked before it was known");
    assert_eq!(ask(&mut guard, 5.0, 2), Ok(()));
    assert_eq!(
        ask(&mut guard, 6.0, 2),
        Err("late-step"),
        "two of the three were steps and one was told"
    );
    guard.handle_jump(at(7.0));
    assert_eq!(ask(&mut guard, 9.5, 3), Err("late-step"), "by then it is known");
}

#[test]
fn first_step_after_boot_is_not_counted_and_comes_once() {
    let rules = Rules {
        boot_step: Some(Span::from_seconds(1_000_000)),
        largest_step: Some(Span::from_seconds(1)),
        per_hour: Some(Span::from_seconds(2)),
        ..rules()
    };
    let mut guard = Guard::new(rules, LIFE, at(0.0));
    let ask = |guard: &mut Guard, seconds: f64| {
        let facts = Facts { agreeing: 1, updates: 0 };
        let request = Request { adjustment: step(seconds), facts };
        guard.permit(&request, at(1.0), WALL).is_ok()
    };
    assert!(!ask(&mut guard, 1_000_001.0));
    assert!(ask(&mut guard, 1_000_000.0));
    assert_eq!(guard.used(at(1.0)).0, Span::ZERO);
    assert!(!ask(&mut guard, 1.5));
    let octets = guard.to_octets();
    let restart = |life| Guard::from_octets(rules, life, &octets, at(2.0)).expect("as written");
    assert!(!ask(&mut restart(Life { run: [2; 16], ..LIFE }), 1.5), "the daemon started again");
    assert!(ask(&mut restart(Life { boot: [2; 16], run: [2; 16] }), 1.5), "the machine did");
}

#[test]
fn a_clock_that_was_synchronised_is_never_earlier_than_that_after_a_restart() {
    let mut guard = Guard::new(rules(), LIFE, at(0.0));
    let facts = Facts { agreeing: 1, updates: 0 };
    let request = Request { adjustment: synchronised(), facts };
    guard.permit(&request, at(1.0), WALL).expect("one source agrees");
    assert_eq!(guard.floor(), BUILT, "a clock that is a little fast can be put back meanwhile");
    let octets = guard.to_octets();
    let mut guard = Guard::from_octets(rules(), LIFE, &octets, at(2.0)).expect("as written");
    assert_eq!(guard.floor(), WALL);
    assert_eq!(guard.behind_floor(WALL - Span::from_seconds(5)), Some(Span::from_seconds(5)));
    assert_eq!(guard.behind_floor(WALL), None);
    let back = Request { adjustment: step(-1.0), facts };
    let refusal = guard.permit(&back, at(3.0), WALL).expect_err("before the floor");
    assert_eq!(refusal.rule.word(), "before-floor");
}

#[test]
fn fast_rates_end_before_the_budget_does() {
    let rules = Rules { per_hour: Some(Span::from_seconds(10)), ..rules() };
    let mut guard = Guard::new(rules, LIFE, at(0.0));
    let facts = Facts { agreeing: 1, updates: 0 };
    for adjustment in [rate(20.0), rate(-50_500.0)] {
        guard.permit(&Request { adjustment, facts }, at(0.0), WALL).expect("allowed");
    }
    // 10 s at 0.05 s/s, less a second to be late in, by a clock that is 0.0505 s/s slow.
    let due_s = guard.deadline().0 as f64 / 1e9;
    assert!((due_s - (200.0 * 0.9495 - 1.0)).abs() < 1e-6, "{due_s}");
    assert_eq!(guard.handle_timeout(at(100.0)), None, "not yet");
    assert_eq!(guard.handle_timeout(at(189.4)), Some(rate(20.0)), "back to the last calm rate");
    assert_eq!(guard.deadline(), Mono::NEVER);
    assert!(guard.used(at(189.4)).0 <= Span::from_seconds(10));
    assert_eq!(guard.handle_loss(at(200.0)), None, "at rest already");
    let again = Request { adjustment: rate(50_500.0), facts };
    assert_eq!(guard.permit(&again, at(300.0), WALL).map_err(|r| r.rule.word()), Err("hour-spent"));
    guard.permit(&again, at(3_700.0), WALL).expect("minutes of the last hour are over");
    assert_eq!(guard.handle_loss(at(3_701.0)), Some(rate(20.0)), "whoever asked is gone");
}

#[test]
fn octets_are_of_one_length_and_others_are_refused() {
    let mut guard = Guard::new(rules(), LIFE, at(0.0));
    assert!(guard.must_save());
    let octets = guard.to_octets();
    assert_eq!(octets.len(), LENGTH);
    assert!(!guard.must_save());
    let check = |octets: &[u8]| {
        let result = Guard::from_octets(rules(), LIFE, octets, at(0.0));
        assert_eq!(result.err(), Some(Damaged { len: octets.len() }));
    };
    check(&[]);
    check(&octets[..LENGTH - 1]);
    check(&[octets.as_slice(), &[0]].concat());
    check(&[&[VERSION + 1], &octets[1..]].concat());
}

/// What a hostile asker and a bad day may do.
#[derive(Clone, Debug)]
enum Event {
    Step(f64),
    Rate(f64),
    Synchronised,
    Wait(f64),
    /// The process dies and is back so many seconds later.
    Restart(f64),
    /// The machine does.
    Boot,
    /// The asker dies.
    Loss,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (-8.0..8.0_f64).prop_map(Event::Step),
        4 => prop_oneof![Just(83_833.0), Just(-83_833.0), -84_000.0..84_000.0_f64].prop_map(Event::Rate),
        1 => Just(Event::Synchronised),
        4 => (0.0..90.0_f64).prop_map(Event::Wait),
        2 => (0.0..8000.0_f64).prop_map(Event::Wait),
        2 => (0.0..0.4_f64).prop_map(Event::Restart),
        1 => Just(Event::Boot),
        1 => Just(Event::Loss),
    ];
    proptest::collection::vec(event, 1..120)
}

/// A clock that does what it is told, and the warden around the guard.
struct Day {
    rules: Rules,
    guard: Guard,
    saved: Vec<u8>,
    life: Life,
    /// Time the machine was running, s, and when it was started.
    now: f64,
    booted: f64,
    excess: f64,
    /// How much the clock had been moved in all, at each moment something changed; steps are two entries of one moment.
    moved: Vec<(f64, f64)>,
}

impl Day {
    fn new(rules: Rules) -> Self {
        let mut guard = Guard::new(rules, LIFE, at(0.0));
        let saved = guard.to_octets();
        Self {
            rules,
            guard,
            saved,
            life: LIFE,
            now: 0.0,
            booted: 0.0,
            excess: 0.0,
            moved: vec![(0.0, 0.0)],
        }
    }

    fn reading(&self) -> Reading {
        at(self.now - self.booted)
    }

    fn save(&mut self) {
        if self.guard.must_save() {
            self.saved = self.guard.to_octets();
        }
    }

    fn pass(&mut self, seconds: f64) {
        let (_, sum) = self.moved[self.moved.len() - 1];
        self.now += seconds;
        self.moved.push((self.now, sum + self.excess * seconds));
    }

    fn adjust(&mut self, adjustment: Adjustment) {
        match adjustment {
            Adjustment::Step(by) => {
                let (at, sum) = self.moved[self.moved.len() - 1];
                self.moved.push((at, sum + by.as_seconds_f64().abs()));
            }
            Adjustment::Rate(rate) => {
                self.excess = ((rate.as_ppm().abs() - 500.0) * 1e-6).max(0.0);
            }
            Adjustment::Status(_) => {}
        }
    }

    fn ask(&mut self, adjustment: Adjustment) {
        let facts = Facts { agreeing: 3, updates: 0 };
        let request = Request { adjustment, facts };
        if self.guard.permit(&request, self.reading(), WALL).is_ok() {
            self.save();
            self.adjust(adjustment);
        }
    }

    fn wait(&mut self, seconds: f64) {
        let end = self.now + seconds;
        loop {
            let deadline = self.guard.deadline();
            let due = self.booted + deadline.0 as f64 / 1e9 + LATE;
            if deadline == Mono::NEVER || due > end {
                break;
            }
            self.pass((due - self.now).max(0.0));
            let adjustment = self.guard.handle_timeout(self.reading());
            self.save();
            adjustment.into_iter().for_each(|adjustment| self.adjust(adjustment));
        }
        self.pass((end - self.now).max(0.0));
    }

    fn restart(&mut self) {
        let result = Guard::from_octets(self.rules, self.life, &self.saved, self.reading());
        self.guard = result.expect("as written");
        let adjustment = self.guard.handle_timeout(self.reading());
        self.save();
        adjustment.into_iter().for_each(|adjustment| self.adjust(adjustment));
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Step(seconds) => self.ask(step(seconds)),
            Event::Rate(ppm) => self.ask(rate(ppm)),
            Event::Synchronised => self.ask(synchronised()),
            Event::Wait(seconds) => self.wait(seconds),
            Event::Restart(gap) => {
                self.pass(gap);
                self.restart();
            }
            Event::Boot => {
                self.life.boot[0] = self.life.boot[0].wrapping_add(1);
                self.excess = 0.0;
                self.booted = self.now;
                self.restart();
            }
            Event::Loss => {
                if let Some(adjustment) = self.guard.handle_loss(self.reading()) {
                    self.save();
                    self.adjust(adjustment);
                }
            }
        }
    }

    /// The most that was moved within any stretch of this length: it begins or ends where something changed.
    fn most_within(&self, length: f64) -> f64 {
        let before = |t: f64| self.sum_at(t, false);
        let after = |t: f64| self.sum_at(t, true);
        let begins = self.moved.iter().map(|&(t, _)| after(t + length) - before(t));
        let ends = self.moved.iter().map(|&(t, _)| after(t) - before(t - length));
        begins.chain(ends).fold(0.0, f64::max)
    }

    /// The sum at a moment, with or without the steps of just that moment.
    fn sum_at(&self, t: f64, with_steps: bool) -> f64 {
        let place =
            self.moved.partition_point(|&(at, _)| if with_steps { at <= t } else { at < t });
        match (place.checked_sub(1).map(|p| self.moved[p]), self.moved.get(place)) {
            (None, _) => 0.0,
            (Some((_, sum)), None) => sum,
            (Some((t0, s0)), Some(&(t1, s1))) if t1 > t0 => s0 + (s1 - s0) * (t - t0) / (t1 - t0),
            (Some((_, sum)), Some(_)) => sum,
        }
    }
}

/// How late deadlines are kept, s: with a restart's gap still within the reserve.
const LATE: f64 = 0.5;

fn check_budgets(events: &[Event], per_hour: Option<i64>, per_day: Option<i64>) -> Day {
    let rules = Rules {
        per_hour: per_hour.map(Span::from_seconds),
        per_day: per_day.map(Span::from_seconds),
        ..rules()
    };
    let mut day = Day::new(rules);
    for event in events {
        day.happen(event);
        assert!(day.guard.used(day.reading()).0 <= Span::MAX);
    }
    for (limit, length) in [(per_hour, 3600.0), (per_day, 86_400.0)] {
        if let Some(limit) = limit {
            let most = day.most_within(length);
            assert!(
                most <= limit as f64 + 1e-3,
                "{most} s within {length} s, {limit} s are allowed"
            );
        }
    }
    day
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_hour_and_no_day_moves_the_clock_further_than_allowed(
        events in events(), per_hour in proptest::option::of(1..60_i64), per_day in proptest::option::of(1..200_i64),
    ) {
        check_budgets(&events, per_hour, per_day);
    }

    #[test]
    fn any_octets_are_a_guard_or_damage(octets in proptest::collection::vec(any::<u8>(), LENGTH)) {
        let mut octets = octets;
        octets[0] = VERSION;
        octets[81] &= 1;
        if let Ok(mut guard) = Guard::from_octets(rules(), LIFE, &octets, at(5.0)) {
            let _ = guard.permit(&Request { adjustment: step(1.0), facts: Facts::default() }, at(6.0), WALL);
            let _ = guard.handle_timeout(at(7.0));
            let again = guard.to_octets();
            prop_assert_eq!(again.len(), LENGTH);
        }
    }
}

#[test]
fn the_property_would_see_a_guard_that_forgets() {
    let mut day = Day::new(Rules { per_hour: Some(Span::from_seconds(10)), ..rules() });
    day.happen(&Event::Step(8.0));
    day.guard = Guard::new(day.rules, day.life, day.reading());
    day.happen(&Event::Step(8.0));
    assert!(day.most_within(3600.0) > 15.0);
}

#[test]
fn an_honest_asker_gets_the_whole_budget() {
    let events: Vec<Event> = (0..20).map(|_| Event::Step(1.0)).collect();
    let day = check_budgets(&events, Some(10), None);
    assert!((day.most_within(3600.0) - 10.0).abs() < 1e-6);
    let events = [Event::Rate(50_500.0), Event::Wait(3500.0)];
    let day = check_budgets(&events, Some(10), None);
    assert!(day.most_within(3600.0) > 9.9);
}

/// The end of 2029-06-30.
const LEAP: LeapSecond =
    LeapSecond { at: UnixTime { seconds: 1_877_558_400, nanos: 0 }, inserted: true };

#[test]
fn a_leap_second_is_stepped_at_its_instant_and_once() {
    let rules =
        Rules { steps: Steps::Never, per_hour: Some(Span::from_nanos(1_000_000)), ..rules() };
    let check = |guard: &mut Guard, leap: LeapSecond, since: f64, agreeing, word| {
        let facts = Facts { agreeing, updates: 9 };
        let wall = LEAP.at + Span::from_seconds_f64(since);
        let permitted = guard.permit_leap(leap, facts, at(1.0), wall);
        let found = permitted.map_err(|refusal| refusal.rule.word());
        assert_eq!(found.map_or_else(|word| word, |_| "permitted"), word, "{leap:?} {since}");
    };
    let mut guard = Guard::new(rules, LIFE, at(0.0));
    let left_out = LeapSecond { inserted: false, ..LEAP };
    let in_may = LeapSecond { at: LEAP.at - Span::from_seconds(30 * 86_400), ..LEAP };
    let in_the_morning = LeapSecond { at: LEAP.at + Span::from_seconds(60), ..LEAP };
    check(&mut guard, LEAP, -0.001, 1, "no-leap-now");
    check(&mut guard, LEAP, 2.001, 1, "no-leap-now");
    check(&mut guard, left_out, -1.1, 1, "no-leap-now");
    check(&mut guard, in_may, -30.0 * 86_400.0, 1, "no-leap-now");
    check(&mut guard, in_the_morning, 60.0, 1, "no-leap-now");
    check(&mut guard, LEAP, 0.1, 0, "few-sources");
    check(&mut guard, LEAP, 0.1, 1, "permitted");
    check(&mut guard, LEAP, 0.0, 1, "leap-taken");
    let octets = guard.to_octets();
    let mut again = Guard::from_octets(rules, LIFE, &octets, at(2.0)).expect("as written");
    check(&mut again, LEAP, 0.0, 1, "leap-taken");
    let mut other = Guard::new(rules, LIFE, at(0.0));
    check(&mut other, left_out, -1.0, 1, "permitted");
}

#[test]
fn a_leap_second_the_kernel_carried_out_is_not_armed_again() {
    let mut guard = Guard::new(rules(), LIFE, at(0.0));
    let Adjustment::Status(status) = synchronised() else { unreachable!("as built") };
    let armed = Adjustment::Status(KernelStatus { leap: Leap::InsertSecond, ..status });
    let mut check = |adjustment, since: f64, word| {
        let request = Request { adjustment, facts: Facts { agreeing: 1, updates: 0 } };
        let wall = LEAP.at + Span::from_seconds_f64(since);
        let permitted = guard.permit(&request, at(1.0), wall);
        let found = permitted.map_or_else(|refusal| refusal.rule.word(), |()| "permitted");
        assert_eq!(found, word, "{adjustment:?} {since}");
    };
    check(armed, -100.0, "permitted");
    check(armed, -0.5, "permitted");
    check(step(-60.0), 1.0, "permitted");
    check(armed, -59.0, "leap-taken");
    check(synchronised(), -58.0, "permitted");
    // Half a year later there can be another one.
    check(armed, 183.5 * 86_400.0, "permitted");
}

#[test]
fn an_account_from_before_leap_seconds_were_noted_is_read() {
    let mut guard = Guard::new(rules(), LIFE, at(0.0));
    let octets = guard.to_octets();
    // The time noted stands between the time recorded and the budgets.
    let noted = 1 + 32 + 4 * 8 + 4 + 1 + 12;
    let old = [&[1], &octets[1..noted], &octets[noted + 12..]].concat();
    let mut read = Guard::from_octets(rules(), LIFE, &old, at(0.0)).expect("version 1");
    assert_eq!(read.to_octets(), octets);
}
