//! How many sessions there are at a time, in all and per client prefix.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Seats for sessions: a number in all, and a number for each client prefix.
///
/// Memory is fixed at the start: a prefix is remembered only while it holds a seat, so there are never more prefixes than
/// seats. The table's hash is keyed at random, so nobody outside can choose prefixes that meet in it.
#[derive(Clone)]
pub(crate) struct Seats {
    taken: Arc<Mutex<Taken>>,
}

/// How many sessions may run at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SeatLimits {
    /// In all.
    pub total: usize,
    /// From one client prefix.
    pub per_prefix: usize,
    /// Length of the prefix that counts as one IPv4 client, 0 to 32; more counts as 32.
    pub ipv4_prefix: u8,
    /// Length of the prefix that counts as one IPv6 client, 0 to 128; more counts as 128.
    pub ipv6_prefix: u8,
}

impl Default for SeatLimits {
    /// 512 in all, 32 from an IPv4 address or an IPv6 /64.
    fn default() -> Self {
        Self { total: 512, per_prefix: 32, ipv4_prefix: 32, ipv6_prefix: 64 }
    }
}

/// A taken seat; free again when dropped.
pub(crate) struct Seat {
    prefix: Prefix,
    taken: Arc<Mutex<Taken>>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    /// All are taken.
    Total,
    /// The prefix has all it may have.
    Prefix,
}

struct Taken {
    limits: SeatLimits,
    total: usize,
    by_prefix: HashMap<Prefix, usize>,
}

/// An address with everything behind the prefix set to zero.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Prefix {
    V4(u32),
    V6(u128),
}

impl Seats {
    pub(crate) fn new(limits: SeatLimits) -> Self {
        let by_prefix = HashMap::with_capacity(room(limits));
        Self { taken: Arc::new(Mutex::new(Taken { limits, total: 0, by_prefix })) }
    }

    /// Other limits for those who come from now on; nobody loses a seat.
    pub(crate) fn set_limits(&self, limits: SeatLimits) {
        let mut taken = locked(&self.taken);
        let held = taken.by_prefix.len();
        taken.by_prefix.reserve(room(limits).saturating_sub(held));
        taken.limits = limits;
    }

    /// A seat for a client at `address`.
    pub(crate) fn take(&self, address: IpAddr) -> Result<Seat, Full> {
        let mut taken = locked(&self.taken);
        let limits = taken.limits;
        let prefix = limits.prefix_of(address);
        let of_prefix = taken.by_prefix.get(&prefix).copied().unwrap_or(0);
        if of_prefix >= limits.per_prefix {
            return Err(Full::Prefix);
        }
        if taken.total >= limits.total {
            return Err(Full::Total);
        }
        taken.by_prefix.insert(prefix, of_prefix + 1);
        taken.total += 1;
        Ok(Seat { prefix, taken: Arc::clone(&self.taken) })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        locked(&self.taken).total
    }
}

impl SeatLimits {
    fn prefix_of(self, address: IpAddr) -> Prefix {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let hidden = 32u32.saturating_sub(u32::from(self.ipv4_prefix));
                Prefix::V4(address.to_bits() & u32::MAX.checked_shl(hidden).unwrap_or(0))
            }
            IpAddr::V6(address) => {
                let hidden = 128u32.saturating_sub(u32::from(self.ipv6_prefix));
                Prefix::V6(address.to_bits() & u128::MAX.checked_shl(hidden).unwrap_or(0))
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = locked(&self.taken);
        taken.total = taken.total.saturating_sub(1);
        if let Some(of_prefix) = taken.by_prefix.get_mut(&self.prefix) {
            *of_prefix = of_prefix.saturating_sub(1);
            if *of_prefix == 0 {
                taken.by_prefix.remove(&self.prefix);
            }
        }
    }
}

/// Twice the most prefixes there can be: only then does the table clear its traces of removed ones where it stands instead of
/// growing once more.
fn room(limits: SeatLimits) -> usize {
    limits.total.saturating_add(1).saturating_mul(2)
}

/// Two numbers are right whatever a panicking holder was about to do.
fn locked(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn seats_run_out_in_all_and_per_prefix_and_come_back() {
        let limits = SeatLimits { total: 3, per_prefix: 2, ..SeatLimits::default() };
        let seats = Seats::new(limits);
        let first = seats.take(ip("192.0.2.1")).ok();
        let second = seats.take(ip("192.0.2.1")).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(seats.take(ip("192.0.2.1")).err(), Some(Full::Prefix));
        let third = seats.take(ip("192.0.2.2")).ok();
        assert!(third.is_some());
        assert_eq!(seats.take(ip("192.0.2.3")).err(), Some(Full::Total));
        drop(first);
        assert_eq!(seats.taken(), 2);
        assert!(seats.take(ip("192.0.2.1")).is_ok());
        drop((second, third));
        assert_eq!((seats.taken(), locked(&seats.taken).by_prefix.len()), (0, 0));
    }

    #[test]
    fn prefix_lengths_decide_who_is_one_client() {
        let check = |ipv4_prefix, ipv6_prefix, one: &str, other: &str, same: bool| {
            let limits = SeatLimits { total: 9, per_prefix: 1, ipv4_prefix, ipv6_prefix };
            let seats = Seats::new(limits);
            let _held = seats.take(ip(one));
            assert_eq!(seats.take(ip(other)).is_err(), same, "{limits:?} {one} {other}");
        };
        check(32, 64, "192.0.2.1", "192.0.2.2", false);
        check(24, 64, "192.0.2.1", "192.0.2.2", true);
        check(24, 64, "192.0.2.1", "192.0.3.1", false);
        check(0, 64, "192.0.2.1", "198.51.100.1", true);
        check(255, 64, "192.0.2.1", "192.0.2.2", false);
        check(32, 64, "2001:db8::1", "2001:db8::ffff:0:1", true);
        check(32, 64, "2001:db8::1", "2001:db8:0:1::1", false);
        check(32, 48, "2001:db8::1", "2001:db8:0:1::1", true);
        check(32, 0, "2001:db8::1", "fe80::1", true);
        check(32, 255, "::1", "::2", false);
        check(32, 0, "::ffff:192.0.2.1", "::1", false);
        check(32, 0, "::ffff:192.0.2.1", "192.0.2.1", true);
    }

    #[test]
    fn new_limits_hold_for_those_who_come_and_take_nobody_s_seat() {
        let seats = Seats::new(SeatLimits { total: 2, per_prefix: 2, ..SeatLimits::default() });
        let held = [seats.take(ip("192.0.2.1")).ok(), seats.take(ip("192.0.2.2")).ok()];
        seats.set_limits(SeatLimits { total: 3, per_prefix: 2, ipv4_prefix: 24, ipv6_prefix: 64 });
        let third = seats.take(ip("192.0.2.3")).ok();
        assert!(third.is_some());
        seats.set_limits(SeatLimits { total: 1, per_prefix: 1, ..SeatLimits::default() });
        assert_eq!(seats.take(ip("198.51.100.1")).err(), Some(Full::Total));
        drop((held, third));
        assert_eq!((seats.taken(), locked(&seats.taken).by_prefix.len()), (0, 0));
    }

    #[test]
    fn table_never_grows() {
        let seats = Seats::new(SeatLimits { total: 100, ..SeatLimits::default() });
        let room = locked(&seats.taken).by_prefix.capacity();
        for round in 0..50u32 {
            let held: Vec<_> =
                (0..200u32).map(|n| seats.take(IpAddr::V4((round * 200 + n).into()))).collect();
            assert_eq!(held.iter().filter(|seat| seat.is_ok()).count(), 100);
        }
        assert!(locked(&seats.taken).by_prefix.capacity() <= room);
    }
}
