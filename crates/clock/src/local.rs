//! A clock served although no source is usable: by which rule, since when, and how wrong it may be.

use core::time::Duration;

use noonmark_units::{Mono, Span};

/// When a clock that nobody vouches for is served all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalRule {
    /// A clock that followed sources once is served as theirs until it may be wrong by more than this.
    pub distance: Span,
    /// Nothing is served by this rule before sources have brought the clock this close to the truth once; `None`: at once.
    pub activate: Option<Span>,
    /// How long sources must have been gone, or not have come, before.
    pub wait: Duration,
}

/// What the sources are known to say of the clock at an instant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// How wrong the clock may be.
    pub bound: Span,
    /// Whether a source is followed now.
    pub followed: bool,
}

/// Where a [`LocalRule`] stands. The instants are of a clock that counts the time asleep, too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalClock {
    /// When it was first looked for a source.
    pub began: Mono,
    /// When a source was last followed.
    pub last_followed: Option<Mono>,
    /// Whether the clock has been as close to the truth as the rule wants it.
    pub was_close: bool,
    /// Since when the clock is served by the rule, if it is.
    pub since: Option<Mono>,
}

impl LocalClock {
    /// Nothing is known yet; sources are looked for from `now` on.
    #[must_use]
    pub const fn new(now: Mono) -> Self {
        Self { began: now, last_followed: None, was_close: false, since: None }
    }

    /// Takes what is `known` at `now`, and says whether the clock is to be served by `rule`.
    pub fn update(&mut self, rule: &LocalRule, known: Option<Known>, now: Mono) -> bool {
        if let Some(known) = known.filter(|known| known.followed) {
            self.last_followed = Some(now);
            self.was_close |= rule.activate.is_none_or(|close| known.bound < close);
        }
        let is_followed = known.is_some_and(|known| known.followed);
        let is_good = known.is_some_and(|known| known.bound <= rule.distance);
        let waited = now.since(self.last_followed.unwrap_or(self.began)) >= rule.wait;
        let may = rule.activate.is_none() || self.was_close;
        let is_local = !is_followed && !is_good && waited && may;
        self.since = is_local.then(|| self.since.unwrap_or(now));
        is_local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LocalRule =
        LocalRule { distance: Span::from_seconds(1), activate: None, wait: Duration::ZERO };
    const WAIT: LocalRule = LocalRule { wait: Duration::from_secs(300), ..RULE };

    /// `f20` a source is followed and the bound is 20 ms, `h20` none is any more, `-` nothing is known.
    fn known(word: &str) -> Option<Known> {
        let (kind, bound) = word.split_at(1);
        let bound = Span::from_nanos(bound.parse::<i64>().unwrap_or(0) * 1_000_000);
        (kind != "-").then_some(Known { bound, followed: kind == "f" })
    }

    fn at(seconds: u64) -> Mono {
        Mono((1000 + seconds) * 1_000_000_000)
    }

    /// What is known at which second, and whether the rule applies then.
    fn check(rule: LocalRule, history: &[(u64, &str, bool)]) {
        let mut local = LocalClock::new(at(0));
        for (seconds, word, expected) in history {
            let found = local.update(&rule, known(word), at(*seconds));
            assert_eq!(found, *expected, "{rule:?} {history:?} at {seconds} s");
            assert_eq!(found, local.since.is_some());
        }
    }

    #[test]
    fn a_clock_is_local_when_nobody_vouches_for_it() {
        check(RULE, &[(0, "-", true), (5, "f20", false), (9, "h20", false), (99, "h1001", true)]);
        check(RULE, &[(0, "f1500", false), (1, "h1500", true), (2, "f1500", false)]);
        check(LocalRule { distance: Span::ZERO, ..RULE }, &[(0, "f1", false), (1, "h1", true)]);
    }

    #[test]
    fn sources_are_waited_for_at_the_start_and_after_they_are_gone() {
        check(WAIT, &[(0, "-", false), (299, "-", false), (300, "-", true)]);
        check(
            WAIT,
            &[(200, "f20", false), (400, "h2000", false), (499, "-", false), (500, "-", true)],
        );
        check(WAIT, &[(0, "f20", false), (900, "h20", false), (901, "h1200", true)]);
    }

    #[test]
    fn a_clock_that_was_never_close_is_not_local_where_it_must_have_been() {
        let rule = LocalRule { activate: Some(Span::from_nanos(100_000_000)), ..RULE };
        check(rule, &[(0, "-", false), (9, "f200", false), (99, "h5000", false)]);
        check(
            rule,
            &[(0, "-", false), (9, "f99", false), (20, "f300", false), (99, "h5000", true)],
        );
    }

    #[test]
    fn since_when_it_is_local_is_known() {
        let mut local = LocalClock::new(at(0));
        let mut since = |word, seconds| {
            local.update(&RULE, known(word), at(seconds));
            local.since
        };
        assert_eq!(since("-", 3), Some(at(3)));
        assert_eq!(since("-", 9), Some(at(3)));
        assert_eq!(since("f5", 10), None);
        assert_eq!(since("h3000", 12), Some(at(12)));
    }
}
