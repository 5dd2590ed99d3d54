//! How long after the clock is read an answer will leave, learned from how long it took before.

use noonmark_units::{Span, Timestamp};

/// The learned lead of one thread.
///
/// The NTS tag covers the transmit time T3, so T3 has to be chosen before the answers of a batch are sealed, and before the
/// kernel has sent the answers in front of it. Both take time: the sealing in proportion to the work (known exactly, in
/// [`Work`]), the sending in proportion to the place in the batch. Only how fast this machine does either is learned, from the
/// clock readings around the last batches, and from the kernel's own stamps of answers that left, where it gives any.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    /// 2^-32 s per unit of work, times 256, where nothing is sealed. Apart from `seal`, because a batch has a fixed cost that is
    /// large beside the little work of a plain answer.
    write: Learned,
    /// The same where something is sealed.
    seal: Learned,
    /// 2^-32 s per datagram sent, times 256: of the whole call, through their number.
    send: Learned,
    /// From giving a batch to the kernel to the moment its first datagram leaves, by the kernel's stamps.
    first: Learned,
    /// From one datagram's leaving to the next one's, by the kernel's stamps.
    next: Learned,
    /// Batches so far, modulo 2^32.
    batches: u32,
}

/// Which answer of a batch the kernel is to be asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    /// What the sending of one alone takes.
    First,
    /// What that of all the others takes, too.
    Last,
}

/// Work between choosing T3 and sending, in units of about a nanosecond on a machine that needs no correction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Work {
    units: u32,
    sealing: bool,
}

impl Work {
    /// Writing one answer without NTS.
    pub(crate) const PLAIN: Self = Self { units: 40, sealing: false };

    /// Writing and sealing one answer with so many new cookies.
    pub(crate) const fn nts(cookies: usize) -> Self {
        Self { units: 500 + 90 * cookies as u32, sealing: true }
    }

    /// Both.
    #[must_use]
    pub(crate) const fn and(self, more: Self) -> Self {
        Self { units: self.units.saturating_add(more.units), sealing: self.sealing | more.sealing }
    }
}

impl Lead {
    /// What to expect of a machine nothing is known about: 1 ns per unit of work, 4 µs to send a datagram.
    pub(crate) const fn new() -> Self {
        Self {
            write: Learned::mean(1),
            seal: Learned::mean(1),
            send: Learned::least(4_000),
            first: Learned::mean(500),
            next: Learned::mean(4_000),
            batches: 0,
        }
    }

    /// Counts a batch, and says whether it would help to know when an answer of it leaves: of the first ones, and then now and then, since asking costs
    /// a system call.
    pub(crate) fn wanted(&mut self) -> Option<Wanted> {
        self.batches = self.batches.wrapping_add(1);
        let turn = if self.batches < EAGER { self.batches } else { self.batches / SELDOM };
        let is_due = self.batches < EAGER || self.batches.is_multiple_of(SELDOM);
        is_due.then_some(if turn.is_multiple_of(2) { Wanted::First } else { Wanted::Last })
    }

    /// From reading the clock to the moment the answer at `place` leaves, if the whole batch takes `work`.
    pub(crate) fn ahead(&self, work: Work, place: usize) -> Span {
        let place = place as u64;
        let working = if work.sealing { &self.seal } else { &self.write }.times(work.units.into());
        // Without a stamp nobody knows which part of sending lies before the device has a datagram: up to half on veth and loopback, and a
        // quarter of that is taken. A time from before the departure makes the delay longer and every client's error bound with it; one
        // from after it would make the bound a lie.
        let first =
            if self.first.is_known() { self.first.times(1) } else { self.send.times(1) / 8 };
        let others = if self.next.is_known() { &self.next } else { &self.send }.times(place);
        let sending = first.saturating_add(others);
        Span::from_bits(working.saturating_add(sending).min(MOST))
    }

    /// Learns that `work` took from `chosen` (when T3 was chosen) to `sealed`.
    pub(crate) fn learn_seal(&mut self, work: Work, chosen: Timestamp, sealed: Timestamp) {
        let cost = if work.sealing { &mut self.seal } else { &mut self.write };
        cost.learn(sealed - chosen, work.units.into());
    }

    /// Learns that handing `count` datagrams to the kernel took from `sealed` to `sent`.
    pub(crate) fn learn_send(&mut self, count: usize, sealed: Timestamp, sent: Timestamp) {
        self.send.learn(sent - sealed, count as u64);
    }

    /// Learns from the kernel that the datagram at `place`, handed over at `sealed`, left at `left`.
    pub(crate) fn learn_departure(&mut self, place: usize, sealed: Timestamp, left: Timestamp) {
        if place == 0 {
            self.first.learn(left - sealed, 1);
        } else if self.first.is_known() {
            let others = (left - sealed) - Span::from_bits(self.first.times(1));
            self.next.learn(others, place as u64);
        }
    }
}

impl Default for Lead {
    fn default() -> Self {
        Self::new()
    }
}

/// A cost per unit, in 2^-32 s times 256; the mean of what was measured lately, or near the least of it.
///
/// What disturbs a measurement (an interrupt, a receiver that is woken and takes the processor, code that is not in the caches yet) only
/// ever makes it longer. What stands for something that is not measured itself is therefore near the least: a shorter one is believed soon and a
/// longer one slowly. Only of the first ones, when nothing is known about the machine, the low ones are believed as they are.
#[derive(Clone, Copy, Debug)]
struct Learned {
    cost: i64,
    /// By which part of the difference a shorter measurement moves the cost, a longer one, and how many times the cost is the most that is believed.
    shares: [i64; 3],
    /// The first measurements, in ascending order.
    first: [i64; FIRST],
    /// How many of them there are.
    seen: usize,
}

impl Learned {
    const fn mean(nanos: i64) -> Self {
        Self::from_nanos(nanos, [8, 16, 2])
    }

    const fn least(nanos: i64) -> Self {
        Self::from_nanos(nanos, [4, 32, 4])
    }

    const fn from_nanos(nanos: i64, shares: [i64; 3]) -> Self {
        let cost = Span::from_nanos(nanos).to_bits() << FRACTION;
        Self { cost, shares, first: [i64::MAX; FIRST], seen: 0 }
    }

    /// Whether enough was measured to go by it.
    fn is_known(&self) -> bool {
        self.seen >= FIRST
    }

    fn times(self, units: u64) -> i64 {
        self.cost.saturating_mul(units.min(1 << 20) as i64) >> FRACTION
    }

    /// A measurement that is negative (the clock was stepped back) says nothing.
    fn learn(&mut self, took: Span, units: u64) {
        if units == 0 || took.is_negative() {
            return;
        }
        let measured = (took.to_bits().min(MOST) << FRACTION) / units.min(1 << 20) as i64;
        let learned =
            if self.seen < FIRST { self.among_the_first(measured) } else { self.average(measured) };
        self.cost = learned.max(1 << (FRACTION - 1));
    }

    /// The second-lowest of the first measurements, the lowest of only three. The first two, made with cold caches, can only lower
    /// what was assumed.
    fn among_the_first(&mut self, measured: i64) -> i64 {
        if let Some(free) = self.first.get_mut(self.seen) {
            *free = measured;
        }
        self.seen += 1;
        self.first.sort_unstable();
        match (self.seen, self.first) {
            (1 | 2, _) => self.cost.min(measured),
            (3, [lowest, ..]) => lowest,
            (_, [_, second, ..]) => second,
        }
    }

    /// A measurement many times what was expected is an interruption, not a cost, and counts as no more than a few times.
    fn average(&self, measured: i64) -> i64 {
        let [shorter, longer, most] = self.shares;
        let bounded = measured.min(self.cost.saturating_mul(most)).max(1);
        let share = if bounded < self.cost { shorter } else { longer };
        self.cost + (bounded - self.cost) / share
    }
}

/// So many batches at first each have an answer the kernel is asked about.
const EAGER: u32 = 64;
/// And then one in so many.
const SELDOM: u32 = 32;
/// How many measurements are believed as they are.
const FIRST: usize = 5;
/// Fraction bits of a learned cost.
const FRACTION: u32 = 8;
/// No lead is longer than this: 1 ms. More would be an answer from the future if the machine turned out faster.
const MOST: i64 = Span::from_nanos(1_000_000).to_bits();

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_bits(0xe9ff_fff0_0000_0000);

    fn after(nanos: i64) -> Timestamp {
        START + Span::from_nanos(nanos)
    }

    fn check_near(span: Span, nanos: i64) {
        assert!((span.as_nanos() - nanos).abs() <= 2 + nanos / 20, "{span} instead of {nanos} ns");
    }

    #[test]
    fn the_cost_of_a_steady_machine_is_learned() {
        let mut lead = Lead::new();
        let work = Work::nts(8).and(Work::PLAIN);
        for _ in 0..100 {
            lead.learn_seal(work, START, after(3_000));
            lead.learn_send(10, START, after(25_000));
        }
        check_near(lead.ahead(work, 0), 3_000 + 2_500 / 8);
        check_near(lead.ahead(work, 9), 3_000 + 22_500 + 2_500 / 8);
        check_near(lead.ahead(Work::default(), 1), 2_500 + 2_500 / 8);
    }

    /// A machine on which everything costs so many times what is assumed of an unknown one, and how the lead does there: for each answer,
    /// by how much it left after its transmit time, in nanoseconds (negative: before it, so that the time was not true).
    fn late(times: i64, disturbed: impl Fn(usize) -> i64) -> Vec<i64> {
        let mut lead = Lead::new();
        let work = Work::nts(8);
        let (sealing, sending) = (1_220 * times, 4_000 * times);
        (0..40)
            .map(|turn| {
                // An eighth of the sending is taken as the part before the device: see `ahead`.
                let truth = sealing + sending / 8;
                let late = truth - lead.ahead(work, 0).as_nanos();
                lead.learn_seal(work, START, after(sealing * disturbed(turn)));
                lead.learn_send(1, START, after(sending * disturbed(turn)));
                late
            })
            .collect()
    }

    #[test]
    fn a_slow_machine_is_known_after_three_answers() {
        for times in [1, 3, 12, 40] {
            let late = late(times, |_| 1);
            let truth = 1_720 * times;
            for (answer, late) in late.into_iter().enumerate().skip(3) {
                assert!(late.abs() <= 2 + truth / 100, "{times}: {late} ns at answer {answer}");
            }
        }
        // Dozens of answers whose time was tens of microseconds early, if it were learned by small shares from the start.
        assert!(late(12, |_| 1)[3..].iter().all(|late| *late < 300));
    }

    #[test]
    fn a_disturbed_start_gives_no_answer_a_time_after_its_departure() {
        // The first measurement is with cold caches, and any other of the first five may be disturbed as well.
        for other in 1..5 {
            let late = late(12, |turn| if turn == 0 || turn == other { 30 } else { 1 });
            for (answer, late) in late.iter().enumerate().take(20) {
                assert!(*late >= -210, "{late} ns at answer {answer}, disturbed at 0 and {other}");
            }
            assert!(late[5..].iter().all(|late| *late < 300), "disturbed at {other}: {late:?}");
        }
        // A machine whose every other measurement is disturbed is judged by the undisturbed ones.
        let late = late(12, |turn| if turn % 2 == 0 { 30 } else { 1 });
        assert!(late[..6].iter().all(|late| *late >= -210), "{late:?}");
    }

    #[test]
    fn where_the_kernel_tells_when_answers_left_their_times_are_those() {
        let mut lead = Lead::new();
        let left = |place: i64| after(2_300 + 3_700 * place);
        let late = |lead: &Lead, place: usize| {
            2_300 + 3_700 * place as i64 - lead.ahead(Work::default(), place).as_nanos()
        };
        for turn in 0..200 {
            lead.learn_send(10, START, after(46_000));
            lead.learn_departure(if turn % 2 == 0 { 0 } else { 9 }, START, left(turn % 2 * 9));
        }
        for place in [0, 1, 9, 30] {
            assert!(late(&lead, place).abs() < 100, "{} at {place}", late(&lead, place));
        }
        // One that was held up, and a clock that was set, change next to nothing.
        lead.learn_departure(0, START, after(50_000_000));
        lead.learn_departure(9, START, after(-1_000_000));
        assert!(late(&lead, 0).abs() < 500 && late(&lead, 9).abs() < 800);
        // Of answers alone in their batch nothing is learned of others.
        let mut lead = Lead::new();
        (0..50).for_each(|_| lead.learn_departure(0, START, left(0)));
        (0..50).for_each(|_| lead.learn_send(1, START, after(5_000)));
        check_near(lead.ahead(Work::default(), 0), 2_300);
        check_near(lead.ahead(Work::default(), 2), 2_300 + 10_000);
    }

    #[test]
    fn the_kernel_is_asked_often_at_first_and_seldom_later_about_both_ends_of_a_batch() {
        let mut lead = Lead::new();
        let mut count = |batches: usize| {
            let wanted: Vec<_> = (0..batches).filter_map(|_| lead.wanted()).collect();
            let first = wanted.iter().filter(|wanted| **wanted == Wanted::First).count();
            [first, wanted.len() - first]
        };
        assert_eq!(count(63), [31, 32]);
        assert_eq!(count(3200), [50, 50]);
    }

    #[test]
    fn a_fast_machine_is_known_at_once() {
        let mut lead = Lead::new();
        lead.learn_send(1, START, after(400));
        check_near(lead.ahead(Work::default(), 1), 450);
    }

    #[test]
    fn one_interruption_moves_the_lead_little_and_a_step_back_not_at_all() {
        let mut lead = Lead::new();
        for _ in 0..100 {
            lead.learn_send(1, START, after(4_000));
        }
        let before = lead.ahead(Work::default(), 0);
        lead.learn_send(1, START, after(50_000_000));
        let disturbed = lead.ahead(Work::default(), 0);
        assert!(disturbed.as_nanos() <= before.as_nanos() * 3 / 2, "{before} became {disturbed}");
        let mut lead = Lead::new();
        lead.learn_send(1, START, after(-1));
        lead.learn_seal(Work::default(), START, after(10));
        assert_eq!(lead.ahead(Work::PLAIN, 3), Lead::new().ahead(Work::PLAIN, 3));
    }

    #[test]
    fn the_overhead_of_plain_batches_is_not_multiplied_by_the_work_of_sealing() {
        let mut lead = Lead::new();
        for _ in 0..100 {
            lead.learn_seal(Work::PLAIN, START, after(1_000));
        }
        let sealed = lead.ahead(Work::nts(8), 0) - lead.ahead(Work::default(), 0);
        assert!((1_000..1_300).contains(&sealed.as_nanos()), "{sealed}");
    }

    #[test]
    fn a_machine_disturbed_every_other_time_is_judged_by_the_undisturbed() {
        let mut lead = Lead::new();
        for turn in 0..400 {
            lead.learn_send(1, START, after(if turn % 2 == 0 { 4_000 } else { 60_000 }));
        }
        let ahead = lead.ahead(Work::default(), 0).as_nanos();
        assert!((500..800).contains(&ahead), "{ahead} ns");
    }

    #[test]
    fn a_lead_is_positive_and_bounded_whatever_was_measured() {
        let mut lead = Lead::new();
        for _ in 0..1000 {
            lead.learn_send(64, START, START);
            lead.learn_seal(Work::nts(8), START, START);
        }
        assert!(!lead.ahead(Work::default(), 0).is_negative());
        for _ in 0..1000 {
            lead.learn_send(1, START, after(i64::MAX));
            lead.learn_seal(Work::PLAIN, START, after(i64::MAX));
            lead.learn_seal(Work::nts(0), START, after(i64::MAX));
        }
        assert!(
            lead.ahead(Work { units: u32::MAX, sealing: true }, usize::MAX).as_nanos() <= 1_000_000
        );
        // And it finds its way back.
        for _ in 0..200 {
            lead.learn_send(1, START, after(4_000));
        }
        check_near(lead.ahead(Work::default(), 1), 4_500);
    }
}
