//! Which ways questions take out of this machine, and which changes of them make the past worthless.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use noonmark_os::route::Way;
use noonmark_units::Mono;

/// The ways to the servers as they were last looked at, and when to look again.
///
/// Word of a change is followed by one look a second later, whatever else is heard until then: links come up in steps. What counts is the
/// way the kernel would take, so that an address renewed or a neighbour's route that flaps changes nothing. An allowance bounds how
/// often changes are told, for a route to a server of ours may flap as well.
#[derive(Debug)]
pub(crate) struct Ways {
    known: BTreeMap<Target, Option<Way>>,
    look_at: Mono,
    allowance: u32,
    /// When the allowance was last counted up.
    counted_at: Mono,
}

/// Where a way leads: an address, and for one on a link the number of the interface.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    pub(crate) interface: u32,
}

impl Target {
    /// The target of questions to `server`.
    pub(crate) fn of(server: SocketAddr) -> Self {
        let interface = match server {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(server) => server.scope_id(),
        };
        Self { address: server.ip(), interface }
    }

    /// What stands for any server on the other side of the default routes.
    pub(crate) const ANYWHERE: [Self; 2] = [
        Self { address: SOMEWHERE_V4, interface: 0 },
        Self { address: SOMEWHERE_V6, interface: 0 },
    ];
}

impl Ways {
    /// Ways that can be told as often as the allowance says from `now` on.
    pub(crate) const fn new(now: Mono) -> Self {
        Self {
            known: BTreeMap::new(),
            look_at: Mono::NEVER,
            allowance: LARGEST_ALLOWANCE,
            counted_at: now,
        }
    }

    /// Something changed that may concern us.
    pub(crate) fn note_change(&mut self, now: Mono) {
        self.look_at = self.look_at.min(now + SETTLING);
    }

    /// When [`look`](Self::look) wants to be called.
    pub(crate) const fn deadline(&self) -> Mono {
        self.look_at
    }

    /// Remembers the way to a target nothing was known of.
    pub(crate) fn learn(&mut self, target: Target, way: impl FnOnce() -> Option<Way>) {
        if self.known.len() < MOST_TARGETS {
            self.known.entry(target).or_insert_with(way);
        }
    }

    /// Looks at the ways to `targets`, which replace those of before, and tells to which of them another way leads than before. A way
    /// that is gone is not told of, only its return: there is nobody to be asked.
    pub(crate) fn look(
        &mut self,
        targets: &BTreeSet<Target>,
        mut way: impl FnMut(Target) -> Option<Way>,
        now: Mono,
    ) -> BTreeSet<Target> {
        self.look_at = Mono::NEVER;
        self.count_up(now);
        self.known.retain(|target, _| targets.contains(target));
        let mut changed = BTreeSet::new();
        for target in targets.iter().take(MOST_TARGETS) {
            let now_taken = way(*target);
            match self.known.get_mut(target) {
                Some(known) if *known != now_taken => {
                    if now_taken.is_none() {
                        *known = None;
                    } else if self.allowance > 0 {
                        *known = now_taken;
                        changed.insert(*target);
                    } else {
                        // Told later, if it is still so then.
                        self.look_at = self.counted_at + EARNED_IN;
                    }
                }
                Some(_) => {}
                None => {
                    self.known.insert(*target, now_taken);
                }
            }
        }
        if !changed.is_empty() {
            self.allowance -= 1;
        }
        changed
    }

    fn count_up(&mut self, now: Mono) {
        while self.allowance < LARGEST_ALLOWANCE && now >= self.counted_at + EARNED_IN {
            self.allowance += 1;
            self.counted_at = self.counted_at + EARNED_IN;
        }
        if self.allowance == LARGEST_ALLOWANCE {
            self.counted_at = now;
        }
    }
}

/// From word of a change to the look at it.
const SETTLING: Duration = Duration::from_secs(1);
/// So many changes may be told at once: a cable in, a radio off, a tunnel up.
const LARGEST_ALLOWANCE: u32 = 3;
/// And one more after so long.
const EARNED_IN: Duration = Duration::from_secs(256);
/// More than the configuration allows sources, and enough for their pools.
const MOST_TARGETS: usize = 1024;
/// Addresses of documentation (RFC 5737, RFC 3849), to which no route leads but the default. Nothing is ever sent there.
const SOMEWHERE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SOMEWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mono = Mono(1_000_000_000_000);

    fn at(seconds: u64) -> Mono {
        START + Duration::from_secs(seconds)
    }

    fn target(last: u8) -> Target {
        Target { address: IpAddr::from([198, 51, 100, last]), interface: 0 }
    }

    fn through(interface: u32) -> Option<Way> {
        Some(Way { interface, gateway: None, source: None })
    }

    /// Looks at two servers, to which these ways lead, and counts those to which it is another.
    fn look(ways: &mut Ways, first: Option<Way>, second: Option<Way>, now: Mono) -> usize {
        let targets = BTreeSet::from([target(1), target(2)]);
        ways.look(&targets, |asked| if asked == target(1) { first } else { second }, now).len()
    }

    #[test]
    fn the_way_to_each_server_counts_and_nothing_else() {
        let mut ways = Ways::new(START);
        assert_eq!(look(&mut ways, through(2), through(2), at(0)), 0, "first seen");
        assert_eq!(look(&mut ways, through(2), through(2), at(1)), 0, "unchanged");
        assert_eq!(look(&mut ways, through(2), through(3), at(2)), 1);
        assert_eq!(look(&mut ways, through(3), through(2), at(3)), 2);
        assert_eq!(look(&mut ways, None, through(2), at(4)), 0, "gone");
        assert_eq!(look(&mut ways, through(3), through(2), at(5)), 1, "and back");
    }

    #[test]
    fn a_server_learned_of_between_looks_is_compared_with_what_was_then() {
        let mut ways = Ways::new(START);
        ways.learn(target(1), || through(2));
        ways.learn(target(1), || through(9));
        assert_eq!(look(&mut ways, through(2), through(2), at(1)), 0);
        ways.learn(target(3), || through(2));
        assert_eq!(ways.look(&BTreeSet::from([target(3)]), |_| through(4), at(2)).len(), 1);
        assert_eq!(look(&mut ways, through(5), through(5), at(3)), 0, "forgotten in between");
    }

    #[test]
    fn word_of_many_changes_is_followed_by_one_look() {
        let mut ways = Ways::new(START);
        assert_eq!(ways.deadline(), Mono::NEVER);
        for second in 0..100 {
            ways.note_change(at(0) + Duration::from_millis(second * 9));
        }
        assert_eq!(ways.deadline(), at(1));
        look(&mut ways, None, None, at(1));
        assert_eq!(ways.deadline(), Mono::NEVER);
    }

    #[test]
    fn a_route_that_flaps_is_told_of_seldom_and_what_lasts_is_told_in_the_end() {
        let mut ways = Ways::new(START);
        look(&mut ways, through(2), None, at(0));
        let mut told = 0;
        for second in 1..=2560 {
            let way = through(2 + u32::try_from(second % 2).expect("small"));
            told += look(&mut ways, way, None, at(second));
        }
        assert!((10..=13).contains(&told), "{told} of 2560");
        let mut now = at(2560);
        let mut last = 0;
        for _ in 0..4 {
            last += look(&mut ways, through(7), None, now);
            now = now.max(ways.deadline().min(now + Duration::from_secs(1000)));
        }
        assert_eq!(last, 1);
        // After a quiet time three in a row are told again.
        let told: usize =
            (0..5).map(|n| look(&mut ways, through(20 + n), None, at(9000 + u64::from(n)))).sum();
        assert_eq!(told, 3);
    }
}
