//! Who goes first when there are more requests than answers: prefixes on a list, then whoever has a cookie, by fair shares.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use noonmark_units::Mono;

use crate::prefixes::Prefixes;
use crate::table::{Pace, PrefixTable};

/// What overload leaves to whom. Nothing in it matters while a [`Load`](crate::Load) says that there is none.
pub struct Shedding {
    priority: Vec<IpNet>,
    listed: Prefixes<bool>,
    shares: Option<PrefixTable>,
}

impl Shedding {
    /// Nobody is on the list, and requests whose cookie opens are not shed.
    pub const fn none() -> Self {
        Self { priority: Vec::new(), listed: Prefixes::all(false), shares: None }
    }

    /// Clients of the prefixes in `priority` are never shed; whose cookie opens is shed by fair shares for each IPv4 /24 and IPv6 /48. `key`
    /// must be unknown to clients: it keys the hash of the table of shares.
    pub fn new(priority: Vec<IpNet>, key: [u64; 2]) -> Self {
        let listed = Prefixes::new(priority.iter().map(|prefix| (*prefix, true)), false);
        let shares = PrefixTable::new(SHARES, IPV4_PREFIX, IPV6_PREFIX, key);
        Self { priority, listed, shares: Some(shares) }
    }

    /// The list.
    pub fn priority(&self) -> &[IpNet] {
        &self.priority
    }

    /// Octets the table of shares takes, for good.
    pub fn memory(&self) -> usize {
        self.shares.as_ref().map_or(0, PrefixTable::memory)
    }

    /// Whether a client at `address` is on the list.
    pub(crate) fn is_listed(&self, address: IpAddr) -> bool {
        self.listed.get(address)
    }

    /// Takes one answer out of the share of the prefix `address` belongs to, which has one in `interval`. False if none is left.
    pub(crate) fn take_share(&self, address: IpAddr, interval: Duration, now: Mono) -> bool {
        let pace = Pace::new(interval, BURST);
        self.shares.as_ref().is_none_or(|shares| shares.take(address, 0, pace, now))
    }
}

impl Default for Shedding {
    fn default() -> Self {
        Self::none()
    }
}

/// Prefixes with a share of their own at a time: 128 KiB.
const SHARES: usize = 1 << 14;
/// What an operator gets at least where addresses are routed in the whole Internet, so nobody has many of them cheaply.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 48;
/// What a client asks at its start, in a row.
const BURST: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_share_apart_and_the_list_is_looked_up_in_both_families() {
        let priority = ["10.1.0.0/16", "2001:db8:1::/48"].map(|prefix| prefix.parse().unwrap());
        let shedding = Shedding::new(priority.to_vec(), [1, 2]);
        let listed = |address: &str| shedding.is_listed(address.parse().unwrap());
        assert!(listed("10.1.255.1") && listed("2001:db8:1:ffff::1") && listed("::ffff:10.1.0.1"));
        assert!(!listed("10.2.0.1") && !listed("2001:db8:2::1"));
        let take = |address: &str| {
            let now = Mono(60_000_000_000);
            shedding.take_share(address.parse().unwrap(), Duration::from_secs(1), now)
        };
        while take("192.0.2.1") {}
        assert!(!take("192.0.2.200"), "the same /24");
        assert!(take("192.0.3.1"), "another");
        while take("2001:db8::1") {}
        assert!(!take("2001:db8:0:ffff::1"), "the same /48");
        assert!(take("2001:db8:5::1"), "another");
        assert_eq!((shedding.memory(), Shedding::none().memory()), (128 << 10, 0));
        assert!((0..100).all(|_| {
            let now = Mono(60_000_000_000);
            Shedding::none().take_share("192.0.2.1".parse().unwrap(), Duration::from_secs(1), now)
        }));
    }
}
