//! A table of client prefixes, of fixed size and shared by all threads without a lock, that says who has had how much lately.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use noonmark_units::Mono;

use crate::siphash::siphash_1_3;

/// Client prefixes with the time until which each has used up what it may have.
///
/// Memory is chosen at the start and touched then, so a flood of sources costs neither memory nor page faults. Lines of
/// 64 octets hold eight entries: 24 bits that tell prefixes apart and 40 bits of time. Which line a prefix belongs to, and
/// its 24 bits, come from a keyed hash, so nobody outside can choose prefixes that meet. A new prefix takes the place of the
/// entry in its line that is quiet for longest.
///
/// A limit is kept as a time (the generic cell rate algorithm): each thing taken moves a prefix's time one interval ahead, and one too many
/// is asked for if that time would come to lie more than a burst of intervals ahead of now.
///
/// Threads share the table with relaxed atomics. Two that meet in one entry may let one too many through, never more.
pub(crate) struct PrefixTable {
    lines: Box<[Line]>,
    key: [u64; 2],
    ipv4_prefix: u8,
    ipv6_prefix: u8,
}

/// How fast a prefix may go on taking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pace {
    /// Ticks from one to the next, 1 to 2^33.
    interval: u64,
    /// How many at once after a quiet time, 1 to 255.
    burst: u64,
}

impl Pace {
    /// One in `interval`, rounded down to ticks of 0.26 ms, at least one and at most 2^30 of them; `burst` at once, at least 1.
    pub(crate) fn new(interval: Duration, burst: u8) -> Self {
        let interval = (interval.as_nanos() >> TICK_SHIFT).clamp(1, 1 << 30) as u64;
        Self { interval, burst: u64::from(burst.max(1)) }
    }

    /// One in `times` (at most 8) intervals, and never two at once.
    pub(crate) const fn every(self, times: u64) -> Self {
        Self { interval: self.interval * times, burst: 1 }
    }

    /// Ticks from one to the next, and how many at once.
    pub(crate) const fn parts(self) -> [u64; 2] {
        [self.interval, self.burst]
    }
}

impl PrefixTable {
    /// A table for `entries` prefixes, rounded up to a power of two and at least 8. Of an IPv4 address so many bits count, 0 to 32, of an
    /// IPv6 address so many, 0 to 128. The hash is keyed with `key`, which must be unknown to clients.
    pub(crate) fn new(entries: usize, ipv4_prefix: u8, ipv6_prefix: u8, key: [u64; 2]) -> Self {
        let lines = lines_for(entries);
        // Written one by one rather than asked of the allocator as zero pages, so that every page is there from the start.
        let lines: Box<[Line]> = (0..lines).map(|_| Line::default()).collect();
        for slot in lines.iter().flat_map(|line| &line.0) {
            slot.store(std::hint::black_box(0), Ordering::Relaxed);
        }
        Self { lines, key, ipv4_prefix, ipv6_prefix }
    }

    /// Octets it takes, for good.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// Takes one out of what the prefix `address` belongs to may have at this pace. False if there is none left; nothing is taken then.
    /// What is counted apart for one prefix has another `purse`.
    ///
    /// The pace may change from call to call: who has drawn far ahead at a slow one owes no more than a burst at a faster one.
    pub(crate) fn take(&self, address: IpAddr, purse: u64, pace: Pace, now: Mono) -> bool {
        let Pace { interval, burst } = pace;
        let now = now.0 >> TICK_SHIFT & TIME_MASK;
        let hash = self.hash(address, purse);
        let tag = (hash >> TIME_BITS).max(1);
        let entry_of = |ahead: u64| tag << TIME_BITS | (now + ahead) & TIME_MASK;
        let Some(line) = self.lines.get(hash as usize & (self.lines.len() - 1)) else {
            return true; // there is always a line: the mask is one less than their number
        };
        let mut oldest: Option<(&AtomicU64, u64)> = None;
        for slot in &line.0 {
            let entry = slot.load(Ordering::Relaxed);
            // How far ahead of now the prefix has drawn; what lies in the past counts as nothing.
            let ahead = (entry & TIME_MASK).wrapping_sub(now) & TIME_MASK;
            let ahead = if ahead > TIME_MASK / 2 { 0 } else { ahead };
            if entry >> TIME_BITS == tag {
                if ahead > interval * burst {
                    slot.store(entry_of(interval * burst), Ordering::Relaxed);
                }
                if ahead > interval * (burst - 1) {
                    return false;
                }
                slot.store(entry_of(ahead + interval), Ordering::Relaxed);
                return true;
            }
            let worth = if entry == 0 { 0 } else { ahead + 1 };
            if oldest.is_none_or(|(_, least)| worth < least) {
                oldest = Some((slot, worth));
            }
        }
        if let Some((slot, _)) = oldest {
            slot.store(entry_of(interval), Ordering::Relaxed);
        }
        true
    }

    fn hash(&self, address: IpAddr, purse: u64) -> u64 {
        let prefix = match address.to_canonical() {
            IpAddr::V4(address) => {
                let kept = u32::from(address)
                    & !u32::MAX.checked_shr(self.ipv4_prefix.into()).unwrap_or(0);
                u128::from(Ipv4Addr::from(kept).to_ipv6_mapped())
            }
            IpAddr::V6(address) => {
                u128::from(address) & !u128::MAX.checked_shr(self.ipv6_prefix.into()).unwrap_or(0)
            }
        };
        siphash_1_3(self.key, [(prefix >> 64) as u64, prefix as u64, purse])
    }
}

/// How many lines hold so many entries.
pub(crate) const fn lines_for(entries: usize) -> usize {
    let entries = if entries == 0 { 1 } else { entries };
    entries.div_ceil(SLOTS).next_power_of_two()
}

/// One cache line: eight entries of 24 bits of tag and 40 bits of time. 0 is empty, a tag never is.
#[derive(Default)]
#[repr(align(64))]
struct Line([AtomicU64; SLOTS]);

const SLOTS: usize = 8;
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Time is counted in 2^18 ns (0.26 ms): 40 bits wrap after nine years, half of which tell past from future.
const TICK_SHIFT: u32 = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(milliseconds: u64, burst: u8) -> Pace {
        Pace::new(Duration::from_millis(milliseconds), burst)
    }

    #[test]
    fn odd_sizes_and_intervals_are_rounded() {
        let check = |entries, lines| {
            let table = PrefixTable::new(entries, 32, 64, [1, 2]);
            assert_eq!((table.lines.len(), table.memory()), (lines, lines * 64), "{entries}");
        };
        check(0, 1);
        check(8, 1);
        check(9, 2);
        check(1000, 128);
        check(1 << 20, 1 << 17);
        assert_eq!(Pace::new(Duration::ZERO, 0), Pace { interval: 1, burst: 1 });
        let Pace { interval, burst } = Pace::new(Duration::MAX, 255);
        assert!(interval * (burst + 1) < TIME_MASK / 2);
    }

    #[test]
    fn debt_of_a_slow_pace_is_forgotten_at_a_faster_one() {
        let table = PrefixTable::new(8, 24, 48, [1, 2]);
        let client = IpAddr::from([192, 0, 2, 1]);
        let at = |milliseconds: u64, pace| {
            table.take(client, 0, pace, Mono(3_600_000_000_000 + milliseconds * 1_000_000))
        };
        while at(0, pace(4000, 8)) {}
        assert!(!at(1, pace(4000, 8)), "32 s are drawn ahead");
        assert!(!at(2, pace(10, 8)), "nothing is left at the new pace either");
        assert!(!at(6, pace(10, 8)));
        assert!(at(13, pace(10, 8)), "one interval later there is one");
        assert!(!at(14, pace(10, 8)));
        assert!(at(24, pace(10, 8)));
        assert!(at(25, pace(4000, 8)), "and at a slow pace what was drawn at a fast one is little");
    }
}
