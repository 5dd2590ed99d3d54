//! Rules of access as the program in the kernel looks them up: sorted addresses at which another rule begins.

use std::sync::atomic::Ordering;

use noonmark_os::bpf::Shared;

use crate::{AccessRules, Action};

/// The rules, with the places behind them filled up.
pub(super) struct Rules {
    v4: Vec<(u32, Action)>,
    v6: Vec<(u128, Action)>,
}

impl Rules {
    /// `None` if there are more than there is room for.
    pub(super) fn new(access: &AccessRules) -> Option<Self> {
        let (v4, v6) = (access.prefixes().changes_v4(), access.prefixes().changes_v6());
        (v4.len() < ROOM && v6.len() < ROOM).then_some(Self { v4, v6 })
    }

    /// Writes them, each with the highest address behind the last.
    pub(super) fn write(&self, rules4: &Shared, rules6: &Shared) {
        let words4 =
            self.v4.iter().map(|(first, action)| u64::from(*first) << 32 | number(*action));
        let words6 = self
            .v6
            .iter()
            .flat_map(|(first, action)| [(*first >> 64) as u64, *first as u64, number(*action)]);
        let fill = std::iter::repeat(u64::MAX);
        for (place, word) in rules4.words().iter().zip(words4.chain(fill.clone())) {
            place.store(word, Ordering::Relaxed);
        }
        for (place, word) in rules6.words().iter().zip(words6.chain(fill)) {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// The highest power of two that is not above their number.
    pub(super) fn first_step4(&self) -> u64 {
        1 << self.v4.len().ilog2()
    }

    /// The same of IPv6.
    pub(super) fn first_step6(&self) -> u64 {
        1 << self.v6.len().ilog2()
    }
}

fn number(action: Action) -> u64 {
    match action {
        Action::Allow => 0,
        Action::Deny => 1,
        Action::Ignore => 2,
    }
}

/// Places for each family; the last one is always free.
const ROOM: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_begins_at_the_first_address_and_too_many_are_refused() {
        let rules = |count: u32| {
            let prefix = |n: u32| format!("10.{}.{}.0/24", n >> 8, n & 255).parse().unwrap();
            let listed = (0..count).map(|n| (prefix(2 * n), Action::Deny));
            Rules::new(&AccessRules::new(listed, Action::Allow))
        };
        let none = rules(0).unwrap();
        assert_eq!((none.v4.as_slice(), none.first_step4()), (&[(0, Action::Allow)][..], 1));
        // Each begins and ends.
        let some = rules(3).unwrap();
        assert_eq!((some.v4.len(), some.first_step4(), some.first_step6()), (7, 4, 1));
        assert!(rules(2047).is_some());
        assert!(rules(2048).is_none());
    }
}
