//! A hostile role `sources` against the helm and the guard: whatever it says, however often it or the warden or the machine starts
//! again, the clock stays within what the configuration allows.
//!
//! The clock is made up ([`Simulated`]) and so is the disk, which may fail or lose its power at any step. What was allowed is judged by
//! what the clock did, from its own trace, without a word from the guard ([`Siege::judge`]).

mod envelope;
mod events;
mod simulated;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use noonmark_clock::guard::Facts;
use noonmark_clock::leap::LeapSecond;
use noonmark_clock::{KernelStatus, Memory};
use noonmark_os::store::Store;
use noonmark_os::store::fault::FaultyFolder;
use noonmark_packet::Leap;
use noonmark_units::{Frequency, Mono, Span, UnixTime};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::helm::{Helm, RELEASED};
use super::served::tests::STANDING;
use crate::message::{Message, Standing, Wish};
use events::{Allowed, Event, Start, allowed, events, start, wish_octets};
use simulated::{Body, DAY, Disk, SECOND, Simulated};

/// Who did something to the clock, and what the asker said of it.
#[derive(Clone, Copy, Debug)]
enum Doer {
    Start,
    Wish(Facts),
    Status(Facts),
    Leap(Facts),
    Nobody,
}

/// A mistake on purpose, to show that it is seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mistake {
    #[default]
    None,
    /// The account is gone after a restart.
    Forgets,
    /// The clock does twice what it is told.
    Doubles,
}

struct Siege {
    allowed: Allowed,
    settings: noonmark_config::Clock,
    mistake: Mistake,
    body: Rc<RefCell<Body>>,
    store: Store<Disk>,
    helm: Option<Helm>,
    run: u8,
    /// How many wardens have begun.
    starts: u32,
    /// What comes after the next crash: a machine without power, or a warden that died.
    is_power: bool,
    /// Steps since the daemon was started or somebody else stepped the clock.
    steps: u32,
    has_stepped_since_boot: bool,
    /// The clock has been stepped though that could not be noted.
    is_step_unnoted: bool,
    /// When the clock was last called synchronised by this warden; the latest time at which it may have been by any; the latest stored.
    synchronised: Option<i128>,
    latest_synchronised: i128,
    known_over: i128,
    leaps: BTreeSet<i64>,
    /// What the kernel was last to be told.
    told: Option<(KernelStatus, Facts)>,
    start: Start,
    late: u64,
}

impl Siege {
    /// The helm is given `settings`, and what it does is held against `allowed`.
    fn new(allowed: Allowed, settings: Allowed, start: Start, mistake: Mistake) -> Self {
        let mut body = Body::new(start.error, allowed.drift(), start.shown);
        body.doubles_steps = mistake == Mistake::Doubles;
        let body = Rc::new(RefCell::new(body));
        let store = Store::new(Disk { folder: FaultyFolder::new(), body: body.clone() });
        Self {
            allowed,
            settings: settings.settings(),
            mistake,
            body,
            store,
            helm: None,
            run: 1,
            starts: 0,
            is_power: false,
            steps: 0,
            has_stepped_since_boot: false,
            is_step_unnoted: false,
            synchronised: None,
            latest_synchronised: nanos_of(RELEASED),
            known_over: nanos_of(RELEASED),
            leaps: BTreeSet::new(),
            told: None,
            start,
            late: start.late,
        }
    }

    /// Everything that happens, and then the sums.
    fn endure(&mut self, events: &[Event]) -> Result<(), String> {
        self.start()?;
        for event in events {
            self.happen(event).map_err(|problem| format!("{problem}, at {event:?}"))?;
        }
        self.check_budgets()
    }

    fn happen(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Wish { is_step, value, agreeing, updates, hold_ms, after } => {
                let octets = wish_octets(is_step, value, agreeing, updates, hold_ms, after);
                match Message::parse(&octets) {
                    Ok(Message::Wish(wish)) => self.wish(&wish)?,
                    // Who cannot be understood is as good as gone.
                    _ => self.act(Doer::Nobody, Helm::handle_loss)?,
                }
            }
            Event::Status { synchronised, leap, agreeing } => {
                let facts = Facts { agreeing, updates: 0 };
                let status = KernelStatus {
                    synchronised,
                    max_error: Span::from_nanos(1000),
                    estimated_error: Span::from_nanos(100),
                    leap: if self.start.kernel_leaps {
                        Leap::from_octet(leap << 6)
                    } else {
                        Leap::None
                    },
                    tai_offset: None,
                };
                self.told = Some((status, facts));
                self.act(Doer::Status(facts), |helm, store| {
                    helm.tell_kernel(status, facts, store);
                })?;
            }
            // Who leaves them to the kernel steps for none.
            Event::Leap { .. } if self.start.kernel_leaps => {}
            Event::Leap { inserted, early_s, agreeing } => {
                let facts = Facts { agreeing, updates: 0 };
                let wall = self.body.borrow().wall();
                let midnight = (wall.seconds + 43_200).div_euclid(86_400) * 86_400;
                let at = UnixTime::new(midnight + early_s, 0);
                let leap = LeapSecond { at, inserted };
                self.act(Doer::Leap(facts), |helm, store| helm.step_for(leap, facts, store))?;
            }
            Event::News { frequency, skew } => {
                let [frequency, skew] = [frequency, skew].map(Frequency::from_ppm);
                let standing = Standing { memory: Some(Memory { frequency, skew }), ..STANDING };
                self.act(Doer::Nobody, |helm, _| helm.learn(&standing))?;
            }
            Event::Wait(nanos) => self.wait(nanos.into())?,
            Event::Evening(before) => {
                let shown = self.body.borrow().shown;
                let left = DAY - shown.rem_euclid(DAY) - i128::from(before);
                self.wait(left.max(0))?;
            }
            Event::Lost => {
                self.act(Doer::Nobody, Helm::handle_loss)?;
                let rate = self.body.borrow().rate();
                self.require(rate.abs() <= self.allowed.drift() + TINY, || {
                    format!("loss: nobody asks and the clock runs at {rate}")
                })?;
            }
            Event::Killed(gap) => self.restart_warden(gap.into())?,
            Event::Stopped => {
                self.body.borrow_mut().has_failed = false;
                self.act(Doer::Nobody, Helm::leave)?;
                if !self.body.borrow().has_failed {
                    self.known_over = self.known_over.max(self.synchronised.unwrap_or(i128::MIN));
                }
                (self.run, self.steps) = (self.run.wrapping_add(1), 0);
                self.start()?;
            }
            Event::Power(off, chance, error) => self.cut_power(off.into(), chance, error)?,
            Event::Fault(after, fault, is_power) => {
                self.body.borrow_mut().fault = Some((after, fault));
                self.is_power = is_power;
            }
            Event::Meddle(by) => {
                // Set back over a leap second by somebody else, a clock may live through it again.
                self.leaps.clear();
                self.body.borrow_mut().meddle(by.into());
                self.see_jump()?;
            }
            Event::Sleep(nanos) => {
                self.body.borrow_mut().sleep(nanos.into());
                self.see_jump()?;
            }
        }
        self.wait(0)
    }

    fn wish(&mut self, wish: &Wish) -> Result<(), String> {
        let (before, rate) = (self.body.borrow().shown, self.body.borrow().rate());
        let (starts, mut is_done) = (self.starts, true);
        self.act(Doer::Wish(wish.facts), |helm, store| {
            is_done = helm.grant(wish, store).outcome.is_ok();
        })?;
        let body = self.body.borrow();
        // If the account cannot be stored, a fast rate ends.
        let is_calm = body.rate().abs() <= self.allowed.drift() + TINY;
        let is_same = before == body.shown && (is_calm || rate.to_bits() == body.rate().to_bits());
        self.require(is_done || is_same || starts != self.starts, || {
            format!("refused: {wish:?} was, and the clock changed")
        })
    }

    fn see_jump(&mut self) -> Result<(), String> {
        self.act(Doer::Nobody, |helm, _| helm.look_for_jumps().map_or((), |_| ()))?;
        self.steps = 0;
        Ok(())
    }

    /// Has the helm do something, judges what it did, and starts again whatever died of it.
    fn act(
        &mut self,
        doer: Doer,
        what: impl FnOnce(&mut Helm, &mut Store<Disk>),
    ) -> Result<(), String> {
        let Some(helm) = &mut self.helm else { return Ok(()) };
        if let (Doer::Status(_), Some((KernelStatus { synchronised: true, .. }, facts))) =
            (doer, self.told)
            && facts.agreeing >= self.allowed.min_sources
        {
            // Noted, maybe, even if the warden dies before it tells the kernel.
            let shown = self.body.borrow().shown;
            self.latest_synchronised = self.latest_synchronised.max(shown);
        }
        self.body.borrow_mut().has_failed = false;
        what(helm, &mut self.store);
        self.judge(doer)?;
        if self.body.borrow().is_alive {
            return Ok(());
        }
        if self.is_power { self.cut_power(SECOND, self.late, 0) } else { self.restart_warden(0) }
    }

    /// Time passes; deadlines are kept, up to half a second late.
    fn wait(&mut self, nanos: i128) -> Result<(), String> {
        let mut left = nanos;
        loop {
            self.late = self.late.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let late = Duration::from_nanos((self.late >> 33) % 500_000_000);
            let (deadline, now) = {
                let deadline = self.helm.as_ref().map_or(Mono::NEVER, Helm::deadline);
                (deadline, self.body.borrow().mono())
            };
            let until = (deadline + late).since(now).as_nanos().cast_signed();
            if deadline == Mono::NEVER || until > left {
                self.body.borrow_mut().run(left);
                self.judge(Doer::Nobody)?;
                break;
            }
            left -= until;
            self.body.borrow_mut().run(until);
            self.act(Doer::Nobody, |helm, store| {
                helm.handle_timeout(store);
            })?;
        }
        // As the warden does every second.
        if let Some((status, facts)) = self.told {
            self.act(Doer::Status(facts), |helm, store| helm.tell_kernel(status, facts, store))?;
        }
        let now = self.body.borrow().mono();
        self.act(Doer::Nobody, |helm, store| helm.save_at_times(store, now))
    }

    fn restart_warden(&mut self, gap: i128) -> Result<(), String> {
        let folder = self.store.folder().folder.left_behind();
        // A warden that dies within the second after a leap second has not noted it.
        self.leaps.clear();
        if self.is_step_unnoted {
            (self.steps, self.has_stepped_since_boot) = (0, false);
        }
        {
            let mut body = self.body.borrow_mut();
            (body.is_alive, body.fault) = (true, None);
            body.is_alone = gap > PROMPT;
            body.run(gap);
            body.is_alone = false;
        }
        self.begin_with(folder)
    }

    fn cut_power(&mut self, off: i128, chance: u64, error: i64) -> Result<(), String> {
        let folder = self.store.folder().folder.power_lost(chance);
        {
            let mut body = self.body.borrow_mut();
            (body.is_alive, body.fault) = (true, None);
            body.boot(off, error.into());
        }
        if error < 0 {
            self.leaps.clear();
        }
        (self.run, self.steps, self.has_stepped_since_boot) = (self.run.wrapping_add(1), 0, false);
        self.begin_with(folder)
    }

    fn begin_with(&mut self, folder: FaultyFolder) -> Result<(), String> {
        let folder = if self.mistake == Mistake::Forgets { FaultyFolder::new() } else { folder };
        self.store = Store::new(Disk { folder, body: self.body.clone() });
        self.start()
    }

    /// A warden takes the clock, or another one does if that dies.
    fn start(&mut self) -> Result<(), String> {
        (self.helm, self.synchronised, self.is_step_unnoted) = (None, None, false);
        self.told = None;
        self.starts += 1;
        for _ in 0..3 {
            let machine = Box::new(Simulated::new(self.body.clone()));
            let run = [self.run; 16];
            let taken = Helm::take(&self.settings, run, machine, &mut self.store);
            self.judge(Doer::Start)?;
            match taken {
                Ok(helm) if self.body.borrow().is_alive => {
                    let (shown, floor) = (self.body.borrow().shown, self.known_over);
                    self.helm = Some(helm);
                    return self.require(shown + SLACK >= floor, || {
                        format!(
                            "floor: the clock begins {} ns before a time that is over",
                            floor - shown
                        )
                    });
                }
                Ok(_) | Err(_) => {
                    let folder = self.store.folder().folder.left_behind();
                    self.store = Store::new(Disk { folder, body: self.body.clone() });
                    let mut body = self.body.borrow_mut();
                    (body.is_alive, body.fault) = (true, None);
                }
            }
        }
        Err("start: no warden can take the clock".to_owned())
    }

    fn require(&self, holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
        if holds { Ok(()) } else { Err(problem()) }
    }
}

fn nanos_of(time: UnixTime) -> i128 {
    i128::from(time.seconds) * SECOND + i128::from(time.nanos)
}

#[test]
fn a_hostile_asker_never_moves_the_clock_beyond_what_is_allowed() {
    let mut runner =
        TestRunner::new(Config { cases: CASES.max(Config::default().cases), ..Config::default() });
    let result = runner.run(&(allowed(), start(), events()), |(allowed, start, events)| {
        let mut siege = Siege::new(allowed, allowed, start, Mistake::None);
        siege.endure(&events).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// The rules this is about, each wide enough not to stand in the way of another.
const WIDE: Allowed = Allowed {
    first_updates: None,
    largest_step: None,
    boot_step: None,
    per_hour: None,
    per_day: None,
    max_slew_ppm: 100_000,
    max_drift_ppm: 500,
    min_sources: 1,
};

/// A helm that is given wider rules than those it is held against, or has lost something, is found out by the first word of the problem.
#[test]
fn a_rule_that_did_not_hold_would_be_seen() {
    let check = |allowed: Allowed, settings: Allowed, mistake, word: &str| {
        let mut runner = TestRunner::deterministic();
        let (starts, events) = (start(), events());
        let is_seen = (0..MOST_TRIES).any(|_| {
            let start = starts.new_tree(&mut runner).expect("a start").current();
            let events = events.new_tree(&mut runner).expect("events").current();
            let problem = Siege::new(allowed, settings, start, mistake).endure(&events).err();
            problem.is_some_and(|problem| problem.starts_with(word))
        });
        assert!(is_seen, "{word} with {allowed:?}, {mistake:?}");
    };
    let none = Mistake::None;
    check(
        Allowed { per_hour: Some(2), ..WIDE },
        Allowed { per_hour: Some(3), ..WIDE },
        none,
        "hour",
    );
    check(Allowed { per_day: Some(2), ..WIDE }, Allowed { per_day: Some(3), ..WIDE }, none, "day");
    check(
        Allowed { largest_step: Some(2), ..WIDE },
        Allowed { largest_step: Some(3), ..WIDE },
        none,
        "largest",
    );
    check(Allowed { first_updates: Some(0), ..WIDE }, WIDE, none, "steps");
    let first = |updates| Allowed { first_updates: Some(updates), ..WIDE };
    check(first(1), first(2), none, "steps");
    check(Allowed { max_slew_ppm: 99_000, ..WIDE }, WIDE, none, "slew");
    check(Allowed { min_sources: 3, ..WIDE }, Allowed { min_sources: 2, ..WIDE }, none, "sources");
    check(
        Allowed { per_hour: Some(2), ..WIDE },
        Allowed { per_hour: Some(2), ..WIDE },
        Mistake::Forgets,
        "hour",
    );
    check(first(1), first(1), Mistake::Forgets, "steps");
    check(WIDE, WIDE, Mistake::Forgets, "floor");
    check(
        Allowed { largest_step: Some(2), ..WIDE },
        Allowed { largest_step: Some(2), ..WIDE },
        Mistake::Doubles,
        "largest",
    );
}

const CASES: u32 = 800;
const MOST_TRIES: u32 = 400;
/// The warden is back so soon that a fast rate it cannot end in between is within the guard's reserve, with a deadline kept late.
const PROMPT: i128 = 400_000_000;
/// Rounding, of times in ns and of rates in s/s.
const SLACK: i128 = 1000;
const TINY: f64 = 1e-12;
