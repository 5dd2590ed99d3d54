//! When the next question goes out.

use core::time::Duration;

use noonmark_nts::Random;
use noonmark_units::{Mono, PollExponent, Span};

use crate::Plan;
use crate::plan::Polling;

/// The pace of one association: its plan, what the server asked of us, and how it has answered lately.
pub(crate) struct Schedule {
    plan: Plan,
    /// From one question to the next, before the limits.
    interval: Duration,
    /// The server asked for less (RATE, or an unproven DENY): no shorter than this until it answers well again.
    floor: Option<Duration>,
    /// Good answers since the floor was set or lowered.
    good_since_floor: u32,
    burst: Option<Burst>,
    last_question: Option<Mono>,
    next_question: Mono,
    /// 1 to 1.02: so that the questions of many clients do not gather at one instant (RFC 5905 §A.5.7.2).
    stretch: f64,
    asked: u32,
    reach: u8,
    unanswered_in_a_row: u32,
    /// Questions since the last answer that did not leave this machine.
    unsent: u32,
    /// Of the last good answer.
    round_trip: Option<Span>,
}

/// Questions that follow each other closely.
#[derive(Clone, Copy)]
struct Burst {
    questions_left: u32,
    answers_wanted: u32,
    spacing: Duration,
    /// Something happened that made the past worthless.
    has_reason: bool,
}

impl Schedule {
    /// The first question goes out at `start`.
    pub(crate) fn new(plan: Plan, start: Mono) -> Self {
        let (interval, burst) = match plan {
            Plan::Count { spacing: every, .. } | Plan::Continuous { interval: every } => {
                (every, None)
            }
            Plan::Polled(polling) => {
                let shortest = polling.shortest();
                let burst = Burst::new(INITIAL_BURST, BURST_SPACING.min(shortest));
                (shortest, polling.initial_burst.then_some(burst))
            }
        };
        Self {
            plan,
            interval,
            floor: None,
            good_since_floor: 0,
            burst,
            last_question: None,
            next_question: start,
            stretch: 1.0,
            asked: 0,
            reach: 0,
            unanswered_in_a_row: 0,
            unsent: 0,
            round_trip: None,
        }
    }

    pub(crate) const fn next_question(&self) -> Mono {
        self.next_question
    }

    pub(crate) const fn reach(&self) -> u8 {
        self.reach
    }

    pub(crate) const fn unanswered_in_a_row(&self) -> u32 {
        self.unanswered_in_a_row
    }

    pub(crate) const fn unsent(&self) -> u32 {
        self.unsent
    }

    /// What a question says of our interval, log2 s rounded; 0 outside a polled plan.
    pub(crate) fn poll_exponent(&self) -> PollExponent {
        match self.plan {
            Plan::Polled(_) => {
                let log = self.interval().as_secs_f64().log2().round();
                PollExponent(log.clamp(-4.0, 17.0) as i8)
            }
            Plan::Count { .. } | Plan::Continuous { .. } => PollExponent(0),
        }
    }

    /// From one question to the next outside bursts, before the random stretch.
    pub(crate) fn interval(&self) -> Duration {
        let wanted = match self.plan {
            Plan::Count { .. } | Plan::Continuous { .. } => self.interval,
            Plan::Polled(polling) => self.polled_interval(polling),
        };
        self.floor.map_or(wanted, |floor| floor.max(wanted))
    }

    fn polled_interval(&self, polling: Polling) -> Duration {
        let wanted = self.interval.clamp(polling.shortest(), polling.longest());
        // Only a server next door may be asked several times in a second.
        let limited = if self.is_near() { wanted } else { wanted.max(ONE_SECOND) };
        // RFC 5905 §13: whoever does not answer is asked less and less.
        let doublings = self.unanswered_in_a_row.saturating_sub(PATIENCE);
        let longer = limited.saturating_mul(1 << doublings.min(31));
        longer.min(polling.longest().max(limited))
    }

    fn is_near(&self) -> bool {
        self.reach != 0 && self.round_trip.is_some_and(|round_trip| round_trip < NEAR)
    }

    /// Takes another interval; the next question moves with it, unless a burst goes on.
    pub(crate) fn set_interval(&mut self, interval: Duration, now: Mono) {
        self.interval = interval;
        if self.burst.is_none() {
            self.reschedule(now);
        }
    }

    /// Takes other limits; the next question moves with them, unless a burst goes on.
    pub(crate) fn set_polling(&mut self, polling: Polling, now: Mono) {
        self.plan = Plan::Polled(polling);
        self.set_interval(self.interval, now);
    }

    /// Asks now, and so many questions in all, until they are answered, at most twice as many.
    pub(crate) fn begin_burst(&mut self, questions: u32, spacing: Duration, now: Mono) {
        // Who has told us to ask less is not asked more.
        let Plan::Polled(polling) = self.plan else { return };
        if self.floor.is_some() {
            return;
        }
        let least = BURST_SPACING.min(polling.shortest());
        let wanted = Burst {
            has_reason: questions > 1,
            ..Burst::new(questions.clamp(1, LONGEST_BURST), spacing.max(least))
        };
        // One that has its reason is not cut short by a smaller one; the first of all is, by who knows better when to ask.
        let burst = match self.burst {
            Some(present) if present.has_reason => present.and(wanted),
            _ => wanted,
        };
        let soonest = self.last_question.map_or(now, |last| now.max(last + burst.spacing));
        self.burst = Some(burst);
        self.next_question = self.next_question.min(soonest);
    }

    /// A question went out: the next follows after the spacing of a burst or the interval.
    pub(crate) fn asked(&mut self, now: Mono, random: &mut dyn Random) {
        self.asked = self.asked.saturating_add(1);
        self.last_question = Some(now);
        if let Plan::Polled(polling) = self.plan {
            self.stretch = stretch(random);
            if polling.burst && self.burst.is_none() && self.floor.is_none() {
                self.burst = Some(Burst {
                    questions_left: 4,
                    answers_wanted: 1,
                    ..Burst::new(1, BURST_SPACING)
                });
            }
        }
        if let Some(burst) = &mut self.burst {
            burst.questions_left = burst.questions_left.saturating_sub(1);
            if burst.questions_left == 0 {
                self.burst = None;
            }
        }
        self.reschedule(now);
    }

    /// A question got its answer.
    pub(crate) fn answered(&mut self, round_trip: Span, now: Mono) {
        self.reach = self.reach << 1 | 1;
        self.unanswered_in_a_row = 0;
        self.unsent = 0;
        self.round_trip = Some(round_trip);
        self.lower_floor();
        if let Some(burst) = &mut self.burst {
            burst.answers_wanted = burst.answers_wanted.saturating_sub(1);
            if burst.answers_wanted == 0 {
                self.burst = None;
            }
        }
        if matches!(self.plan, Plan::Polled(_)) && self.burst.is_none() {
            self.reschedule(now);
        }
    }

    /// A question did not leave this machine, which says nothing of the server.
    pub(crate) fn not_sent(&mut self, now: Mono) {
        self.unsent = self.unsent.saturating_add(1);
        self.missed(now);
    }

    /// A question got none.
    pub(crate) fn unanswered(&mut self, now: Mono) {
        self.unanswered_in_a_row = self.unanswered_in_a_row.saturating_add(1);
        self.missed(now);
    }

    fn missed(&mut self, now: Mono) {
        self.reach <<= 1;
        if matches!(self.plan, Plan::Polled(_)) && self.burst.is_none() {
            self.reschedule(now);
        }
    }

    /// The server asks us to slow down (RATE): twice the interval, whatever poll exponent the kiss carries. That is not believed:
    /// 2^17 s in a forged one would silence us for days.
    pub(crate) fn slow_down(&mut self, now: Mono) {
        self.hold_back(self.interval().saturating_mul(2), now);
    }

    /// The server wants to be left alone, without proof that it was the server.
    pub(crate) fn be_quiet(&mut self, now: Mono) {
        self.hold_back(REFUSED_INTERVAL, now);
    }

    fn hold_back(&mut self, interval: Duration, now: Mono) {
        self.burst = None;
        self.good_since_floor = 0;
        let before = self.interval();
        self.floor = Some(interval.min(LONGEST_FLOOR).max(before));
        self.next_question = self.next_question.max(now + self.interval());
    }

    /// Good answers show that the server can bear us: after every few the floor sinks by half, until it has no effect.
    fn lower_floor(&mut self) {
        let Plan::Polled(polling) = self.plan else { return };
        let Some(floor) = self.floor else { return };
        self.good_since_floor += 1;
        if self.good_since_floor >= GOOD_ANSWERS_PER_HALVING {
            self.good_since_floor = 0;
            self.floor = Some(floor / 2).filter(|half| *half > polling.shortest());
        }
    }

    /// The question just asked does not count: another attempt follows in its stead.
    pub(crate) fn uncount(&mut self) {
        self.asked = self.asked.saturating_sub(1);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.plan.is_complete(self.asked)
    }

    /// When the question asked at `now` closes: after its window, or when the next goes out in a polled plan.
    pub(crate) fn closes_at(&self, now: Mono, window: Duration) -> Mono {
        match self.plan {
            Plan::Polled(_) => self.next_question.min(now + window),
            Plan::Count { .. } | Plan::Continuous { .. } => now + window,
        }
    }

    fn reschedule(&mut self, now: Mono) {
        let Some(last) = self.last_question else { return };
        let spacing = match self.burst {
            Some(burst) if self.is_near() => burst.spacing,
            Some(burst) => burst.spacing.max(ONE_SECOND),
            None => self.interval().mul_f64(self.stretch),
        };
        self.next_question = now.max(last + spacing);
    }
}

impl Burst {
    /// Both at once: the more questions, the sooner.
    fn and(self, other: Self) -> Self {
        Self {
            questions_left: self.questions_left.max(other.questions_left),
            answers_wanted: self.answers_wanted.max(other.answers_wanted),
            spacing: self.spacing.min(other.spacing),
            has_reason: self.has_reason || other.has_reason,
        }
    }

    const fn new(answers: u32, spacing: Duration) -> Self {
        Self { questions_left: 2 * answers, answers_wanted: answers, spacing, has_reason: false }
    }
}

/// Evenly between 1 and 1.02.
fn stretch(random: &mut dyn Random) -> f64 {
    let mut octets = [0; 4];
    random.fill(&mut octets);
    1.0 + f64::from(u32::from_le_bytes(octets)) / (f64::from(u32::MAX) + 1.0) * RANDOM_PART
}

/// Of the interval, at most; the least is 0.
const RANDOM_PART: f64 = 0.02;
/// RFC 8633 §5.4: no more than poll exponent 13, whatever RATE says.
const LONGEST_FLOOR: Duration = Duration::from_secs(1 << 13);
/// After an unproven DENY or RSTR: the usual longest poll, exponent 10.
const REFUSED_INTERVAL: Duration = Duration::from_secs(1 << 10);
const GOOD_ANSWERS_PER_HALVING: u32 = 4;
/// RFC 5905 §13.2 (`BTIME`).
const BURST_SPACING: Duration = Duration::from_secs(2);
/// Answers wanted of the first burst.
const INITIAL_BURST: u32 = 4;
const LONGEST_BURST: u32 = 16;
const ONE_SECOND: Duration = Duration::from_secs(1);
/// The longest round trip to a server that may be asked more than once in a second.
const NEAR: Span = Span::from_bits(42_949_673); // 10 ms
/// Unanswered questions in a row before the interval begins to grow: the reach register is empty at the next.
const PATIENCE: u32 = 7;
