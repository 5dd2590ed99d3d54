//! How long to wait after a connection could not be accepted.

use std::io;
use std::time::Duration;

use crate::counter::Counter;

/// Waits that double while trouble lasts.
///
/// Without descriptors or memory the connection stays in the queue and the listener stays readable: to try again at once
/// would burn a core and free nothing.
pub(crate) struct Pause {
    next: Duration,
    troubles: u32,
}

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

impl Pause {
    pub(crate) fn new() -> Self {
        Self { next: SHORTEST, troubles: 0 }
    }

    /// A connection was accepted.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Where to count `error`, and how long to wait before accepting again. No wait if the error was the connection's own,
    /// which has left the queue by then (accept(2), "Error handling").
    pub(crate) fn after(&mut self, error: &io::Error) -> (Counter, Option<Duration>) {
        if is_the_connections_own(error) {
            return (Counter::AcceptFailed, None);
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        self.troubles = self.troubles.saturating_add(1);
        let counter =
            if is_exhaustion(error) { Counter::AcceptExhausted } else { Counter::AcceptFailed };
        (counter, Some(wait))
    }

    /// Whether the trouble told last was the first since a connection was accepted.
    pub(crate) fn is_first(&self) -> bool {
        self.troubles == 1
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
        assert!(!pause.is_first());
        pause.reset();
        assert_eq!(pause.after(&emfile), (Counter::AcceptExhausted, Some(SHORTEST)));
        assert!(pause.is_first());
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
