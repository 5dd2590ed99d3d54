use std::time::Duration;

use noonmark_units::Span;

/// How much was corrected in each stretch of a sliding window, and how much may be.
///
/// Time is cut into slots; what was corrected counts until the whole of its slot has left the window, so no window of the full
/// length, wherever it begins, ever holds more than was allowed. Fixed in size, whatever happens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Budget<const SLOTS: usize> {
    slot: Duration,
    /// Corrections in 2⁻³² s by slot number modulo `SLOTS`: that of `newest` and the `SLOTS` − 1 before it.
    spent: [u64; SLOTS],
    newest: u64,
}

impl<const SLOTS: usize> Budget<SLOTS> {
    /// Nothing spent yet. The window is `SLOTS` − 1 slots long.
    pub(super) fn new(slot: Duration) -> Self {
        Self { slot, spent: [0; SLOTS], newest: 0 }
    }

    /// What counts now, `lived` after the beginning.
    pub(super) fn used(&mut self, lived: Duration) -> Span {
        self.advance(lived);
        Span::from_bits(bounded(self.spent.iter().fold(0, |sum, &part| sum.saturating_add(part))))
    }

    /// Counts a correction made at once.
    pub(super) fn spend(&mut self, lived: Duration, amount: Span) {
        self.advance(lived);
        // What comes with a time gone by counts as if it came now.
        let slot = &mut self.spent[place::<SLOTS>(self.newest)];
        *slot = slot.saturating_add(amount.abs().to_bits().cast_unsigned());
    }

    /// Counts a correction made evenly between two moments, at `rate` seconds per second.
    pub(super) fn spend_evenly(&mut self, from: Duration, to: Duration, rate: f64) {
        // What is older than the window would be forgotten at once.
        let length = self.slot.saturating_mul(u32::try_from(SLOTS).unwrap_or(u32::MAX));
        let mut at = from.max(to.saturating_sub(length));
        while at < to {
            let end = self.slot.saturating_mul(slot_of(at + self.slot, self.slot)).min(to);
            // Rounded up, so that many short stretches cannot add up to more than was counted.
            let amount =
                Span::from_seconds_f64((end - at).as_secs_f64() * rate) + Span::from_bits(1);
            self.spend(at, amount);
            at = end;
        }
    }

    fn advance(&mut self, lived: Duration) {
        let now = u64::from(slot_of(lived, self.slot));
        let first_new = self.newest.saturating_add(1).max(now.saturating_sub(SLOTS as u64 - 1));
        for slot in first_new..=now {
            self.spent[place::<SLOTS>(slot)] = 0;
        }
        self.newest = self.newest.max(now);
    }

    /// 8 octets for the newest slot's number, then 8 for each slot in the order they are kept; most significant first.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.newest.to_be_bytes());
        for spent in self.spent {
            out.extend(spent.to_be_bytes());
        }
    }

    /// Takes what [`Budget::write`] wrote from the front of `octets`; `None` if they are too few.
    pub(super) fn read(slot: Duration, octets: &mut &[u8]) -> Option<Self> {
        let mut budget = Self::new(slot);
        budget.newest = u64::from_be_bytes(super::take(octets)?);
        for spent in &mut budget.spent {
            *spent = u64::from_be_bytes(super::take(octets)?);
        }
        Some(budget)
    }
}

/// The number of the slot a moment falls in.
fn slot_of(lived: Duration, slot: Duration) -> u32 {
    // 2³² slots of a minute are 8000 years.
    u32::try_from(lived.as_nanos() / slot.as_nanos().max(1)).unwrap_or(u32::MAX)
}

fn place<const SLOTS: usize>(slot: u64) -> usize {
    // A remainder of a usize fits one.
    (slot % SLOTS as u64) as usize
}

fn bounded(bits: u64) -> i64 {
    i64::try_from(bits).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn minutes(count: u32) -> Duration {
        MINUTE * count
    }

    #[test]
    fn corrections_count_for_the_whole_window_and_then_no_more() {
        let mut budget = Budget::<4>::new(MINUTE);
        budget.spend(minutes(10), Span::from_seconds(-2));
        for (at, expected) in [(10, 2), (11, 2), (13, 2), (14, 0)] {
            assert_eq!(budget.used(minutes(at)), Span::from_seconds(expected), "minute {at}");
        }
        assert_eq!(budget.used(minutes(11)), Span::ZERO, "time does not go back");
    }

    #[test]
    fn even_corrections_are_spread_over_their_slots() {
        let mut budget = Budget::<4>::new(MINUTE);
        budget.spend_evenly(minutes(1), minutes(3), 0.5);
        let check = |budget: &mut Budget<4>, at, seconds| {
            let off = budget.used(minutes(at)) - Span::from_seconds(seconds);
            assert!(!off.is_negative() && off < Span::from_nanos(10), "minute {at}: {off}");
        };
        check(&mut budget, 3, 60);
        check(&mut budget, 5, 30);
        let mut long = Budget::<4>::new(MINUTE);
        long.spend_evenly(Duration::ZERO, Duration::from_secs(u64::from(u32::MAX)), 0.5);
        assert!(long.used(Duration::from_secs(u64::from(u32::MAX))) <= Span::from_seconds(120));
    }

    #[test]
    fn octets_bring_everything_back() {
        let mut budget = Budget::<4>::new(MINUTE);
        budget.spend(minutes(7), Span::from_seconds(3));
        budget.spend(minutes(8), Span::from_seconds(5));
        let mut octets = Vec::new();
        budget.write(&mut octets);
        let mut rest = octets.as_slice();
        assert_eq!(Budget::read(MINUTE, &mut rest), Some(budget));
        assert!(rest.is_empty());
        assert_eq!(Budget::<4>::read(MINUTE, &mut &octets[1..]), None);
    }
}
