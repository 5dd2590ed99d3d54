//! The whole of keeping a clock: answers in, corrections out.

mod leap;
mod record;
mod reference;
mod truth;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Frequency, Mono, Span, Timestamp};

use self::leap::Passing;
use self::record::Record;
use self::truth::Published;
use crate::bounds::UNKNOWN_FREQUENCY;
use crate::estimator::{Estimator, Measurement};
use crate::leap::{Announcement, announced};
use crate::ledger::Ledger;
use crate::pace;
use crate::path::Way;
use crate::rates::Rates;
use crate::selection::{SourceState, independent};
use crate::tracking::{ClockState, NO_BOUND, SourceReport, Tracking, UNKNOWN_BOUND};
use crate::{
    Adjusted, Adjustment, Memory, NotAdjusted, Reading, Sample, Settings, SourceId, SourceOptions,
};

/// Keeps one clock by several sources, as a machine without sockets or clocks.
///
/// Feed it one input (`handle_*`), drain [`poll_output`](Self::poll_output), wait until [`deadline`](Self::deadline), and so on.
/// The same inputs give the same outputs, bit for bit.
///
/// It estimates on the time of the undisciplined oscillator, which it recovers from what the clock was told to do; its own corrections
/// therefore never disturb what it has learned.
#[derive(Clone, Debug)]
pub struct Keeper {
    settings: Settings,
    ledger: Ledger,
    /// The system clock when the ledger was opened: oscillator time zero.
    epoch: Timestamp,
    /// True time minus oscillator time, about: what the bank's offset and all bounds are relative to.
    base: Span,
    estimator: Option<Estimator>,
    sources: BTreeMap<SourceId, Record>,
    /// The source that is named as the one we follow.
    reference: Option<SourceId>,
    /// Frequency and its standard deviation, as last known before we started.
    initial_frequency: (f64, f64),
    /// Oscillator time of the first answer of all, s.
    first_answer_s: Option<f64>,
    /// Where the truth is, as the followed sources have it.
    published: Option<Published>,
    /// When the last step of the clock was; stamps from before mean nothing any more.
    stepped_at: Option<Mono>,
    /// The leap second that is to come, or the last one.
    leap: Option<Passing>,
    /// Updates of the clock so far, since the estimator began anew, and since somebody else stepped the clock.
    updates: u32,
    updates_since_anew: u32,
    updates_since_step: u32,
    last_update: Option<Mono>,
    /// How long before that the update before was.
    update_spacing: Duration,
    /// Nothing has been stepped since the last update, or since somebody else stepped the clock.
    may_step: bool,
    last_correction: Span,
    slew_ends: Option<Mono>,
    /// The next adjustment waits until this one is answered for.
    adjusting: bool,
    /// That one is a step.
    stepping: bool,
    steer_again: bool,
    outputs: VecDeque<Output>,
}

/// What a [`Keeper`] wants done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// Do this to the clock at once, then call [`Keeper::handle_adjusted`], which alone brings the next one.
    Adjust(Adjustment),
    /// Ask this source so often from now on.
    Pace {
        /// Which one.
        source: SourceId,
        /// From one question to the next, before limits and jitter.
        interval: Duration,
    },
    /// Ask this source some times more than the pace has it, if it may be asked in bursts.
    Burst {
        /// Which one.
        source: SourceId,
        /// How many questions.
        questions: u32,
        /// From one to the next, and from now to the first.
        spacing: Duration,
    },
}

impl Keeper {
    /// A keeper of a clock that now reads `now` and runs uncorrected, with what was remembered from before.
    #[must_use]
    pub fn new(settings: Settings, memory: Option<Memory>, now: Reading) -> Self {
        let initial_frequency = memory.map_or((0.0, UNKNOWN_FREQUENCY), |memory| {
            (memory.frequency.as_ratio(), memory.skew.as_ratio().abs().max(LEAST_REMEMBERED_SKEW))
        });
        let mut keeper = Self {
            settings,
            ledger: Ledger::new(now.mono, Frequency::ZERO),
            epoch: now.real,
            base: Span::ZERO,
            estimator: None,
            sources: BTreeMap::new(),
            reference: None,
            initial_frequency,
            first_answer_s: None,
            published: None,
            stepped_at: None,
            leap: None,
            updates: 0,
            updates_since_anew: 0,
            updates_since_step: 0,
            last_update: None,
            update_spacing: Duration::ZERO,
            may_step: false,
            last_correction: Span::ZERO,
            slew_ends: None,
            adjusting: false,
            stepping: false,
            steer_again: false,
            outputs: VecDeque::new(),
        };
        if let Some(memory) = memory {
            keeper.adjust(Adjustment::Rate(memory.frequency.clamp_to(settings.max_frequency)));
        }
        keeper
    }

    /// Adds a source.
    pub fn add_source(&mut self, id: SourceId, options: SourceOptions, _now: Reading) {
        self.sources.insert(id, Record::new(options, self.knowledge().most));
    }

    /// Takes another word of the operator on a source; what was learned of it stays.
    pub fn set_options(&mut self, id: SourceId, options: SourceOptions, now: Reading) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        if source.options != options {
            source.options = options;
            self.settle(None, now);
        }
    }

    /// Works by other rules from now on.
    pub fn set_settings(&mut self, settings: Settings, now: Reading) {
        if self.settings != settings {
            self.settings = settings;
            self.settle(None, now);
        }
    }

    /// Forgets a source.
    pub fn remove_source(&mut self, id: SourceId, _now: Reading) {
        if self.sources.remove(&id).is_some()
            && let Some(estimator) = &mut self.estimator
        {
            estimator.remove_source(id);
        }
    }

    /// What to do next; drain it after every `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        self.slew_ends.unwrap_or(Mono::NEVER).min(self.leap_deadline())
    }

    /// Time has passed: a slew may be over.
    pub fn handle_timeout(&mut self, now: Reading) {
        self.notice_leap(now);
        if self.slew_ends.is_some_and(|end| now.mono >= end) {
            self.slew_ends = None;
            self.steer(now);
        }
    }

    /// An adjustment was made, or not; then the clock goes on as it was.
    pub fn handle_adjusted(&mut self, outcome: &Result<Adjusted, NotAdjusted>, now: Reading) {
        self.adjusting = false;
        match outcome {
            Ok(Adjusted { adjustment: Adjustment::Rate(rate), at }) => {
                self.ledger.note(at.mono, *rate);
            }
            Ok(Adjusted { adjustment: Adjustment::Step(_), at }) => {
                self.note_step(*at);
                self.stepped_at = Some(at.mono);
                self.stepping = false;
                self.steer_again = true;
            }
            Ok(Adjusted { adjustment: Adjustment::Status(_), .. }) => {}
            Err(_) => {
                // What was refused is asked for again with the next update, not at once; but a step that may not be can be slewed.
                self.slew_ends = None;
                self.steer_again = std::mem::take(&mut self.stepping);
            }
        }
        if std::mem::take(&mut self.steer_again) {
            self.steer(now);
        }
    }

    /// Somebody else moved the clock by `by`. The oscillator's ledger is not touched by that and what the sources said still holds, so
    /// the clock is led back at once, by the rules for steps; sources that may be asked in bursts are asked again. Not so if it was for the
    /// leap second that is [planned](Self::plan_leap): then UTC has jumped as well.
    pub fn handle_step(&mut self, by: Span, now: Reading) {
        self.notice_leap(now);
        if self.is_leap(by, now) {
            return;
        }
        self.note_step(now);
        self.stepped_at = Some(now.mono);
        self.updates_since_step = 0;
        self.may_step = true;
        self.burst(|source| source.options.bursts, 4, BURST_SPACING);
        self.steer(now);
    }

    /// The machine slept: how long is not known to the oscillator's ledger, so offsets are worthless, frequency and ways are not.
    pub fn handle_resume(&mut self, now: Reading) {
        self.note_step(now);
        self.stepped_at = Some(now.mono);
        self.updates_since_step = 0;
        let motion = self.motion();
        let sigma = if self.known_motion().is_some() {
            motion.frequency_sigma.max(LEAST_REMEMBERED_SKEW)
        } else {
            UNKNOWN_FREQUENCY
        };
        self.begin_anew(motion.frequency, sigma);
        self.first_answer_s = None;
        let most = self.knowledge().most;
        for source in self.sources.values_mut() {
            source.bounds = None;
            source.rates = Rates::within(most);
            source.bounds_before.clear();
            source.track = None;
            source.pending = None;
            source.measured = None;
            source.asked = 0;
        }
        self.burst(|_| true, 4, BURST_SPACING);
    }

    /// A question brought no usable answer.
    pub fn handle_unanswered(&mut self, id: SourceId, now: Reading) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        source.reach <<= 1;
        source.asked = source.asked.saturating_add(1);
        self.settle(None, now);
    }

    /// An answer that may be used.
    pub fn handle_sample(&mut self, id: SourceId, sample: &Sample, now: Reading) {
        self.notice_leap(now);
        let is_spoilt = self.is_spoilt(sample);
        let Some(source) = self.sources.get_mut(&id) else { return };
        if is_spoilt {
            source.note_answer(now);
            return;
        }
        let Some(measured) = self.measure(sample, now) else { return };
        let knowledge = self.knowledge();
        let source = self.sources.get_mut(&id).expect("looked up above");
        source.take(sample, measured, &knowledge, now);
        source.last_offset = self.base + Span::from_seconds_f64(measured.at_s + measured.offset_s)
            - (sample.destination - self.epoch);
        self.settle(Some(id), now);
    }

    /// What is to be remembered over a restart; `None` before anything was learned.
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        self.estimator.as_ref()?;
        let motion = self.motion();
        Some(Memory {
            frequency: Frequency::from_ratio(motion.frequency),
            skew: Frequency::from_ratio(motion.frequency_sigma),
        })
    }

    /// Where the clock stands at `now`.
    #[must_use]
    pub fn tracking(&self, now: Reading) -> Tracking {
        let raw_s = self.ledger.raw_s(now.mono);
        let motion = self.motion();
        let reference = self.reference();
        let followed = reference.is_some();
        let estimate = self.estimator.as_ref().map(|estimator| estimator.estimate_at(raw_s));
        let error_of = |offset_s: f64| self.error_of(offset_s, raw_s, now);
        let bounds = self.bounds_at(raw_s);
        let (earliest, latest) = bounds.map_or((-NO_BOUND, NO_BOUND), |bounds| {
            (error_of(bounds.low_s), error_of(bounds.high_s))
        });
        // What is thought to be the truth is within what it can be, even where the sources contradict what they said before.
        let offset = estimate.map_or(Span::ZERO, |estimate| error_of(estimate.offset_s));
        let (earliest, latest) = match estimate {
            Some(_) => (earliest.min(offset), latest.max(offset)),
            None => (earliest, latest),
        };
        let root_delay = reference.map_or(Span::ZERO, |(_, source)| {
            source.last.map_or(Span::ZERO, |last| last.root_delay)
                + Span::from_seconds_f64(source.path.least_s())
        });
        let widest = earliest.abs().max(latest.abs());
        let announcements: Vec<Announcement> = self
            .sources
            .values()
            .filter(|source| source.state == SourceState::Followed)
            .filter_map(|source| {
                Some(Announcement { leap: source.last?.leap, trusted: source.options.trust })
            })
            .collect();
        Tracking {
            state: match (self.updates, followed) {
                (0, _) => ClockState::Unsynchronised,
                (_, true) => ClockState::Synchronised,
                (_, false) => ClockState::Holdover,
            },
            reference: reference.map(|(id, _)| id),
            reference_id: reference
                .and_then(|(_, source)| source.last)
                .map_or(ReferenceId::NONE, |last| last.reference_id),
            stratum: reference
                .and_then(|(_, source)| source.last)
                .map_or(16, |last| last.stratum.saturating_add(1)),
            leap: if self.updates == 0 { Leap::Unsynchronised } else { announced(&announcements) },
            offset,
            offset_sigma: estimate
                .map_or(UNKNOWN_BOUND, |estimate| Span::from_seconds_f64(estimate.offset_sigma_s)),
            frequency: Frequency::from_ratio(motion.frequency),
            skew: Frequency::from_ratio(motion.frequency_sigma),
            wander: Frequency::from_ratio(motion.wander),
            root_delay,
            root_dispersion: (widest - root_delay.half()).clamp(Span::ZERO, UNKNOWN_BOUND),
            earliest: now.real + earliest,
            latest: now.real + latest,
            last_correction: self.last_correction,
            last_update: self.last_update,
            interval: self.shortest_interval().unwrap_or(Duration::ZERO),
            updates: self.updates,
        }
    }

    /// How many sources agree that are independent of each other: those of one operator, behind one network, or at one address are one.
    #[must_use]
    pub fn agreeing(&self) -> usize {
        independent(self.sources.values().map(|source| {
            let agrees = matches!(source.state, SourceState::Followed | SourceState::Spare);
            (&source.options, agrees)
        }))
    }

    /// Updates of the clock since the start, since somebody else stepped it, or since the machine slept, whichever was last.
    #[must_use]
    pub const fn updates_since_step(&self) -> u32 {
        self.updates_since_step
    }

    /// Where each source stands at `now`, in the order of their numbers.
    #[must_use]
    pub fn sources(&self, now: Reading) -> Vec<SourceReport> {
        let raw_s = self.ledger.raw_s(now.mono);
        let motion = self.motion();
        let motion_of = self.motions();
        let report = |(id, source): (&SourceId, &Record)| SourceReport {
            id: *id,
            state: source.state,
            stratum: source.last.map_or(0, |last| last.stratum),
            authenticated: source.last.is_some_and(|last| last.authenticated),
            reach: source.reach,
            last_answer: source.last_answer,
            offset: source.last_offset,
            offset_now: source.measured.map_or(Span::ZERO, |measured| {
                let moved_s = motion.frequency * (raw_s - measured.at_s);
                self.error_of(measured.offset_s + moved_s, raw_s, now)
            }),
            offset_sigma: source.measured.map_or(UNKNOWN_BOUND, |measured| {
                let variance = source.path.law(measured.round_trip_s).variance();
                Span::from_seconds_f64(variance.sqrt())
            }),
            distance: source.bounds.map_or(UNKNOWN_BOUND, |bounds| {
                Span::from_seconds_f64(bounds.at(raw_s, &motion_of(source)).half_s())
            }),
            delay: Span::from_seconds_f64(source.path.least_s()),
            jitter: Span::from_seconds_f64(source.path.excess_s()),
            share_up: source.path.share_up(),
            interval: source.interval,
            samples: source.samples,
        };
        self.sources.iter().map(report).collect()
    }

    /// Puts an answer on the oscillator's time; `None` if the clock was stepped between the question and now.
    fn measure(&mut self, sample: &Sample, now: Reading) -> Option<Measurement> {
        let mono_of = |stamp: Timestamp| {
            let ago = (now.real - stamp).max(Span::ZERO).to_duration();
            Mono(now.mono.0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)))
        };
        let (sent, came) = (mono_of(sample.origin), mono_of(sample.destination));
        if self.stepped_at.is_some_and(|step| sent <= step) {
            return None;
        }
        let (sent_s, came_s) = (self.ledger.raw_s(sent), self.ledger.raw_s(came));
        let at_s = f64::midpoint(sent_s, came_s);
        let server = (sample.receive - self.epoch).half() + (sample.transmit - self.epoch).half();
        if self.first_answer_s.is_none() {
            self.first_answer_s = Some(came_s);
            self.base = server - Span::from_seconds_f64(at_s);
        }
        let held_s = (sample.transmit - sample.receive).as_seconds_f64();
        let round_trip_s = came_s - sent_s - held_s;
        Some(Measurement {
            at_s,
            offset_s: (server - self.base).as_seconds_f64() - at_s,
            round_trip_s: round_trip_s.abs(),
            contradiction_s: (-round_trip_s).max(0.0),
            way: Way::Known,
        })
    }

    /// Selects, takes in what the selected sources measured, and steers.
    fn settle(&mut self, answered: Option<SourceId>, now: Reading) {
        let raw_s = self.ledger.raw_s(now.mono);
        self.find_truth(raw_s);
        self.doubt();
        self.choose_reference();
        let mut waiting: Vec<(SourceId, Measurement)> = Vec::new();
        for (id, source) in &mut self.sources {
            if source.state == SourceState::Followed
                && let Some(measured) = source.pending.take()
            {
                waiting.push((*id, measured));
            }
        }
        waiting.sort_by(|a, b| a.1.at_s.total_cmp(&b.1.at_s));
        for (id, measured) in &waiting {
            self.take_in(*id, measured);
        }
        if let Some(asked) = answered {
            self.set_pace(asked);
        }
        if waiting.is_empty() {
            return;
        }
        self.updates = self.updates.saturating_add(1);
        self.updates_since_anew = self.updates_since_anew.saturating_add(1);
        self.updates_since_step = self.updates_since_step.saturating_add(1);
        self.update_spacing = self.last_update.map_or(Duration::ZERO, |last| now.mono.since(last));
        self.last_update = Some(now.mono);
        self.may_step = true;
        self.steer(now);
    }

    /// Forgets the estimate, all but a frequency with its standard deviation.
    fn begin_anew(&mut self, frequency: f64, frequency_sigma: f64) {
        self.initial_frequency = (frequency, frequency_sigma);
        self.estimator = None;
        self.published = None;
        self.updates_since_anew = 0;
    }

    /// Gives the estimator one measurement.
    fn take_in(&mut self, id: SourceId, measured: &Measurement) {
        let sources = &self.sources;
        let path_of = |id: SourceId| sources.get(&id).map(|source| &source.path);
        let Some(path) = path_of(id) else { return };
        let Some(estimator) = &mut self.estimator else {
            self.estimator = Some(Estimator::new(id, measured, path, self.initial_frequency));
            return;
        };
        estimator.take_in(id, measured, path_of);
    }

    /// Looks at measurements that are far from what is foreseen. If most of those followed say so, the oscillator has changed and they
    /// are believed; while only a few do, they have to wait for the others, who are asked at once.
    fn doubt(&mut self) {
        let Some(estimator) =
            self.estimator.as_ref().filter(|_| self.updates_since_anew >= SETTLED)
        else {
            return;
        };
        let mut news = false;
        for (id, source) in &mut self.sources {
            let Some(measured) =
                source.pending.as_mut().filter(|_| source.state == SourceState::Followed)
            else {
                continue;
            };
            let surprising = estimator.surprise(*id, measured, &source.path) > SURPRISING;
            news |= surprising && source.doubts == 0;
            source.doubts = if surprising { source.doubts.saturating_add(1) } else { 0 };
            if source.doubts > LONGEST_DOUBT {
                // For so long, it is the way that has changed without showing it.
                measured.way = Way::New;
                source.doubts = 0;
            }
        }
        let followed =
            || self.sources.values().filter(|source| source.state == SourceState::Followed);
        let doubtful = followed().filter(|source| source.doubts > 0).count();
        let believed = 2 * doubtful > followed().count();
        if news {
            for source in self.sources.values_mut() {
                source.interval = Duration::ZERO;
            }
            self.burst(|source| source.options.bursts, 1, SOON);
        }
        if !believed {
            for source in self.sources.values_mut() {
                if source.state == SourceState::Followed && source.doubts > 0 {
                    source.state = SourceState::Doubtful;
                }
            }
        }
    }

    fn set_pace(&mut self, id: SourceId) {
        let Some(estimator) = &self.estimator else { return };
        let estimate = estimator.estimate();
        let since_start_s = self.first_answer_s.map_or(0.0, |first_s| estimator.at_s() - first_s);
        let Some(source) = self.sources.get_mut(&id) else { return };
        let (interval, burst) = pace::advise(
            &source.path,
            &estimate,
            source.interval,
            since_start_s,
            source.samples,
            &source.options,
        );
        source.interval = interval;
        self.outputs.push_back(Output::Pace { source: id, interval });
        if let Some(spacing) = burst.filter(|_| source.options.bursts) {
            self.outputs.push_back(Output::Burst { source: id, questions: 1, spacing });
        }
    }

    /// Sets the clock's rate, and steps it, so that it goes where the estimate says.
    fn steer(&mut self, now: Reading) {
        if self.adjusting {
            self.steer_again = true;
            return;
        }
        let Some(estimator) = &self.estimator else { return };
        let raw_s = self.ledger.raw_s(now.mono);
        let estimate = estimator.estimate_at(raw_s);
        let error = self.error_of(estimate.offset_s, raw_s, now);
        if self.last_update == Some(now.mono) {
            self.last_correction = error;
        }
        let frequency =
            Frequency::from_ratio(estimate.frequency).clamp_to(self.settings.max_frequency);
        let slews_leap = self.slews_leap(now);
        let is_far = error.abs() > self.settings.largest_slewed;
        let steps = self.settings.steps.steps(error, self.updates_since_step.saturating_sub(1));
        // What is too far for a slew is a step by whatever rule: who refuses it says why.
        if self.may_step && !slews_leap && (steps || is_far) {
            self.slew_ends = None;
            self.may_step = false;
            self.stepping = true;
            self.adjust(Adjustment::Step(error));
            return;
        }
        let error_s = error.as_seconds_f64();
        if is_far {
            self.slew_ends = None;
            self.adjust(Adjustment::Rate(frequency));
            return;
        }
        if self.last_update != Some(now.mono) && error_s.abs() < estimate.offset_sigma_s / 4.0 {
            // The end of a slew: what is left is less than is known.
            self.adjust(Adjustment::Rate(frequency));
            return;
        }
        let gentle_s =
            (self.shortest_interval().map_or(64.0, |i| i.as_secs_f64()) / 8.0).clamp(1.0, 16.0);
        // Where updates are rare there is no hurry, for the error has grown as slowly.
        let rare_s = if slews_leap || self.updates_since_step == 0 {
            0.0
        } else {
            self.update_spacing.as_secs_f64() / 32.0
        };
        let unhurried_s = error_s.abs() / UNHURRIED_SLEW;
        let wanted_s = if error_s.abs() <= 8.0 * estimate.offset_sigma_s {
            gentle_s
        } else if slews_leap || self.updates_since_step < UPDATES_IN_A_HURRY {
            let least_s = if error_s.abs() < SMALL_S { error_s.abs() / SMALL_SLEW } else { 1.0 };
            unhurried_s.min(rare_s).max(least_s).max(1.0)
        } else {
            unhurried_s.clamp(1.0, rare_s.max(2.0 * gentle_s))
        };
        let duration_s =
            wanted_s.max(error_s.abs() / self.settings.max_slew.as_ratio().abs().max(1e-9));
        let slew = Frequency::from_ratio(error_s / duration_s);
        // The slew lasts `duration_s` of the oscillator; the clock that is slewed counts more or fewer.
        let rate = frequency + slew;
        let mono_s = duration_s.min(LONGEST_SLEW_S) * (1.0 + rate.as_ratio()).max(0.1);
        self.slew_ends = Some(now.mono + Duration::from_secs_f64(mono_s));
        self.adjust(Adjustment::Rate(rate));
    }

    fn adjust(&mut self, adjustment: Adjustment) {
        self.adjusting = true;
        self.outputs.push_back(Output::Adjust(adjustment));
    }

    /// True time minus the system clock, where the first is `offset_s` ahead of the oscillator and `base`.
    fn error_of(&self, offset_s: f64, raw_s: f64, now: Reading) -> Span {
        let base = self.base + self.unnoticed_jump(now);
        base + Span::from_seconds_f64(raw_s + offset_s) - (now.real - self.epoch)
    }

    fn shortest_interval(&self) -> Option<Duration> {
        self.sources
            .values()
            .map(|source| source.interval)
            .filter(|interval| !interval.is_zero())
            .min()
    }

    fn burst(&mut self, which: impl Fn(&Record) -> bool, questions: u32, spacing: Duration) {
        for (id, _) in self.sources.iter().filter(|(_, source)| which(source)) {
            self.outputs.push_back(Output::Burst { source: *id, questions, spacing });
        }
    }
}

/// A frequency remembered is trusted no more than this, one standard deviation.
const LEAST_REMEMBERED_SKEW: f64 = 1e-7;
/// For how long the first source that answers waits for the others, s.
const PATIENCE_S: f64 = 8.0;
/// Updates after which our own clock has a say where the sources disagree.
const SETTLED: u32 = 16;
/// A measurement beyond so many standard deviations of what was foreseen is worth another question at once.
const SURPRISING: f64 = 4.0;
/// After so many of them in a row from one source it is thought to be reached by another way.
const LONGEST_DOUBT: u32 = 8;
const SOON: Duration = Duration::from_secs(8);
const BURST_SPACING: Duration = Duration::from_secs(2);
/// Where the sources have the truth so far from where they had it before, the oscillator is not to blame.
const WORTHLESS_S: f64 = 0.1;
/// So many updates after the beginning, or after somebody else's step, an error is removed as fast as may be.
const UPDATES_IN_A_HURRY: u32 = 4;
/// Later a slew need not be faster than this.
const UNHURRIED_SLEW: f64 = 9e-5;
/// An error below this is never removed faster than at that rate: a clock that runs evenly is worth more.
const SMALL_S: f64 = 1e-3;
const SMALL_SLEW: f64 = 4e-4;
/// When a slew is looked at again at the latest, s.
const LONGEST_SLEW_S: f64 = 1000.0;
