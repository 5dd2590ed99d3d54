//! The machine's clock in the hands of the one process that may move it, and the guard before it.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use noonmark_clock::guard::{Facts, Guard, Life, Request, Rules, Steps as GuardSteps};
use noonmark_clock::leap::LeapSecond;
use noonmark_clock::{Adjusted, Adjustment, KernelStatus, Memory, NotAdjusted};
use noonmark_config::{Clock, ClockMode, Steps};
use noonmark_os::clock::{Rate, Seen};
use noonmark_os::store::{Folder, Store};
use noonmark_units::{Frequency, Mono, Span, UnixTime};

use super::kept::{DRIFT, GUARD};
use super::machine::Machine;
use super::readback::{self, Difference, Set};
use crate::exit::{Failure, Status};
use crate::message::{Answer, Standing, Welcome, Wish};

/// The clock, and all that is to be known before it is moved.
pub struct Helm {
    machine: Box<dyn Machine>,
    /// The clock is steered; otherwise everything is refused by the clock itself.
    is_kept: bool,
    guard: Guard,
    /// Whether the guard's account has to be stored before the clock is moved.
    is_budgeted: bool,
    max_drift: Frequency,
    least_agreeing: u32,
    /// The rate in effect, and what follows it when, should nobody say anything by then.
    rate: Adjusted,
    then: Option<(Mono, Frequency)>,
    /// What was done that nobody asked for, and nobody was told.
    unasked: Option<Adjusted>,
    /// What is known of the oscillator.
    memory: Option<Memory>,
    saved: Option<Memory>,
    next_save: Mono,
    /// What the kernel was last told.
    status: Option<KernelStatus>,
    /// What somebody else has changed and was found when a wish was granted.
    noticed: Vec<Difference>,
}

impl Helm {
    /// Takes the clock as the configuration wants it: rules, what was stored, and the floor time.
    ///
    /// # Errors
    /// [`Status::State`] for a stored account that is damaged; [`Status::System`] if the clock cannot be set.
    pub fn take<F: Folder>(
        settings: &Clock,
        run: [u8; 16],
        mut machine: Box<dyn Machine>,
        store: &mut Store<F>,
    ) -> Result<Self, Failure> {
        let now = machine.read();
        let is_kept = settings.mode == ClockMode::Keep;
        let unusable =
            |error: &dyn std::fmt::Display| Failure::new(Status::State, error.to_string());
        let rules = rules(settings);
        // On a machine that does not tell, every start of the daemon counts as one of it.
        let life = Life { boot: machine.boot().unwrap_or(run), run };
        let (mut guard, mut memory) = (Guard::new(rules, life, now), None);
        if is_kept {
            if let Some(octets) = store.read(GUARD).map_err(|error| unusable(&error))? {
                guard = Guard::from_octets(rules, life, &octets, now)
                    .map_err(|error| unusable(&error))?;
            }
            // Losing it costs accuracy for minutes.
            memory = match store.read(DRIFT) {
                Ok(octets) => octets.and_then(|octets| memory_of(&octets)),
                Err(error) => {
                    tracing::warn!(%error, "what was known of the oscillator is lost");
                    None
                }
            };
        }
        let mut helm = Self {
            machine,
            is_kept,
            guard,
            is_budgeted: rules.per_hour.is_some() || rules.per_day.is_some(),
            max_drift: rules.drift,
            least_agreeing: rules.least_agreeing,
            rate: Adjusted { adjustment: Adjustment::Rate(Frequency::ZERO), at: now },
            then: None,
            unasked: None,
            memory,
            saved: memory,
            next_save: now.mono + FIRST_SAVE,
            status: None,
            noticed: Vec::new(),
        };
        if is_kept {
            helm.begin(store)?;
        }
        Ok(helm)
    }

    /// Puts the clock into a known state: no earlier than the floor, and at its own rate.
    fn begin<F: Folder>(&mut self, store: &mut Store<F>) -> Result<(), Failure> {
        let failed = |error: NotAdjusted| {
            let reason = match error {
                NotAdjusted::Forbidden(reason) | NotAdjusted::Failed(reason) => reason,
            };
            Failure::new(Status::System, format_args!("the clock: {reason}"))
        };
        // No step is longer than 68 years, and a clock may be at 1970 in 2040.
        let mut shown = self.machine.wall();
        while let Some(by) = self.guard.behind_floor(shown) {
            self.machine.adjust(&Adjustment::Step(by)).map_err(failed)?;
            shown = shown + by;
            tracing::warn!(%by, floor = %self.guard.floor(), "the clock was before a time that is over; it was set forward");
        }
        let _ = self.guard.handle_loss(self.machine.read());
        let found = self.machine.found_rate();
        // What an earlier process of ours, or another daemon, had found is better than nothing, if it can be an oscillator's.
        let usual = if found.abs() <= self.max_drift { found } else { Frequency::ZERO };
        let rate = self.memory.map_or(usual, |memory| memory.frequency).clamp_to(self.max_drift);
        let outcome = self.move_clock(Adjustment::Rate(rate), Facts::default(), store);
        outcome.map_err(failed)?;
        tracing::info!(%rate, "the clock is ours to keep");
        Ok(())
    }

    /// Looks whether somebody else stepped the clock, or the machine slept, and says so. Then it may be stepped as after the start.
    pub fn look_for_jumps(&mut self) -> Option<Seen> {
        let seen = self.machine.look()?;
        let (by, slept) = (seen.stepped, seen.slept);
        tracing::warn!(%by, ?slept, "the clock jumped, by somebody else's doing or because the machine slept");
        self.guard.handle_jump(self.machine.read());
        if by != Span::ZERO {
            // With the step the kernel has forgotten what it was told.
            self.status = None;
        }
        Some(seen)
    }

    /// This is another machine than before: its clock may be stepped as after the start.
    pub fn handle_restored(&mut self) {
        self.guard.handle_jump(self.machine.read());
    }

    /// Compares what the kernel does to the clock with what it was told, and puts right what somebody else has changed, as far as the
    /// guard permits it. What that was; nothing if the clock was left alone. The status is told anew with the next
    /// [`tell_kernel`](Self::tell_kernel).
    pub fn read_back<F: Folder>(&mut self, store: &mut Store<F>) -> Vec<Difference> {
        let now = self.compare(store);
        let before = std::mem::take(&mut self.noticed);
        if now.is_empty() { before } else { now }
    }

    fn compare<F: Folder>(&mut self, store: &mut Store<F>) -> Vec<Difference> {
        let (Some(found), Adjustment::Rate(rate)) =
            (self.machine.discipline(), self.rate.adjustment)
        else {
            return Vec::new();
        };
        let set = Set { rate: Rate::nearest(rate), status: self.status };
        let differences = readback::differences(&set, &found);
        if !differences.is_empty() {
            self.status = None;
        }
        let is_wrong = |one: &Difference| matches!(one, Difference::Rate { .. });
        if differences.iter().any(is_wrong)
            && self.move_clock(Adjustment::Rate(rate), Facts::default(), store).is_err()
        {
            // What was asked for may not be asked for by us: the clock is calmed, and whoever asked for it will ask again.
            let calm = self.then.take().map_or(Frequency::ZERO, |(_, rate)| rate);
            self.do_at_once(Adjustment::Rate(calm.clamp_to(self.max_drift)), store);
        }
        differences
    }

    /// The rate in effect, and since when.
    #[must_use]
    pub fn rate(&self) -> Adjusted {
        self.rate
    }

    /// What can be read when [`Helm::look_for_jumps`] wants to be called.
    #[must_use]
    pub fn jumps(&self) -> Option<BorrowedFd<'_>> {
        self.machine.jumps()
    }

    /// When [`Helm::handle_timeout`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        let then = self.then.map_or(Mono::NEVER, |(at, _)| at);
        then.min(self.guard.deadline())
    }

    /// A slew is over, or has to be. Returns what was done about it.
    pub fn handle_timeout<F: Folder>(&mut self, store: &mut Store<F>) -> Option<Adjusted> {
        let now = self.machine.read();
        if let Some((_, rate)) = self.then.filter(|(at, _)| *at <= now.mono) {
            self.then = None;
            tracing::debug!(%rate, "nobody ended a slew in time; it ends");
            return self.move_clock(Adjustment::Rate(rate), Facts::default(), store).ok();
        }
        let calm = match self.guard.handle_timeout(now) {
            Some(calm) => calm,
            // The rate goes on, for longer than the account on the disk has it.
            None if self.save_account(store).is_ok() || !self.is_budgeted => return None,
            None => self.guard.handle_loss(now)?,
        };
        tracing::warn!(
            "the clock has been moved as far as it may be for now; it is slewed no further"
        );
        self.then = None;
        self.do_at_once(calm, store)
    }

    /// Whoever asked for what is in effect is gone.
    pub fn handle_loss<F: Folder>(&mut self, store: &mut Store<F>) {
        if let Some(calm) = self.guard.handle_loss(self.machine.read()) {
            let rest = self.then.take().map_or(calm, |(_, rate)| Adjustment::Rate(rate));
            if self.move_clock(rest, Facts::default(), store).is_err() {
                self.do_at_once(calm, store);
            }
        }
    }

    /// How the clock runs, for whoever begins to ask the sources.
    #[must_use]
    pub fn welcome(&self) -> Welcome {
        let rate = match self.rate.adjustment {
            Adjustment::Rate(rate) => rate,
            _ => Frequency::ZERO,
        };
        let memory = self.memory.filter(|_| self.is_kept);
        Welcome { memory, rate, at: self.rate.at, floor: self.guard.floor() }
    }

    /// Does what is wished, or says why not.
    pub fn grant<F: Folder>(&mut self, wish: &Wish, store: &mut Store<F>) -> Answer {
        // What is overwritten below would never be noticed.
        let found = self.compare(store);
        if !found.is_empty() {
            self.noticed = found;
        }
        let outcome = self.move_clock(wish.adjustment, wish.facts, store);
        if let (Ok(adjusted), Adjustment::Rate(_)) = (&outcome, wish.adjustment) {
            self.then = wish.then.map(|(hold, rate)| (adjusted.at.mono + hold, rate));
        }
        Answer { number: wish.number, outcome }
    }

    /// What was done beside refusing the last wish.
    pub fn take_unasked(&mut self) -> Option<Adjusted> {
        self.unasked.take()
    }

    /// Steps the clock for a leap second whose instant has come, if the guard permits it. Whoever asks the sources watches the clock, and
    /// sees what it was.
    pub fn step_for<F: Folder>(&mut self, leap: LeapSecond, facts: Facts, store: &mut Store<F>) {
        if !self.is_kept {
            return;
        }
        let (now, wall) = (self.machine.read(), self.machine.wall());
        let by = match self.guard.permit_leap(leap, facts, now, wall) {
            Ok(by) => by,
            Err(refusal) => return tracing::warn!("{refusal}"),
        };
        if let Err(error) = self.save_account(store) {
            return tracing::error!(
                error,
                "the account of corrections cannot be stored: no leap second"
            );
        }
        match self.machine.adjust(&Adjustment::Step(by)) {
            Ok(_) => {
                self.status = None;
                tracing::info!(%by, "the clock was stepped for a leap second");
            }
            Err(error) => tracing::error!(?error, "the clock was not stepped for a leap second"),
        }
    }

    fn move_clock<F: Folder>(
        &mut self,
        adjustment: Adjustment,
        facts: Facts,
        store: &mut Store<F>,
    ) -> Result<Adjusted, NotAdjusted> {
        if !self.is_kept {
            return self.machine.adjust(&adjustment);
        }
        let request = Request { adjustment, facts };
        let (now, wall) = (self.machine.read(), self.machine.wall());
        if let Err(refusal) = self.guard.permit(&request, now, wall) {
            tracing::warn!("{refusal}");
            return Err(refusal.into());
        }
        // What spends nothing is done all the same: a slew that could not be ended would spend on and on. As long as it is not stored, the
        // account counts as if it did.
        if let Err(error) = self.save_account(store)
            && self.is_budgeted
            && self.spends(&adjustment)
        {
            let reason = format!("the account of corrections cannot be stored: {error}");
            tracing::error!(reason, "the clock is left alone");
            // Which account the disk has now is not known, so nothing goes on that one of them does not count.
            if let Some(calm) = self.guard.handle_loss(now)
                && self.spends(&self.rate.adjustment)
            {
                self.then = None;
                self.unasked = self.do_at_once(calm, store);
            }
            return Err(NotAdjusted::Failed(reason));
        }
        let outcome = self.machine.adjust(&adjustment);
        match (&outcome, adjustment) {
            (Ok(adjusted), Adjustment::Rate(_)) => self.rate = *adjusted,
            (Ok(_), Adjustment::Step(by)) => {
                self.status = None;
                tracing::warn!(%by, agreeing = facts.agreeing, "the clock was stepped");
            }
            (Ok(_), Adjustment::Status(_)) => {}
            (Err(error), _) => tracing::error!(?error, "the clock was not adjusted"),
        }
        outcome
    }

    /// Whether an adjustment moves the clock at the cost of the budgets.
    fn spends(&self, adjustment: &Adjustment) -> bool {
        match adjustment {
            Adjustment::Step(_) => true,
            Adjustment::Rate(rate) => rate.abs() > self.max_drift,
            Adjustment::Status(_) => false,
        }
    }

    /// What the guard itself wants needs no permission.
    fn do_at_once<F: Folder>(
        &mut self,
        adjustment: Adjustment,
        store: &mut Store<F>,
    ) -> Option<Adjusted> {
        let done = self.machine.adjust(&adjustment).ok()?;
        self.rate = done;
        let _ = self.save_account(store);
        Some(done)
    }

    fn save_account<F: Folder>(&mut self, store: &mut Store<F>) -> Result<(), String> {
        if !self.guard.must_save() {
            return Ok(());
        }
        store.write(GUARD, &self.guard.to_octets()).map_err(|error| error.to_string())
    }

    /// Remembers what the sources teach of the oscillator.
    pub fn learn(&mut self, standing: &Standing) {
        let is_plausible =
            |memory: &Memory| memory.frequency.abs() <= Rules::LARGEST_SLEW + self.max_drift;
        if let Some(memory) = standing.memory.filter(is_plausible) {
            self.memory = Some(memory);
        }
    }

    /// Tells the kernel what is known of the clock, if it is ours.
    pub fn tell_kernel<F: Folder>(
        &mut self,
        status: KernelStatus,
        facts: Facts,
        store: &mut Store<F>,
    ) {
        // The kernel lets its bound grow by itself, so a clock that is not synchronised has to be called so only once.
        if !self.is_kept || (!status.synchronised && self.status == Some(status)) {
            return;
        }
        // With too few sources nothing new can be promised; what was promised before grows old in the kernel by itself.
        if status.synchronised && facts.agreeing < self.least_agreeing {
            return;
        }
        let was = self.status.is_some_and(|status| status.synchronised);
        if self.move_clock(Adjustment::Status(status), facts, store).is_ok() {
            self.status = Some(status);
            if was != status.synchronised {
                tracing::info!(synchronised = status.synchronised, max_error = %status.max_error, "the kernel was told");
            }
        }
    }

    /// Stores what is worth it, from time to time.
    pub fn save_at_times<F: Folder>(&mut self, store: &mut Store<F>, now: Mono) {
        let is_synchronised = self.status.is_some_and(|status| status.synchronised);
        if self.is_kept && is_synchronised && self.next_save <= now {
            self.next_save = now + SAVE_EVERY;
            self.save(store);
        }
    }

    fn save<F: Folder>(&mut self, store: &mut Store<F>) {
        // With the account goes the last time that is known to be over.
        let account = store.write(GUARD, &self.guard.to_octets());
        let drift = match self.memory.filter(|memory| self.saved != Some(*memory)) {
            Some(memory) => store.write(DRIFT, &octets_of(memory)),
            None => Ok(()),
        };
        match account.and(drift) {
            Ok(()) => self.saved = self.memory,
            Err(error) => tracing::warn!(%error, "what is known of the clock is not stored"),
        }
    }

    /// Ends every slew and stores what is known.
    pub fn leave<F: Folder>(&mut self, store: &mut Store<F>) {
        if !self.is_kept {
            return;
        }
        let rest = self.memory.map(|memory| memory.frequency).or(self.then.map(|(_, rate)| rate));
        if let Some(rate) = rest {
            let rate = rate.clamp_to(self.max_drift);
            let _ = self.move_clock(Adjustment::Rate(rate), Facts::default(), store);
        }
        self.then = None;
        self.save(store);
    }
}

/// What the operator allows.
fn rules(settings: &Clock) -> Rules {
    let span = |limit: Option<Duration>| limit.map(Span::from_duration);
    Rules {
        steps: match settings.steps {
            Steps::First(0) => GuardSteps::Never,
            Steps::First(updates) => GuardSteps::First(updates),
            Steps::Always => GuardSteps::Always,
        },
        largest_step: span(settings.largest_step),
        boot_step: span(settings.boot_step),
        drift: Frequency::from_ppm(settings.max_drift_ppm.into()),
        slew: Frequency::from_ppm(settings.max_slew_ppm.into()),
        per_hour: span(settings.max_per_hour),
        per_day: span(settings.max_per_day),
        least_agreeing: settings.min_sources,
        ..Rules::new(RELEASED)
    }
}

/// Frequency and skew, s/s, as IEEE 754 double, most significant octet first: 16 octets.
pub(super) fn octets_of(memory: Memory) -> [u8; 16] {
    let [frequency, skew] = [memory.frequency, memory.skew].map(|value| value.as_ratio().to_bits());
    (u128::from(frequency) << 64 | u128::from(skew)).to_be_bytes()
}

pub(super) fn memory_of(octets: &[u8]) -> Option<Memory> {
    let bits = u128::from_be_bytes(octets.try_into().ok()?);
    let [frequency, skew] = [(bits >> 64) as u64, bits as u64].map(f64::from_bits);
    (frequency.is_finite() && skew.is_finite()).then(|| Memory {
        frequency: Frequency::from_ratio(frequency),
        skew: Frequency::from_ratio(skew),
    })
}

/// No clock is right that shows an earlier time: this was written on 2026-11-22.
pub(crate) const RELEASED: UnixTime = UnixTime { seconds: 1_795_305_600, nanos: 0 };
/// After this much time what is known is stored for the first time, and then at these intervals.
const FIRST_SAVE: Duration = Duration::from_secs(60);
const SAVE_EVERY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_clock::{Reading, SystemClock};
    use noonmark_os::clock;
    use noonmark_os::store::fault::{Fault, FaultyFolder};
    use noonmark_units::Timestamp;
    use std::cell::RefCell;
    use std::path::Path;
    use std::rc::Rc;

    /// A clock that does everything and takes it down.
    #[derive(Clone, Default)]
    struct Obedient(Rc<RefCell<Vec<Adjustment>>>);

    impl SystemClock for Obedient {
        fn read(&mut self) -> Reading {
            clock::reading()
        }

        fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted> {
            self.0.borrow_mut().push(*adjustment);
            Ok(Adjusted { adjustment: *adjustment, at: self.read() })
        }
    }

    impl Machine for Obedient {
        fn wall(&mut self) -> UnixTime {
            clock::realtime()
        }

        fn boot(&self) -> Option<[u8; 16]> {
            Some([1; 16])
        }

        fn found_rate(&mut self) -> Frequency {
            Frequency::ZERO
        }

        fn look(&mut self) -> Option<Seen> {
            None
        }

        fn jumps(&self) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    fn settings(text: &str) -> Clock {
        let text = format!("[[source]]\nserver = \"a.example\"\n[clock]\n{text}\n");
        let parsed = noonmark_config::parse(&text, Path::new("/x/noonmark.toml"));
        parsed.unwrap_or_else(|report| panic!("{report}")).clock
    }

    fn helm(text: &str) -> (Helm, Obedient, Store<FaultyFolder>) {
        let (clock, now) = (Obedient::default(), clock::reading());
        let rules = rules(&settings(text));
        let helm = Helm {
            machine: Box::new(clock.clone()),
            is_kept: true,
            guard: Guard::new(rules, Life { boot: [1; 16], run: [2; 16] }, now),
            is_budgeted: rules.per_hour.is_some() || rules.per_day.is_some(),
            max_drift: rules.drift,
            least_agreeing: rules.least_agreeing,
            rate: Adjusted { adjustment: Adjustment::Rate(Frequency::ZERO), at: now },
            then: None,
            unasked: None,
            memory: None,
            saved: None,
            next_save: now.mono,
            status: None,
            noticed: Vec::new(),
        };
        (helm, clock, Store::new(FaultyFolder::new()))
    }

    fn wish(adjustment: Adjustment, then: Option<(Duration, Frequency)>) -> Wish {
        Wish { number: 4, adjustment, facts: Facts { agreeing: 2, updates: 0 }, then }
    }

    const SLEW: Adjustment = Adjustment::Rate(Frequency::from_ppm(5_000.0));
    const OWN: Frequency = Frequency::from_ppm(12.0);

    #[test]
    fn what_is_wished_is_done_within_the_rules() {
        let (mut helm, clock, mut store) =
            helm("largest-step = \"10s\"\nstep-updates = \"always\"");
        let mut check = |adjustment, is_done: bool| {
            clock.0.borrow_mut().clear();
            let answer = helm.grant(&wish(adjustment, None), &mut store);
            assert_eq!((answer.number, answer.outcome.is_ok()), (4, is_done), "{adjustment:?}");
            let expected: &[Adjustment] = if is_done { &[adjustment] } else { &[] };
            assert_eq!(*clock.0.borrow(), expected, "{adjustment:?}");
        };
        check(Adjustment::Step(Span::from_seconds(10)), true);
        check(Adjustment::Step(Span::from_seconds(-11)), false);
        check(SLEW, true);
        check(Adjustment::Rate(Frequency::from_ppm(150_000.0)), false);
    }

    #[test]
    fn no_leap_second_is_stepped_at_another_time() {
        let (mut helm, clock, mut store) = helm("");
        let leap = LeapSecond { at: UnixTime::new(1_483_228_800, 0), inserted: true };
        helm.step_for(leap, Facts { agreeing: 1, updates: 9 }, &mut store);
        assert!(clock.0.borrow().is_empty(), "{:?}", clock.0.borrow());
    }

    #[test]
    fn a_clock_that_jumped_may_be_stepped_as_at_the_start() {
        let (mut helm, _, mut store) = helm("step-updates = 2");
        let step = |updates| Wish {
            facts: Facts { agreeing: 1, updates },
            ..wish(Adjustment::Step(Span::from_seconds(5)), None)
        };
        assert!(helm.grant(&step(1), &mut store).outcome.is_ok());
        assert!(helm.grant(&step(1), &mut store).outcome.is_err(), "two updates are over");
        // Whoever asks may say that it jumped, but it counts what was seen here.
        assert!(helm.grant(&step(0), &mut store).outcome.is_err());
        helm.guard.handle_jump(clock::reading());
        assert!(helm.grant(&step(9), &mut store).outcome.is_ok(), "asked before it knew");
        assert!(helm.grant(&step(0), &mut store).outcome.is_ok());
        assert!(helm.grant(&step(0), &mut store).outcome.is_err(), "two updates are over");
    }

    #[test]
    fn the_frequency_learned_is_in_effect_before_anybody_is_asked() {
        let (mut helm, clock, mut store) = helm("");
        store.write(DRIFT, &octets_of(Memory { frequency: OWN, skew: OWN })).expect("room");
        let began = std::time::Instant::now();
        helm.memory = store.read(DRIFT).expect("readable").and_then(|octets| memory_of(&octets));
        helm.begin(&mut store).expect("it obeys");
        assert_eq!(*clock.0.borrow(), [Adjustment::Rate(OWN)]);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(helm.welcome().memory.map(|memory| memory.frequency), Some(OWN));
    }

    #[test]
    fn a_machine_without_a_clock_of_its_own_begins_at_the_last_saved_time() {
        let (_, clock, mut store) = helm("");
        // Called synchronised tomorrow, as this machine will have it when it has forgotten the date.
        let (life, now) = (Life { boot: [1; 16], run: [2; 16] }, clock::reading());
        let mut guard = Guard::new(rules(&settings("")), life, now);
        let tomorrow = clock::realtime() + Span::from_seconds(86_400);
        let status = KernelStatus {
            synchronised: true,
            max_error: Span::from_nanos(1_000),
            estimated_error: Span::from_nanos(100),
            leap: noonmark_packet::Leap::None,
            tai_offset: None,
        };
        let facts = Facts { agreeing: 1, updates: 1 };
        let request = Request { adjustment: Adjustment::Status(status), facts };
        guard.permit(&request, now, tomorrow).expect("one source is enough");
        let next = Life { run: [3; 16], ..life };
        let (mut helm, _, _) = self::helm("");
        helm.machine = Box::new(clock.clone());
        helm.guard = Guard::from_octets(rules(&settings("")), next, &guard.to_octets(), now)
            .expect("our own");
        helm.begin(&mut store).expect("it obeys");
        let done = clock.0.borrow();
        let Some(Adjustment::Step(by)) = done.first() else { panic!("{done:?}") };
        assert!((86_390..=86_400).contains(&by.to_duration().as_secs()), "{by}");
    }

    #[test]
    fn a_clock_more_than_68_years_before_the_floor_comes_to_it_in_two_steps() {
        let (mut helm, clock, mut store) = helm("");
        let (now, shown) = (clock::reading(), clock::realtime());
        let century = 100 * 31_557_600;
        let floor = UnixTime { seconds: shown.seconds + century, ..shown };
        let rules = Rules { floor, ..rules(&settings("")) };
        helm.guard = Guard::new(rules, Life { boot: [1; 16], run: [2; 16] }, now);
        helm.begin(&mut store).expect("it obeys");
        let done = clock.0.borrow();
        let steps = done.iter().filter_map(|adjustment| match adjustment {
            Adjustment::Step(by) => Some(by.as_seconds_f64()),
            _ => None,
        });
        let steps: Vec<f64> = steps.collect();
        let off_s = steps.iter().sum::<f64>() - century as f64;
        assert!(steps.len() == 2 && off_s.abs() < 10.0, "{steps:?}");
    }

    #[test]
    fn a_slew_ends_even_if_nobody_ends_it() {
        let (mut helm, clock, mut store) = helm("");
        helm.grant(&wish(SLEW, Some((Duration::from_millis(20), OWN))), &mut store);
        assert!(helm.deadline() < Mono::NEVER);
        std::thread::sleep(Duration::from_millis(25));
        let done = helm.handle_timeout(&mut store).expect("it is time");
        assert_eq!(done.adjustment, Adjustment::Rate(OWN));
        assert_eq!(clock.0.borrow().last(), Some(&Adjustment::Rate(OWN)));
        assert_eq!((helm.deadline(), helm.welcome().rate), (Mono::NEVER, OWN));
        // And at once if who asked for it is gone.
        helm.grant(&wish(SLEW, Some((Duration::from_secs(60), OWN))), &mut store);
        helm.handle_loss(&mut store);
        assert_eq!(clock.0.borrow().last(), Some(&Adjustment::Rate(OWN)));
    }

    #[test]
    fn a_slew_ends_though_the_account_cannot_be_stored_and_none_begins() {
        let (mut helm, clock, store) = helm("max-per-hour = \"5s\"");
        let full = |store: &Store<FaultyFolder>| {
            let mut folder = store.folder().clone();
            folder.set_fault(folder.steps(), Fault::Error);
            Store::new(folder)
        };
        let mut broken = full(&store);
        let answer = helm.grant(&wish(SLEW, None), &mut broken);
        assert!(answer.outcome.is_err() && clock.0.borrow().is_empty(), "not without its account");
        for end in ["by its time", "by a wish", "by a loss"] {
            let mut store = Store::new(store.folder().clone());
            let slew = wish(SLEW, Some((Duration::from_millis(5), OWN)));
            assert!(helm.grant(&slew, &mut store).outcome.is_ok(), "{end}");
            assert_eq!(clock.0.borrow().last(), Some(&SLEW));
            let mut broken = full(&store);
            match end {
                "by its time" => {
                    std::thread::sleep(Duration::from_millis(10));
                    helm.handle_timeout(&mut broken);
                }
                "by a wish" => {
                    helm.grant(&wish(Adjustment::Rate(OWN), None), &mut broken);
                }
                _ => helm.handle_loss(&mut broken),
            }
            assert_eq!(clock.0.borrow().last(), Some(&Adjustment::Rate(OWN)), "{end}");
        }
    }

    #[test]
    fn a_spent_budget_outlives_the_process() {
        let (mut helm, _, mut store) = helm("max-per-hour = \"5s\"\nstep-updates = \"always\"");
        let step = wish(Adjustment::Step(Span::from_seconds(4)), None);
        assert!(helm.grant(&step, &mut store).outcome.is_ok());
        assert!(helm.grant(&step, &mut store).outcome.is_err());
        let octets = store.read(GUARD).expect("readable").expect("stored before the step");
        let rules = rules(&settings("max-per-hour = \"5s\"\nstep-updates = \"always\""));
        let life = Life { boot: [1; 16], run: [3; 16] };
        let mut guard = Guard::from_octets(rules, life, &octets, clock::reading()).expect("ours");
        let request = Request { adjustment: step.adjustment, facts: step.facts };
        assert!(guard.permit(&request, clock::reading(), clock::realtime()).is_err());
    }

    #[test]
    fn what_is_known_of_the_oscillator_is_left_behind() {
        let (mut helm, clock, mut store) = helm("");
        let memory = Memory { frequency: OWN, skew: Frequency::from_ppm(0.5) };
        helm.learn(&Standing {
            memory: Some(memory),
            ..Standing {
                state: noonmark_clock::ClockState::Synchronised,
                leap: noonmark_packet::Leap::None,
                stratum: 2,
                reference_id: noonmark_packet::ReferenceId::NONE,
                root_delay: Span::ZERO,
                root_dispersion: Span::ZERO,
                estimated_error: Span::ZERO,
                as_of: Mono(0),
                reference_time: Timestamp::UNSET,
                growth_ppb: 0,
                facts: Facts::default(),
                memory: None,
            }
        });
        helm.grant(&wish(SLEW, None), &mut store);
        helm.leave(&mut store);
        assert_eq!(clock.0.borrow().last(), Some(&Adjustment::Rate(OWN)), "no slew goes on");
        let stored = store.read(DRIFT).expect("readable").expect("stored");
        assert_eq!(memory_of(&stored), Some(memory));
        assert_eq!(memory_of(&stored[1..]), None);
        assert!(store.read(GUARD).expect("readable").is_some());
    }

    #[test]
    fn the_kernel_is_promised_nothing_that_too_few_sources_say() {
        let (mut helm, clock, mut store) = helm("min-sources = 2");
        let status = |synchronised| KernelStatus {
            synchronised,
            max_error: Span::from_nanos(1_000),
            estimated_error: Span::from_nanos(100),
            leap: noonmark_packet::Leap::None,
            tai_offset: None,
        };
        let mut check = |synchronised, agreeing, told: usize| {
            let facts = Facts { agreeing, updates: 5 };
            helm.tell_kernel(status(synchronised), facts, &mut store);
            assert_eq!(clock.0.borrow().len(), told, "{synchronised} {agreeing}");
        };
        check(true, 1, 0);
        check(true, 2, 1);
        check(true, 0, 1);
        check(false, 0, 2);
        check(false, 0, 2);
    }
}
