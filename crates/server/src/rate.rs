//! How often each client is answered: a table of fixed size, shared by all threads without a lock.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use noonmark_units::Mono;

/// How much a client prefix may ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Mean time between two answers that a prefix may reach for good.
    pub interval: Duration,
    /// Answers that may come at once after a quiet time, at least 1.
    pub burst: u8,
    /// One in this many requests over the limit is answered all the same, so that a flood sent in a client's name cannot
    /// starve the client; 0: none.
    pub leak: u8,
    /// Prefixes remembered at a time. Rounded up to a power of two, at least 8; each takes 8 octets.
    pub table_size: usize,
    /// Length of the prefix that counts as one IPv4 client, 0 to 32.
    pub ipv4_prefix: u8,
    /// Length of the prefix that counts as one IPv6 client, 0 to 128.
    pub ipv6_prefix: u8,
}

impl Default for RateLimit {
    /// One answer in 4 s with bursts of 16, one in 4 over the limit leaked, 65 536 prefixes (512 KiB), /32 and /64.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(4),
            burst: 16,
            leak: 4,
            table_size: 1 << 16,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }
}

/// What is counted apart for each client prefix.
///
/// An authentic request draws on a purse of its own: a flood with a forged source address cannot empty it, because nobody but
/// the client can make such a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purse {
    /// Answers to requests that prove nothing.
    Plain,
    /// Answers to requests whose NTS tag was right.
    Authentic,
    /// Kisses to requests that prove nothing, `NTSN` among them: one in eight intervals.
    Kiss,
    /// Authenticated kisses: one in eight intervals.
    AuthenticKiss,
}

/// Client prefixes with the time until which each has used up its answers.
///
/// Memory is chosen at the start and touched then, so a flood of sources costs neither memory nor page faults. Lines of
/// 64 octets hold eight entries: 24 bits that tell prefixes apart and 40 bits of time. Which line a prefix belongs to, and
/// its 24 bits, come from a keyed hash, so nobody outside can choose prefixes that meet. A new prefix takes the place of the
/// entry in its line that is quiet for longest.
///
/// The limit is kept as a time (the generic cell rate algorithm): each answer moves a prefix's time one interval ahead, and a
/// request is over the limit if that time would come to lie more than `burst` intervals ahead of now.
///
/// Threads share the table with relaxed atomics. Two that meet in one entry may let one answer too many through, never more.
pub struct RateTable {
    lines: Box<[Line]>,
    key: [u64; 2],
    limit: RateLimit,
    interval: u64,
}

impl RateTable {
    /// A table for `limit` whose hash is keyed with `key`, which must be unknown to clients.
    pub fn new(limit: RateLimit, key: [u64; 2]) -> Self {
        let lines = limit.table_size.max(1).div_ceil(SLOTS).next_power_of_two();
        // Written one by one rather than asked of the allocator as zero pages, so that every page is there from the start.
        let lines: Box<[Line]> = (0..lines).map(|_| Line::default()).collect();
        for slot in lines.iter().flat_map(|line| &line.0) {
            slot.store(std::hint::black_box(0), Ordering::Relaxed);
        }
        let interval = (limit.interval.as_nanos() >> TICK_SHIFT).clamp(1, 1 << 30) as u64;
        Self { lines, key, limit, interval }
    }

    /// The limit the table keeps.
    pub fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Takes one answer out of a purse of the prefix `address` belongs to. False if it is empty; nothing is taken then.
    pub fn take(&self, address: IpAddr, purse: Purse, now: Mono) -> bool {
        let (interval, burst) = match purse {
            Purse::Plain | Purse::Authentic => (self.interval, u64::from(self.limit.burst.max(1))),
            Purse::Kiss | Purse::AuthenticKiss => (self.interval * KISS_INTERVALS, 1),
        };
        let now = now.0 >> TICK_SHIFT & TIME_MASK;
        let hash = self.hash(address, purse);
        let tag = (hash >> TIME_BITS).max(1);
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
                if ahead > interval * (burst - 1) {
                    return false;
                }
                slot.store(
                    tag << TIME_BITS | (now + ahead + interval) & TIME_MASK,
                    Ordering::Relaxed,
                );
                return true;
            }
            let worth = if entry == 0 { 0 } else { ahead + 1 };
            if oldest.is_none_or(|(_, least)| worth < least) {
                oldest = Some((slot, worth));
            }
        }
        if let Some((slot, _)) = oldest {
            slot.store(tag << TIME_BITS | (now + interval) & TIME_MASK, Ordering::Relaxed);
        }
        true
    }

    fn hash(&self, address: IpAddr, purse: Purse) -> u64 {
        let prefix = match address.to_canonical() {
            IpAddr::V4(address) => {
                let kept = u32::from(address)
                    & !u32::MAX.checked_shr(self.limit.ipv4_prefix.into()).unwrap_or(0);
                u128::from(Ipv4Addr::from(kept).to_ipv6_mapped())
            }
            IpAddr::V6(address) => {
                u128::from(address)
                    & !u128::MAX.checked_shr(self.limit.ipv6_prefix.into()).unwrap_or(0)
            }
        };
        siphash_1_3(self.key, [(prefix >> 64) as u64, prefix as u64, purse as u64])
    }
}

/// SipHash-1-3 (Aumasson and Bernstein) of three words, which stand for 24 octets in little-endian order.
fn siphash_1_3(key: [u64; 2], words: [u64; 3]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    };
    let length = (size_of_val(&words) as u64) << 56;
    for word in words.into_iter().chain([length]) {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
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
/// A kiss for every so many intervals.
const KISS_INTERVALS: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;
    use std::net::Ipv6Addr;

    const DOCUMENTATION: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

    fn table(limit: RateLimit) -> RateTable {
        RateTable::new(limit, [1, 2])
    }

    fn seconds(s: u64) -> Mono {
        Mono(s * 1_000_000_000)
    }

    const LIMIT: RateLimit = RateLimit {
        interval: Duration::from_secs(2),
        burst: 3,
        leak: 0,
        table_size: 64,
        ipv4_prefix: 32,
        ipv6_prefix: 64,
    };

    #[test]
    fn a_burst_is_answered_then_one_in_an_interval() {
        let table = table(LIMIT);
        let client = IpAddr::from([192, 0, 2, 1]);
        let at = |s| table.take(client, Purse::Plain, seconds(s));
        assert_eq!([at(100), at(100), at(100), at(100), at(100)], [true, true, true, false, false]);
        assert_eq!(
            [at(101), at(103), at(103), at(105), at(105)],
            [false, true, false, true, false]
        );
        // Quiet for long enough, and the whole burst is back, but no more than that.
        assert_eq!([at(1000), at(1000), at(1000), at(1000)], [true, true, true, false]);
    }

    #[test]
    fn a_steady_client_within_the_limit_is_never_refused() {
        let table = table(LIMIT);
        for step in 0..10_000 {
            let now = Mono(step * 2_001_000_000);
            assert!(table.take(IpAddr::from([192, 0, 2, 1]), Purse::Plain, now), "answer {step}");
        }
    }

    #[test]
    fn purses_and_prefixes_are_apart() {
        let table = table(LIMIT);
        let one = IpAddr::from([192, 0, 2, 1]);
        let empty = |client, purse| {
            while table.take(client, purse, seconds(5)) {}
        };
        empty(one, Purse::Plain);
        assert!(table.take(one, Purse::Authentic, seconds(5)));
        assert!(table.take(IpAddr::from([192, 0, 2, 2]), Purse::Plain, seconds(5)));
        assert!(table.take(one, Purse::Kiss, seconds(5)));
        assert!(!table.take(one, Purse::Kiss, seconds(20)), "a kiss only every eight intervals");
        assert!(table.take(one, Purse::Kiss, seconds(22)));
        assert!(table.take(one, Purse::AuthenticKiss, seconds(5)));
    }

    #[test]
    fn a_prefix_counts_as_one_client() {
        let check = |limit: RateLimit, one: IpAddr, other: IpAddr, same: bool| {
            let table = table(RateLimit { burst: 1, ..limit });
            assert!(table.take(one, Purse::Plain, seconds(9)));
            assert_eq!(!table.take(other, Purse::Plain, seconds(9)), same, "{one} and {other}");
        };
        let six = |low: u128| IpAddr::from(Ipv6Addr::from(u128::from(DOCUMENTATION) | low));
        check(LIMIT, six(1), six(u128::from(u64::MAX)), true);
        check(LIMIT, six(1), six(1 << 64), false);
        check(RateLimit { ipv6_prefix: 128, ..LIMIT }, six(1), six(2), false);
        check(RateLimit { ipv6_prefix: 0, ..LIMIT }, six(1), six(1 << 90), true);
        let four = |last| IpAddr::from([198, 51, 100, last]);
        check(LIMIT, four(1), four(2), false);
        check(RateLimit { ipv4_prefix: 24, ..LIMIT }, four(1), four(200), true);
        check(RateLimit { ipv4_prefix: 0, ..LIMIT }, four(1), IpAddr::from([1, 1, 1, 1]), true);
        check(LIMIT, four(1), Ipv4Addr::from([198, 51, 100, 1]).to_ipv6_mapped().into(), true);
    }

    #[test]
    fn memory_stays_and_the_busiest_are_remembered_through_a_flood() {
        let table = table(LIMIT);
        let busy = IpAddr::from([192, 0, 2, 1]);
        while table.take(busy, Purse::Plain, seconds(1)) {}
        for source in 0..100_000_u32 {
            let _ =
                table.take(Ipv4Addr::from(0x0a00_0000 | source).into(), Purse::Plain, seconds(1));
        }
        assert_eq!(table.lines.len() * SLOTS, 64);
        assert!(
            !table.take(busy, Purse::Plain, seconds(1)),
            "strangers with one request each do not push it out"
        );
    }

    #[test]
    fn time_wraps_without_a_client_being_refused_for_years() {
        let table = table(RateLimit { burst: 1, ..LIMIT });
        let client = IpAddr::from([192, 0, 2, 1]);
        let wrap = TIME_MASK << TICK_SHIFT;
        assert!(table.take(client, Purse::Plain, Mono(wrap)));
        assert!(!table.take(client, Purse::Plain, Mono(wrap + 1_000_000_000)));
        assert!(table.take(client, Purse::Plain, Mono(wrap + 2_001_000_000)));
    }

    #[test]
    fn odd_sizes_and_intervals_are_rounded() {
        let check = |table_size, lines| {
            assert_eq!(table(RateLimit { table_size, ..LIMIT }).lines.len(), lines, "{table_size}");
        };
        check(0, 1);
        check(8, 1);
        check(9, 2);
        check(1000, 128);
        check(1 << 20, 1 << 17);
        assert_eq!(table(RateLimit { interval: Duration::ZERO, ..LIMIT }).interval, 1);
        assert!(
            table(RateLimit { interval: Duration::MAX, ..LIMIT }).interval < TIME_MASK / 2 / 256
        );
    }

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn the_hash_is_that_of_the_standard_library() {
        for words in [[0, 0, 0], [1, 2, 3], [u64::MAX, 0x0123_4567_89ab_cdef, 1 << 63]] {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(&words.map(u64::to_le_bytes).concat());
            assert_eq!(siphash_1_3([0, 0], words), hasher.finish());
        }
    }
}
