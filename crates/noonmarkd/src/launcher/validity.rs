//! When to say that the certificate served is, or soon will be, out of its time.

use std::time::Duration;

use noonmark_nts::Validity;
use noonmark_units::{Mono, UnixTime};

use crate::message::Certificate;

/// Remembers what was last said about the certificate in force.
#[derive(Default)]
pub struct Reminder {
    said: Option<(Validity, Mono)>,
}

impl Reminder {
    /// The certificate is a new one, or read again: nothing has been said about it.
    pub fn reset(&mut self) {
        self.said = None;
    }

    /// What is to be logged now, if anything: whatever is wrong when it becomes so and once a day, and that nothing is wrong any more.
    pub fn due(&mut self, certificate: &Certificate, clock: UnixTime, now: Mono) -> Option<Line> {
        let (validity, _) = certificate.judge(clock);
        let fresh = self.said.is_none_or(|(before, _)| before != validity);
        let long_ago = self.said.is_some_and(|(_, at)| now.since(at) >= SAY_EVERY);
        if !fresh && !long_ago {
            return None;
        }
        let good_before = self.said.is_none_or(|(before, _)| before == Validity::Valid);
        self.said = Some((validity, now));
        match validity {
            Validity::Valid if good_before => None,
            Validity::Valid => Some(Line::Good),
            Validity::EndsSoon => Some(Line::Wrong("certificate ends soon")),
            Validity::Expired => Some(Line::Wrong("certificate has expired: clients refuse it")),
            Validity::NotYetValid => Some(Line::Wrong(
                "certificate is not valid yet: clients refuse it, or this machine's clock is not set",
            )),
        }
    }
}

/// What is to be logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Line {
    /// It is in its time again.
    Good,
    /// A warning.
    Wrong(&'static str),
}

/// How often what is wrong is said again.
const SAY_EVERY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_nts::ValidityPeriod;

    #[test]
    fn a_young_authority_hides_nothing_of_the_certificate_it_signed() {
        const DAY: i64 = 86_400;
        let period = |from: i64, to: i64| ValidityPeriod {
            not_before: UnixTime::new(from * DAY, 0),
            not_after: UnixTime::new(to * DAY, 0),
        };
        let check = |leaf, authority, now: i64, expected| {
            let chain = ValidityPeriod::and(leaf, authority);
            let certificate = Certificate { names: Vec::new(), leaf, chain, spki_sha256: [0; 32] };
            assert_eq!(certificate.judge(UnixTime::new(now * DAY, 0)), expected, "{now}");
        };
        let (leaf, year) = (period(100, 190), period(0, 3650));
        check(leaf, year, 150, (Validity::Valid, leaf));
        check(leaf, year, 180, (Validity::EndsSoon, leaf));
        // The authority is a day old.
        check(leaf, period(179, 3650), 180, (Validity::EndsSoon, leaf));
        check(leaf, period(200, 3650), 201, (Validity::Expired, leaf));
        check(leaf, period(200, 3650), 195, (Validity::Expired, leaf));
        check(leaf, year, 99, (Validity::NotYetValid, leaf));
        // Where the authority is to blame, what counts is when both are valid.
        check(leaf, period(0, 150), 151, (Validity::Expired, period(100, 150)));
        check(leaf, period(0, 185), 186, (Validity::Expired, period(100, 185)));
        check(leaf, period(0, 150), 149, (Validity::EndsSoon, period(100, 150)));
        check(leaf, period(140, 150), 139, (Validity::NotYetValid, period(140, 150)));
        check(leaf, period(182, 300), 181, (Validity::NotYetValid, period(182, 190)));
    }

    #[test]
    fn what_is_wrong_is_said_when_it_begins_and_daily_and_its_end_once() {
        const DAY: i64 = 86_400;
        let (year, month) = (400 * DAY, 430 * DAY);
        let period = ValidityPeriod {
            not_before: UnixTime::new(year, 0),
            not_after: UnixTime::new(month, 0),
        };
        let certificate =
            Certificate { names: Vec::new(), leaf: period, chain: period, spki_sha256: [0; 32] };
        let mut reminder = Reminder::default();
        // The clock and the monotonic clock in seconds, and what is said.
        let mut check = |clock: i64, mono: u64, said: Option<&str>| {
            let now = Mono(mono * 1_000_000_000);
            let line = match reminder.due(&certificate, UnixTime::new(clock, 0), now) {
                None => None,
                Some(Line::Good) => Some("good"),
                Some(Line::Wrong(words)) => Some(words),
            };
            assert!(
                line.is_some() == said.is_some() && line.unwrap_or("").contains(said.unwrap_or("")),
                "{line:?} at {clock} and {mono}"
            );
        };
        // A machine whose clock is not set at its start, and is set later.
        check(0, 10, Some("clock is not set"));
        check(1, 11, None);
        check(DAY, 86_409, None);
        check(DAY + 1, 86_410, Some("not valid yet"));
        check(year, 86_411, Some("good"));
        check(year + DAY, 200_000, None);
        check(month - 10 * DAY + 1, 900_000, Some("ends soon"));
        check(month, 900_001, None);
        check(month + 1, 900_002, Some("has expired"));
        check(month + DAY, 986_402, Some("has expired"));
        // What is good from the start is not worth a line.
        let mut reminder = Reminder::default();
        assert_eq!(reminder.due(&certificate, UnixTime::new(year, 0), Mono(0)), None);
        // And after a reload it is said again.
        let expired = UnixTime::new(month + 1, 0);
        assert!(reminder.due(&certificate, expired, Mono(1)).is_some());
        reminder.reset();
        assert!(reminder.due(&certificate, expired, Mono(2)).is_some());
    }
}
