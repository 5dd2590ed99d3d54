//! How long to wait after a connection could not be accepted.

use std::io;
use std::time::{Duration, Instant};

use crate::counter::Counter;

/// Waits that double while trouble lasts.
///
/// Without descriptors or memory the connection stays in the queue and the listener stays readable: to try again at once
/// would burn a core and free nothing.
pub(crate) struct Pause {
    next: Duration,
    /// When the trouble was last spoken of.
    told: Option<Instant>,
}

/// Whoever has all connections can let go of one and take it again, so the end of a trouble does not count for what is said of it.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

impl Pause {
    pub(crate) fn new() -> Self {
        Self { next: SHORTEST, told: None }
    }

    /// A connection was accepted.
    pub(crate) fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// Where to count `error`, and how long to wait before accepting again. No wait if the error was the connection's own,
    /// which has left the queue by then (accept(2), "Error handling").
    pub(crate) fn after(&mut self, error: &io::Error) -> (Counter, Option<Duration>) {
        if is_the_connections_own(error) {
            return (Counter::AcceptFailed, None);
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        let counter =
            if is_exhaustion(error) { Counter::AcceptExhausted } else { Counter::AcceptFailed };
        (counter, Some(wait))
    }

    /// Whether the trouble at `now` is worth a line: at most once a minute.
    pub(crate) fn is_to_be_told(&mut self, now: Instant) -> bool {
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }
}

fn is_the_connections_own(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::Interrupted
            | Kind::PermissionDenied
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::TimedOut
    )
}

fn is_exhaustion(error: &io::Error) -> bool {
    // Linux on every architecture we build for: ENOMEM, ENFILE, EMFILE, ENOBUFS.
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second_while_descriptors_are_out() {
        let mut pause = Pause::new();
        let emfile = io::Error::from_raw_os_error(24);
        let waits: Vec<_> = (0..9).map(|_| pause.after(&emfile)).collect();
        let expected = [10, 20, 40, 80, 160, 320, 640, 1000, 1000]
            .map(|ms| (Counter::AcceptExhausted, Some(Duration::from_millis(ms))));
        assert_eq!(waits, expected);
        pause.reset();
        assert_eq!(pause.after(&emfile), (Counter::AcceptExhausted, Some(SHORTEST)));
    }

    #[test]
    fn trouble_is_told_once_a_minute_whatever_comes_in_between() {
        let (mut pause, begun) = (Pause::new(), Instant::now());
        let mut check = |seconds, expected| {
            pause.after(&io::Error::from_raw_os_error(24));
            let now = begun + Duration::from_secs(seconds);
            assert_eq!(pause.is_to_be_told(now), expected, "after {seconds} s");
            // Now and then somebody gets a place.
            pause.reset();
        };
        check(0, true);
        check(0, false);
        check(59, false);
        check(60, true);
        check(61, false);
    }

    #[test]
    fn connection_lost_in_the_queue_costs_no_wait() {
        let mut pause = Pause::new();
        // ECONNABORTED, EPERM (a firewall), EHOSTUNREACH, ETIMEDOUT.
        for errno in [103, 1, 113, 110] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(pause.after(&error), (Counter::AcceptFailed, None), "{error}");
        }
        let unknown = io::Error::from_raw_os_error(22);
        assert_eq!(pause.after(&unknown), (Counter::AcceptFailed, Some(SHORTEST)));
    }
}
