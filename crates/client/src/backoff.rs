//! How long to leave a key-establishment server alone.

use core::time::Duration;

use noonmark_units::Mono;

/// The waits between attempts at key establishment (RFC 8915 §4.2): 10 s, then half as long again each time,
/// at most 5 days.
///
/// Only a verified answer under the new keys calls [`Backoff::reset`]: a server that hands out keys which do not
/// work must not be asked for more of them at full speed.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    wait: Duration,
    ready_at: Mono,
    last_attempt: Option<Mono>,
}

impl Backoff {
    /// The first attempt may come at once.
    pub(crate) const fn new(now: Mono) -> Self {
        Self { wait: FIRST_WAIT, ready_at: now, last_attempt: None }
    }

    /// When the next attempt may begin.
    pub(crate) const fn ready_at(&self) -> Mono {
        self.ready_at
    }

    /// Notes that an attempt begins now.
    pub(crate) fn attempt(&mut self, now: Mono) {
        self.last_attempt = Some(now);
        self.ready_at = now + self.wait;
        self.wait = (self.wait * 3 / 2).min(LONGEST_WAIT);
    }

    /// What made attempts fail may be over: the next may come now, though not within the first wait of the last. The waits go on growing.
    pub(crate) fn hasten(&mut self, now: Mono) {
        let soonest = self.last_attempt.map_or(now, |last| now.max(last + FIRST_WAIT));
        self.ready_at = self.ready_at.min(soonest);
    }

    /// Forgets past failures; the next attempt may come at once.
    pub(crate) fn reset(&mut self, now: Mono) {
        *self = Self::new(now);
    }
}

const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(432_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_half_and_end_at_five_days() {
        let mut backoff = Backoff::new(Mono(7));
        assert_eq!(backoff.ready_at(), Mono(7));
        let mut waits = Vec::new();
        for _ in 0..60 {
            let now = backoff.ready_at();
            backoff.attempt(now);
            waits.push(backoff.ready_at().since(now).as_secs_f64());
        }
        for (n, wait) in waits.iter().enumerate() {
            let expected = (10.0 * 1.5f64.powi(i32::try_from(n).unwrap())).min(432_000.0);
            assert!((wait - expected).abs() < 1e-3, "wait {n} is {wait}, not {expected}");
        }
    }

    #[test]
    fn a_hastened_attempt_keeps_its_distance_and_shortens_no_later_wait() {
        let second = |seconds: u64| Mono(seconds * 1_000_000_000);
        let mut backoff = Backoff::new(second(0));
        for _ in 0..10 {
            let now = backoff.ready_at();
            backoff.attempt(now);
        }
        let (last, waits_until) = (backoff.last_attempt.unwrap(), backoff.ready_at());
        backoff.hasten(last + Duration::from_secs(1));
        assert_eq!(backoff.ready_at(), last + Duration::from_secs(10));
        backoff.hasten(waits_until + Duration::from_secs(100));
        assert_eq!(backoff.ready_at(), last + Duration::from_secs(10));
        let now = backoff.ready_at();
        backoff.attempt(now);
        assert!(backoff.ready_at().since(now) > waits_until.since(last));
    }

    #[test]
    fn a_reset_allows_an_attempt_at_once() {
        let mut backoff = Backoff::new(Mono(0));
        backoff.attempt(Mono(0));
        backoff.attempt(Mono(1));
        backoff.reset(Mono(2));
        assert_eq!(backoff.ready_at(), Mono(2));
        backoff.attempt(Mono(2));
        assert_eq!(backoff.ready_at(), Mono(2) + Duration::from_secs(10));
    }
}
