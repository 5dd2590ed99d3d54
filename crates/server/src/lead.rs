//! How long after the clock is read an answer will leave, learned from how long it took before.

use noonmark_units::{Span, Timestamp};

/// The learned lead of one thread.
///
/// The NTS tag covers the transmit time T3, so T3 has to be chosen before the answers of a batch are sealed, and before the
/// kernel has sent the answers in front of it. Both take time: the sealing in proportion to the work (known exactly, in
/// [`Work`]), the sending in proportion to the place in the batch. Only how fast this machine does either is learned, from the
/// clock readings around the last batches.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    /// 2^-32 s per unit of work, times 256.
    seal: Learned,
    /// 2^-32 s per datagram sent, times 256.
    send: Learned,
}

/// Work between choosing T3 and sending, in units of about a nanosecond on a machine that needs no correction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Work(u32);

impl Work {
    /// Writing one answer without NTS.
    pub(crate) const PLAIN: Self = Self(40);

    /// Writing and sealing one answer with so many new cookies.
    pub(crate) const fn nts(cookies: usize) -> Self {
        Self(500 + 90 * cookies as u32)
    }

    /// Both.
    #[must_use]
    pub(crate) const fn and(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl Lead {
    /// What to expect of a machine nothing is known about: 1 ns per unit of work, 4 µs to send a datagram.
    pub(crate) const fn new() -> Self {
        Self { seal: Learned::from_nanos(1), send: Learned::from_nanos(4_000) }
    }

    /// From reading the clock to the moment the answer at `place` leaves, if the whole batch takes `work`.
    pub(crate) fn ahead(&self, work: Work, place: usize) -> Span {
        // The datagrams before it cost their whole time. Of its own, the part before the device has it counts: about half on
        // veth and loopback. Taken a little shorter, because a time stamp from after the departure is the worse mistake.
        let eighths = (place as u64).saturating_mul(8).saturating_add(3);
        let sending = self.send.times(eighths) / 8;
        Span::from_bits((self.seal.times(work.0.into()).saturating_add(sending)).min(MOST))
    }

    /// Learns that `work` took from `chosen` (when T3 was chosen) to `sealed`.
    pub(crate) fn learn_seal(&mut self, work: Work, chosen: Timestamp, sealed: Timestamp) {
        self.seal.learn(sealed - chosen, work.0.into());
    }

    /// Learns that handing `count` datagrams to the kernel took from `sealed` to `sent`.
    pub(crate) fn learn_send(&mut self, count: usize, sealed: Timestamp, sent: Timestamp) {
        self.send.learn(sent - sealed, count as u64);
    }
}

impl Default for Lead {
    fn default() -> Self {
        Self::new()
    }
}

/// A cost per unit, in 2^-32 s times 256; near the least of what was measured lately.
///
/// What disturbs a measurement (an interrupt, a receiver that is woken and takes the processor) only ever makes it longer, so a
/// shorter one is believed soon and a longer one slowly.
#[derive(Clone, Copy, Debug)]
struct Learned(i64);

impl Learned {
    const fn from_nanos(nanos: i64) -> Self {
        Self(Span::from_nanos(nanos).to_bits() << FRACTION)
    }

    fn times(self, units: u64) -> i64 {
        self.0.saturating_mul(units.min(1 << 20) as i64) >> FRACTION
    }

    /// A measurement more than four times what was expected is an interruption, not a cost, and counts as four times.
    /// One that is negative (the clock was stepped back) says nothing.
    fn learn(&mut self, took: Span, units: u64) {
        if units == 0 || took.is_negative() {
            return;
        }
        let measured = (took.to_bits().min(MOST) << FRACTION) / units.min(1 << 20) as i64;
        let bounded = measured.min(self.0.saturating_mul(4)).max(1);
        let share = if bounded < self.0 { 4 } else { 32 };
        self.0 = (self.0 + (bounded - self.0) / share).max(1 << (FRACTION - 1));
    }
}

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
        check_near(lead.ahead(work, 0), 3_000 + 2_500 * 3 / 8);
        check_near(lead.ahead(work, 9), 3_000 + 22_500 + 2_500 * 3 / 8);
        check_near(lead.ahead(Work::default(), 1), 2_500 + 2_500 * 3 / 8);
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
    fn a_machine_disturbed_every_other_time_is_judged_by_the_undisturbed() {
        let mut lead = Lead::new();
        for turn in 0..400 {
            lead.learn_send(1, START, after(if turn % 2 == 0 { 4_000 } else { 60_000 }));
        }
        let ahead = lead.ahead(Work::default(), 0).as_nanos();
        assert!((1_500..2_300).contains(&ahead), "{ahead} ns");
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
            lead.learn_seal(Work(1), START, after(i64::MAX));
        }
        assert!(lead.ahead(Work(u32::MAX), usize::MAX).as_nanos() <= 1_000_000);
        // And it finds its way back.
        for _ in 0..200 {
            lead.learn_send(1, START, after(4_000));
        }
        check_near(lead.ahead(Work::default(), 1), 5_500);
    }
}
