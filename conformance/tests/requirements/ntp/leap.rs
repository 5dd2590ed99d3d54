//! When a leap second is announced (WS-23).

use noonmark_clock::leap::{Agenda, Handling, LeapSecond, Months};
use noonmark_conformance::check::Check;
use noonmark_packet::Leap;
use noonmark_server::ClockState;
use noonmark_units::{Span, Timestamp, UnixTime};

use super::lab::{NtpLab, Outcome, ensure};
use super::octets::plain;
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[Check {
    ids: &["WS-23"],
    name: "a_leap_second_is_announced_on_the_last_day_of_june_and_december",
    run: announced,
}];

/// 2029-01-01, and the ends of its June and December.
const BEGIN: UnixTime = UnixTime { seconds: 1_861_920_000, nanos: 0 };
const ENDS: [UnixTime; 2] =
    [UnixTime { seconds: 1_877_558_400, nanos: 0 }, UnixTime { seconds: 1_893_456_000, nanos: 0 }];

/// Sources that announce one all year, as some do.
fn announced(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let mut agenda = Agenda::new(Handling::Kernel, Months::JuneDecember);
    let announcements = [(Leap::InsertSecond, 1), (Leap::DeleteSecond, 2), (Leap::None, 0)];
    for (announcement, number) in announcements {
        // Two days of five, with the ends of March, June and December among them.
        let days = (0..365).filter(|day| day % 5 == 0 || day % 5 == 4);
        for (day, second) in days.flat_map(|day| [0, 43_200, 86_399].map(|s| (day, s))) {
            let now = BEGIN + Span::from_seconds(86_400 * day + second);
            let today = agenda.today(announcement, now);
            lab.state = ClockState {
                leap: today.map_or(Leap::None, LeapSecond::leap),
                leap_until: today.map_or(Timestamp::UNSET, LeapSecond::at_stamp),
                ..lab.state
            };
            let is_last =
                ENDS.iter().any(|end| now < *end && *end - now <= Span::from_seconds(86_400));
            let expected = if is_last { number } else { 0 };
            lab.time = Timestamp::from_unix(now);
            let said = lab.time_for(&plain())?.leap();
            ensure(said == expected, || format!("{announcement} at {now}: {said}"))?;
            // What was last heard of the clock may be a moment old: the end of the day is the end of it.
            lab.time = lab.time + Span::from_seconds(86_400);
            let after = lab.time_for(&plain())?.leap();
            ensure(after == 0, || format!("{announcement} a day after {now}: {after}"))?;
        }
    }
    Ok(())
}
