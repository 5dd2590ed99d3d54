//! Whose leap second is believed, and how often it is applied (WC-29, WC-30).

use noonmark_clock::leap::{Agenda, Announcement, Handling, LeapSeconds, Months, announced};
use noonmark_conformance::check::{Check, Failure};
use noonmark_packet::Leap;
use noonmark_units::{Span, UnixTime};

use super::bench::ensure;
use super::fault::Fault;
use crate::{FaultKind, Lab};

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["WC-29"], name: "leap_second_of_a_minority_is_not_believed", run: majority },
    Check {
        ids: &["WC-30"],
        name: "leap_second_is_applied_once_at_the_end_of_the_month",
        run: once,
    },
];

/// The end of 2029-06-30.
const AT: UnixTime = UnixTime { seconds: 1_877_558_400, nanos: 0 };

fn has(lab: &Lab, fault: Fault) -> bool {
    matches!(lab.fault, Some(FaultKind::Client(found)) if found == fault)
}

fn majority(lab: &mut Lab) -> Result<(), Failure> {
    let one_is_enough = has(lab, Fault::BelievesOne);
    let believed = |says: &[Leap], trusted: usize, list: Option<&str>| {
        let loudest = says.iter().copied().find(|leap| *leap != Leap::None);
        let heard: Vec<Announcement> = says
            .iter()
            .enumerate()
            .map(|(number, leap)| Announcement {
                leap: if one_is_enough { loudest.unwrap_or(*leap) } else { *leap },
                trusted: number < trusted,
            })
            .collect();
        let mut agenda = Agenda::new(Handling::Kernel, Months::JuneDecember);
        if let Some(list) = list {
            agenda.set_list(LeapSeconds::from_tzdata(list).expect("a list"));
        }
        agenda.today(announced(&heard), AT + Span::from_seconds(-3600)).is_some()
    };
    let (yes, no) = (Leap::InsertSecond, Leap::None);
    let knows = "Leap 2029 Jun 30 23:59:60 + S\n#expires 1900000000\n";
    let knows_none = "Leap 2016 Dec 31 23:59:60 + S\n#expires 1900000000\n";
    let expired = "Leap 2016 Dec 31 23:59:60 + S\n#expires 1500000000\n";
    let rows: [(&[Leap], usize, Option<&str>, bool); 10] = [
        (&[yes, no, no, no], 0, None, false),
        (&[yes, yes, no, no], 0, None, false),
        (&[yes, yes, yes, no], 0, None, true),
        (&[yes, yes, yes, Leap::DeleteSecond], 0, None, true),
        (&[no, yes, yes, yes], 1, None, false),
        (&[yes, no, no, no], 1, None, true),
        (&[no, no, no], 0, Some(knows), true),
        (&[yes, yes, yes], 0, Some(knows_none), false),
        (&[yes, yes, yes], 0, Some(expired), true),
        (&[], 0, None, false),
    ];
    for (says, trusted, list, expected) in rows {
        let found = believed(says, trusted, list);
        ensure(found == expected, || format!("{says:?}, {trusted} trusted, {list:?}: {found}"))?;
    }
    Ok(())
}

/// A clock from two days before to two days after, every half second, by servers that announce a leap second all the time.
fn once(lab: &mut Lab) -> Result<(), Failure> {
    let forgets = has(lab, Fault::AppliesAgain);
    let mut agenda = Agenda::new(Handling::Step, Months::JuneDecember);
    let mut clock = AT + Span::from_seconds(-2 * 86_400);
    let mut steps = Vec::new();
    let half = Span::from_nanos(500_000_000);
    for _ in 0..8 * 86_400 {
        clock = clock + half;
        agenda.today(Leap::InsertSecond, clock);
        if let Some(leap) = agenda.step_due(clock) {
            steps.push((clock, leap.jump()));
            clock = clock + leap.jump();
            if !forgets {
                agenda.pass(leap);
            }
        }
        ensure(steps.len() < 3, || format!("stepped again and again: {steps:?}"))?;
    }
    ensure(steps == [(AT, Span::from_seconds(-1))], || format!("stepped {steps:?}"))
}
