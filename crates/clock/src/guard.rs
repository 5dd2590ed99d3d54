//! The rules every correction must pass before it reaches the clock.
//!
//! Whoever decides on corrections reads the network and might be made to decide badly. The [`Guard`] sits between it and the
//! clock, in another process, knows only what the operator allowed, and believes nothing that would widen it. What it promises,
//! whatever is asked of it and however often it is started again: within any hour and any day the clock is moved, apart from
//! what its own frequency error needs, by no more than the budget. Pure and deterministic.
//!
//! The order of things: [`Guard::permit`] (or [`Guard::handle_timeout`] when [`Guard::deadline`] has come, or
//! [`Guard::handle_loss`]), then, if [`Guard::must_save`], store [`Guard::to_octets`], and only then adjust. So a crash can
//! spend too much of the budget, but never forget what was spent. Only while nobody is there to end a fast rate, between the
//! death of the guard's process and the next one, can the clock run on beyond it, and that is counted afterwards.

mod budget;
mod refusal;

pub use refusal::{Refusal, Rule};

use std::time::Duration;

use noonmark_packet::Leap;
use noonmark_units::{Frequency, Mono, Span, UnixTime};

use crate::leap::{LeapSecond, Months};
use crate::{Adjustment, KernelStatus, Reading};
use budget::Budget;

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// When the clock may be stepped.
    pub steps: Steps,
    /// The largest step, either way; `None` for any.
    pub largest_step: Option<Span>,
    /// How far the first step after the machine was started may go: that one is not counted against the budgets, since a
    /// machine may have been off for a year. `None`: it is like any other.
    pub boot_step: Option<Span>,
    /// A rate within this is taken to correct the oscillator and is not counted; what goes beyond it moves the clock and is. An
    /// oscillator that needs more than this spends the budgets all the time.
    pub drift: Frequency,
    /// How far off the oscillator may be by itself at the very most.
    pub oscillator: Frequency,
    /// How much faster or slower than that the clock may run while an offset is worked off.
    pub slew: Frequency,
    /// What may be corrected within any hour, steps and fast rates together; `None` for any amount.
    pub per_hour: Option<Span>,
    /// What may be corrected within any 24 hours.
    pub per_day: Option<Span>,
    /// How many independent sources have to agree before the clock is stepped, run beyond its drift, or called synchronised.
    pub least_agreeing: u32,
    /// At the end of which months a leap second may be armed.
    pub leap_months: Months,
    /// The earliest time there is: when this program was built.
    pub floor: UnixTime,
}

impl Rules {
    /// The largest slew anybody may allow: beyond a tenth programs that measure time by the clock go wrong.
    pub const LARGEST_SLEW: Frequency = Frequency::from_ppm(100_000.0);

    /// What holds unless the operator says otherwise: any step within the first 3 updates and none later, rates that chrony's
    /// users know, and no budget.
    #[must_use]
    pub fn new(built: UnixTime) -> Self {
        Self {
            steps: Steps::First(3),
            largest_step: None,
            boot_step: None,
            drift: Frequency::from_ppm(500.0),
            oscillator: Frequency::from_ppm(50_000.0),
            slew: Frequency::from_ppm(83_333.0),
            per_hour: None,
            per_day: None,
            least_agreeing: 1,
            leap_months: Months::default(),
            floor: built,
        }
    }

    /// The fastest the clock may run.
    #[must_use]
    pub fn largest_rate(&self) -> Frequency {
        self.oscillator.abs() + self.slew.clamp_to(Self::LARGEST_SLEW).abs()
    }
}

/// When the clock may be stepped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Steps {
    /// Never.
    Never,
    /// Within so many first updates after the daemon was started, after somebody else stepped the clock, and after the machine slept; 1 is
    /// "only to begin with".
    First(u32),
    /// Whenever it is too far off.
    Always,
}

/// An adjustment somebody wants, and what they say of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// What is to be done.
    pub adjustment: Adjustment,
    /// Why it may be done.
    pub facts: Facts,
}

/// What the asker says. It may lie: at most it gets what the rules allow to the most deserving.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// How many independent sources agree on it.
    pub agreeing: u32,
    /// How often the clock was corrected before this, since the daemon was started or the clock jumped.
    pub updates: u32,
}

/// Which life of the machine and of the daemon this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Life {
    /// The same until the machine starts anew: the kernel's boot id.
    pub boot: [u8; 16],
    /// The same until the whole daemon starts anew, however often one of its processes does.
    pub run: [u8; 16],
}

/// Permits what the rules allow, and keeps account of it.
#[derive(Clone, Debug)]
pub struct Guard {
    rules: Rules,
    life: Life,
    /// When this was last brought up to date, by the monotonic clock and by the time the guard has lived. That is time in which
    /// the machine was running with the guard's account at hand, so setting the clock, or switching the machine off, ages nothing.
    now: Mono,
    lived: Duration,
    hour: Budget<61>,
    day: Budget<97>,
    /// The rate in effect, and the last one that was within the drift.
    rate: Frequency,
    rest: Frequency,
    until: Mono,
    updates: u32,
    /// When the clock last jumped by another's doing.
    jumped_at: Option<Mono>,
    boot_step_used: bool,
    /// The last time at which the clock was called synchronised, of earlier runs and of this one.
    recorded: Option<UnixTime>,
    recording: Option<UnixTime>,
    /// The end of the day of the last leap second that was carried out, and of the one that the kernel has to carry out.
    leaped: Option<UnixTime>,
    armed: Option<UnixTime>,
    unsaved: bool,
}

impl Guard {
    /// A guard that knows of no correction.
    #[must_use]
    pub fn new(rules: Rules, life: Life, now: Reading) -> Self {
        Self {
            rules,
            life,
            now: now.mono,
            lived: Duration::ZERO,
            hour: Budget::new(HOUR_SLOT),
            day: Budget::new(DAY_SLOT),
            rate: Frequency::ZERO,
            rest: Frequency::ZERO,
            until: Mono::NEVER,
            updates: 0,
            jumped_at: None,
            boot_step_used: false,
            recorded: None,
            recording: None,
            leaped: None,
            armed: None,
            unsaved: true,
        }
    }

    /// Decides on a request. `wall` is what the clock shows, with its era.
    ///
    /// # Errors
    /// The [`Refusal`]; nothing may be done then and the clock goes on as it was.
    pub fn permit(
        &mut self,
        request: &Request,
        now: Reading,
        wall: UnixTime,
    ) -> Result<(), Refusal> {
        self.account(now.mono);
        self.note_leap(wall);
        let mut facts = request.facts;
        // Whoever asks may have done so before it knew of the jump, and have counted from another one.
        if self.jumped_at.is_some_and(|at| now.mono.since(at) < UNAWARE) {
            facts.updates = 0;
        }
        let verdict = match request.adjustment {
            Adjustment::Step(by) => self.step(by, facts, wall),
            Adjustment::Rate(rate) => self.run_at(rate, facts, wall),
            Adjustment::Status(status) => self.promise(&status, facts, wall),
        };
        // Lying about this only narrows it.
        self.updates = self.updates.max(facts.updates);
        verdict.map_err(|rule| Refusal { request: *request, wall, rule })
    }

    /// Decides whether the clock, which shows `wall`, is stepped for a leap second now: within two seconds of the instant of one that can
    /// be, and once. It says by how much. Like a leap second the kernel carries out it counts against no budget, and no rule for steps
    /// holds for it.
    ///
    /// # Errors
    /// The [`Refusal`]; nothing may be done then.
    pub fn permit_leap(
        &mut self,
        leap: LeapSecond,
        facts: Facts,
        now: Reading,
        wall: UnixTime,
    ) -> Result<Span, Refusal> {
        self.account(now.mono);
        self.note_leap(wall);
        let by = leap.jump();
        let request = Request { adjustment: Adjustment::Step(by), facts };
        let late = wall - leap.instant();
        let last_day = leap.at + Span::from_seconds(-1);
        let can_be = LeapSecond::at_the_end_of_today(leap.leap(), last_day, self.rules.leap_months);
        let verdict = if can_be != Some(leap) || late.is_negative() || late > LEAP_WITHIN {
            Err(Rule::NoLeapNow)
        } else if self.leaped == Some(leap.at) {
            Err(Rule::LeapTaken)
        } else {
            self.enough(facts)
        };
        verdict.map_err(|rule| Refusal { request, wall, rule })?;
        self.leaped = Some(leap.at);
        self.unsaved = true;
        Ok(by)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called: before a fast rate has spent the budget. A second late is
    /// early enough.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        self.until
    }

    /// The adjustment to make now, if the deadline has come and the budget is nearly spent: back to rest.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Reading) -> Option<Adjustment> {
        self.account(now.mono);
        if now.mono < self.until || self.excess(self.rate) <= 0.0 {
            return None;
        }
        if self.affords(self.rate).is_err() {
            return self.calm();
        }
        self.set_deadline();
        None
    }

    /// The adjustment that ends a fast rate, if there is one in effect: for when whoever asked for it has been gone for longer
    /// than it takes to start it again.
    #[must_use]
    pub fn handle_loss(&mut self, now: Reading) -> Option<Adjustment> {
        self.account(now.mono);
        if self.excess(self.rate) > 0.0 { self.calm() } else { None }
    }

    /// Somebody else stepped the clock, or the machine slept, as the process that has the clock saw itself: what [`Steps::First`] permits it
    /// permits again. The budgets do not mind.
    pub fn handle_jump(&mut self, now: Reading) {
        self.account(now.mono);
        self.updates = 0;
        self.jumped_at = Some(now.mono);
        self.unsaved = true;
    }

    /// How far a clock that shows `wall` has to be set forward at the start: it is later than the floor, whatever it shows.
    #[must_use]
    pub fn behind_floor(&self, wall: UnixTime) -> Option<Span> {
        let floor = self.floor();
        (wall < floor).then(|| floor - wall)
    }

    /// The earliest time the clock may be set to: when the program was built, or when an earlier run last called the clock
    /// synchronised. What this run records counts from the next one on, or a clock that is a little fast could not be put back.
    #[must_use]
    pub fn floor(&self) -> UnixTime {
        self.recorded.map_or(self.rules.floor, |recorded| recorded.max(self.rules.floor))
    }

    /// What was corrected within the last hour and within the last day, as far as it counts against the budgets.
    #[must_use]
    pub fn used(&mut self, now: Reading) -> (Span, Span) {
        self.account(now.mono);
        (self.hour.used(self.lived), self.day.used(self.lived))
    }

    fn step(&mut self, by: Span, facts: Facts, wall: UnixTime) -> Result<(), Rule> {
        let updates = self.updates.max(facts.updates);
        match self.rules.steps {
            Steps::Never => return Err(Rule::NoSteps),
            Steps::First(within) if updates >= within => {
                return Err(Rule::LateStep { within, updates });
            }
            Steps::First(_) | Steps::Always => {}
        }
        self.enough(facts)?;
        let (would_be, floor) = (wall + by, self.floor());
        if would_be < floor {
            return Err(Rule::BeforeFloor { floor, would_be });
        }
        self.is_in_era(would_be)?;
        let exempt = !self.boot_step_used
            && self.rules.boot_step.is_some_and(|largest| by.abs() <= largest.abs());
        if !exempt {
            if let Some(largest) = self.rules.largest_step
                && by.abs() > largest.abs()
            {
                return Err(Rule::LongStep { largest });
            }
            // A fast rate in effect needs the reserve to be ended in.
            let going_on = self.excess(self.rate).max(0.0) * RESERVE.as_secs_f64();
            self.fits(by.abs() + Span::from_seconds_f64(going_on))?;
            self.hour.spend(self.lived, by);
            self.day.spend(self.lived, by);
        }
        self.boot_step_used = true;
        self.updates = updates.saturating_add(1);
        self.unsaved = true;
        self.set_deadline();
        Ok(())
    }

    fn run_at(&mut self, rate: Frequency, facts: Facts, wall: UnixTime) -> Result<(), Rule> {
        let largest = self.rules.largest_rate();
        if rate.abs() > largest {
            return Err(Rule::FastRate { largest });
        }
        if self.excess(rate) > 0.0 {
            self.enough(facts)?;
            self.is_in_era(wall)?;
            self.affords(rate)?;
        } else {
            self.rest = rate;
        }
        self.unsaved |= self.excess(self.rate) > 0.0;
        self.rate = rate;
        self.set_deadline();
        Ok(())
    }

    /// Decides until when the rate in effect may go on. It is stored with the rest, so that of a machine that was switched off it
    /// is known what can have been spent at most; hence not moved by the way, when an old correction is forgotten.
    fn set_deadline(&mut self) {
        let excess = self.excess(self.rate);
        self.until = match self.left() {
            Some(left) if excess > 0.0 => {
                self.unsaved = true;
                let time = Duration::try_from_secs_f64(left.as_seconds_f64() / excess);
                self.now + time.unwrap_or(Duration::MAX).saturating_sub(RESERVE)
            }
            _ => Mono::NEVER,
        };
    }

    /// A leap second moves the clock by a second which is not counted, so it is armed only where there can be one, and not again for a
    /// clock that was stepped back over it.
    fn promise(&mut self, status: &KernelStatus, facts: Facts, wall: UnixTime) -> Result<(), Rule> {
        let is_announced = matches!(status.leap, Leap::InsertSecond | Leap::DeleteSecond);
        let leap = LeapSecond::at_the_end_of_today(status.leap, wall, self.rules.leap_months);
        let day_end = leap.map(|leap| leap.at);
        if is_announced && day_end.is_none() {
            return Err(Rule::NoLeapToday);
        }
        if is_announced && day_end == self.leaped {
            return Err(Rule::LeapTaken);
        }
        if is_announced || status.synchronised {
            self.enough(facts)?;
        }
        if status.synchronised {
            self.is_in_era(wall)?;
            self.recording = Some(wall);
        }
        self.armed = day_end;
        Ok(())
    }

    /// Once the clock shows the day after it, the kernel has carried a leap second out.
    fn note_leap(&mut self, wall: UnixTime) {
        if let Some(day_end) = self.armed.take_if(|day_end| *day_end <= wall) {
            self.leaped = Some(day_end);
            self.unsaved = true;
        }
    }

    fn enough(&self, facts: Facts) -> Result<(), Rule> {
        let least = self.rules.least_agreeing;
        if facts.agreeing >= least { Ok(()) } else { Err(Rule::FewSources { least }) }
    }

    /// Of the times that packets may mean by the same octets this is the one that follows the floor.
    fn is_in_era(&self, would_be: UnixTime) -> Result<(), Rule> {
        let floor = self.floor();
        let end = UnixTime { seconds: floor.seconds.saturating_add(ERA_S), ..floor };
        if would_be < end { Ok(()) } else { Err(Rule::OtherEra { end, would_be }) }
    }

    /// Whether the budgets have room for a correction.
    fn fits(&mut self, amount: Span) -> Result<(), Rule> {
        let (hour, day) = (self.hour.used(self.lived), self.day.used(self.lived));
        match (self.rules.per_hour, self.rules.per_day) {
            (Some(limit), _) if hour + amount > limit => Err(Rule::HourSpent { limit, used: hour }),
            (_, Some(limit)) if day + amount > limit => Err(Rule::DaySpent { limit, used: day }),
            _ => Ok(()),
        }
    }

    /// Whether the budgets have room for a while at this rate.
    fn affords(&mut self, rate: Frequency) -> Result<(), Rule> {
        self.fits(Span::from_seconds_f64(SHORTEST.as_secs_f64() * self.excess(rate)))
    }

    /// What the budgets have left; `None` without any.
    fn left(&mut self) -> Option<Span> {
        let (hour, day) = (self.hour.used(self.lived), self.day.used(self.lived));
        let hour_left = self.rules.per_hour.map(|limit| limit - hour);
        let day_left = self.rules.per_day.map(|limit| limit - day);
        hour_left.into_iter().chain(day_left).min()
    }

    /// By how much a rate goes beyond the drift, in seconds per second of the monotonic clock. That runs at the rate too: a second of a
    /// slowed one is longer than the oscillator's, and the clock is moved further in it. One of a fast one is shorter, but who counts it
    /// as whole counts too much.
    fn excess(&self, rate: Frequency) -> f64 {
        let beyond = (rate.abs() - self.rules.drift.abs()).as_ratio();
        // No rate that is permitted comes near the half.
        beyond / (1.0 + rate.as_ratio()).clamp(0.5, 1.0)
    }

    fn calm(&mut self) -> Option<Adjustment> {
        self.rate = self.rest;
        self.unsaved = true;
        self.set_deadline();
        Some(Adjustment::Rate(self.rest))
    }

    /// Brings the account up to `now`.
    fn account(&mut self, now: Mono) {
        let lived = self.lived + now.since(self.now);
        let excess = self.excess(self.rate);
        if excess > 0.0 {
            self.hour.spend_evenly(self.lived, lived, excess);
            self.day.spend_evenly(self.lived, lived, excess);
        }
        self.lived = lived;
        self.now = self.now.max(now);
    }
}

/// What is kept across restarts.
impl Guard {
    /// Whether there is something that has to be stored before the clock is adjusted.
    #[must_use]
    pub fn must_save(&self) -> bool {
        self.unsaved
    }

    /// The account, to be stored: 1374 octets, most significant first. They begin with a version.
    pub fn to_octets(&mut self) -> Vec<u8> {
        self.unsaved = false;
        let mut out = Vec::with_capacity(LENGTH);
        out.push(VERSION);
        out.extend(self.life.boot);
        out.extend(self.life.run);
        out.extend(self.now.0.to_be_bytes());
        out.extend(u64::try_from(self.lived.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend(self.rate.as_ratio().to_be_bytes());
        out.extend(self.rest.as_ratio().to_be_bytes());
        out.extend(self.updates.to_be_bytes());
        out.push(u8::from(self.boot_step_used));
        // The start of time stands for "never".
        for time in [self.recording.max(self.recorded), self.leaped] {
            let time = time.unwrap_or(UnixTime::MIN);
            out.extend(time.seconds.to_be_bytes());
            out.extend(time.nanos.to_be_bytes());
        }
        self.hour.write(&mut out);
        self.day.write(&mut out);
        out
    }

    /// The guard that [`to_octets`](Self::to_octets) was called on, under rules that may be new ones.
    ///
    /// While the same machine runs on, time has passed and the rate was in effect. Of a machine that was started anew it is not
    /// known how long it ran on before, so a fast rate counts as if it had spent the budget.
    ///
    /// # Errors
    /// [`Damaged`], which never comes from a store that keeps what was written. Who then begins anew forgets what was spent.
    pub fn from_octets(
        rules: Rules,
        life: Life,
        octets: &[u8],
        now: Reading,
    ) -> Result<Self, Damaged> {
        let stored = Stored::read(octets).ok_or(Damaged { len: octets.len() })?;
        let mut guard = Self::new(rules, life, now);
        guard.lived = stored.lived;
        (guard.hour, guard.day) = (stored.hour, stored.day);
        guard.rest = stored.rest;
        guard.recorded = stored.recorded;
        guard.leaped = stored.leaped;
        if stored.life.boot == life.boot {
            guard.boot_step_used = stored.boot_step_used;
            guard.rate = stored.rate;
            guard.now = stored.now;
            guard.account(now.mono);
            guard.set_deadline();
        } else if guard.excess(stored.rate) > 0.0
            && let Some(left) = guard.left()
        {
            guard.hour.spend(guard.lived, left);
            guard.day.spend(guard.lived, left);
        }
        if stored.life == life {
            guard.updates = stored.updates;
        }
        Ok(guard)
    }
}

/// Octets that no guard wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damaged {
    /// How many there are.
    pub len: usize,
}

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the account of clock corrections ({} octets) is damaged or of another version",
            self.len
        )
    }
}

impl std::error::Error for Damaged {}

struct Stored {
    life: Life,
    now: Mono,
    lived: Duration,
    rate: Frequency,
    rest: Frequency,
    updates: u32,
    boot_step_used: bool,
    recorded: Option<UnixTime>,
    leaped: Option<UnixTime>,
    hour: Budget<61>,
    day: Budget<97>,
}

impl Stored {
    fn read(mut octets: &[u8]) -> Option<Self> {
        let octets = &mut octets;
        let [version @ BEFORE_LEAPS..=VERSION] = take(octets)? else { return None };
        let stored = Self {
            life: Life { boot: take(octets)?, run: take(octets)? },
            now: Mono(u64::from_be_bytes(take(octets)?)),
            lived: Duration::from_nanos(u64::from_be_bytes(take(octets)?)),
            rate: Frequency::from_ratio(f64::from_be_bytes(take(octets)?)),
            rest: Frequency::from_ratio(f64::from_be_bytes(take(octets)?)),
            updates: u32::from_be_bytes(take(octets)?),
            boot_step_used: match take(octets)? {
                [0] => false,
                [1] => true,
                _ => return None,
            },
            recorded: take_time(octets)?,
            leaped: if version == BEFORE_LEAPS { None } else { take_time(octets)? },
            hour: Budget::read(HOUR_SLOT, octets)?,
            day: Budget::read(DAY_SLOT, octets)?,
        };
        octets.is_empty().then_some(stored)
    }
}

/// Takes the first `N` octets off the front.
fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(*first)
}

/// Seconds and nanoseconds; the start of time stands for "never".
fn take_time(octets: &mut &[u8]) -> Option<Option<UnixTime>> {
    let seconds = i64::from_be_bytes(take(octets)?);
    let nanos = u32::from_be_bytes(take(octets)?);
    Some(Some(UnixTime::new(seconds, nanos)).filter(|time| *time != UnixTime::MIN))
}

/// 60 of these make an hour.
const HOUR_SLOT: Duration = Duration::from_secs(60);
/// 96 of these make a day.
const DAY_SLOT: Duration = Duration::from_secs(15 * 60);
/// How long after a jump whoever asks may not know of it.
const UNAWARE: Duration = Duration::from_secs(2);
/// A fast rate is not worth beginning for less.
const SHORTEST: Duration = Duration::from_secs(3);
/// How late the end of a fast rate may come without anything being overspent.
const RESERVE: Duration = Duration::from_secs(1);
/// Packets count the seconds modulo this (RFC 5905 §6). So of all times a packet may mean just one lies between the floor and this much
/// later: the right one, if the floor is less than an era old. Less a year, so that what is a little before the end is not slewed beyond it.
const ERA_S: i64 = (1 << 32) - 365 * 86_400;
/// A leap second is stepped no later than this.
const LEAP_WITHIN: Span = Span::from_seconds(2);
/// The version in which no leap second was noted, and is still read.
const BEFORE_LEAPS: u8 = 1;
const VERSION: u8 = 2;
const LENGTH: usize = 1 + 32 + 4 * 8 + 4 + 1 + 2 * 12 + 8 * (1 + 61) + 8 * (1 + 97);

#[cfg(test)]
mod tests;
