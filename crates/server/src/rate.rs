//! How often each client is answered: a table of fixed size, shared by all threads without a lock.

use std::net::IpAddr;
use std::time::Duration;

use noonmark_units::Mono;

use crate::table::{Pace, PrefixTable, lines_for};

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

/// What each client prefix may still have, in memory of fixed size that all threads share.
pub struct RateTable {
    table: PrefixTable,
    limit: RateLimit,
    pace: Pace,
}

impl RateTable {
    /// A table for `limit` whose hash is keyed with `key`, which must be unknown to clients.
    pub fn new(limit: RateLimit, key: [u64; 2]) -> Self {
        let table = PrefixTable::new(limit.table_size, limit.ipv4_prefix, limit.ipv6_prefix, key);
        Self { table, limit, pace: Pace::new(limit.interval, limit.burst) }
    }

    /// The limit the table keeps.
    pub fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Octets it takes, for good.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Takes one answer out of a purse of the prefix `address` belongs to. False if it is empty; nothing is taken then.
    pub fn take(&self, address: IpAddr, purse: Purse, now: Mono) -> bool {
        let pace = match purse {
            Purse::Plain | Purse::Authentic => self.pace,
            Purse::Kiss | Purse::AuthenticKiss => self.pace.every(KISS_INTERVALS),
        };
        self.table.take(address, purse as u64, pace, now)
    }
}

impl RateLimit {
    /// Ticks of the table from one answer to the next, and how many at once.
    pub(crate) fn pace(&self) -> [u64; 2] {
        Pace::new(self.interval, self.burst).parts()
    }

    /// Lines of the table.
    pub(crate) fn lines(&self) -> usize {
        lines_for(self.table_size)
    }
}

/// A kiss for every so many intervals.
const KISS_INTERVALS: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

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
        assert_eq!(table.memory(), 64 * 8);
        assert!(
            !table.take(busy, Purse::Plain, seconds(1)),
            "strangers with one request each do not push it out"
        );
    }

    #[test]
    fn time_wraps_without_a_client_being_refused_for_years() {
        let table = table(RateLimit { burst: 1, ..LIMIT });
        let client = IpAddr::from([192, 0, 2, 1]);
        // Ticks of 2^18 ns in 40 bits.
        let wrap = ((1_u64 << 40) - 1) << 18;
        assert!(table.take(client, Purse::Plain, Mono(wrap)));
        assert!(!table.take(client, Purse::Plain, Mono(wrap + 1_000_000_000)));
        assert!(table.take(client, Purse::Plain, Mono(wrap + 2_001_000_000)));
    }
}
