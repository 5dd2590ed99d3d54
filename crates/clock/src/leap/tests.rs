use super::*;
use proptest::prelude::*;

/// Year and month (1 or 7) on whose first day TAI − UTC became one second more, as the IERS lists them (`leap-seconds.list`,
/// of July 2025).
const INSERTED: [(i64, i64); 27] = [
    (1972, 7),
    (1973, 1),
    (1974, 1),
    (1975, 1),
    (1976, 1),
    (1977, 1),
    (1978, 1),
    (1979, 1),
    (1980, 1),
    (1981, 7),
    (1982, 7),
    (1983, 7),
    (1985, 7),
    (1988, 1),
    (1990, 1),
    (1991, 1),
    (1992, 7),
    (1993, 7),
    (1994, 7),
    (1996, 1),
    (1997, 7),
    (1999, 1),
    (2006, 1),
    (2009, 1),
    (2012, 7),
    (2015, 7),
    (2017, 1),
];

/// The list of Bulletin C 70: when it was written, until when it holds, and the sum the IERS states for it.
const WRITTEN: &str = "3960835200";
const HOLDS: &str = "3991593600";
const SUM: &str = "49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e";

fn first_of(year: i64, month: i64) -> UnixTime {
    UnixTime::new(Date { year, month, day: 1 }.to_day().expect("a day") * 86_400, 0)
}

fn list_text() -> String {
    let mut text = format!(
        "#\tmade for a test\n#$\t {WRITTEN}\n#@\t{HOLDS}\n\n2272060800\t10\t# 1 Jan 1972\n"
    );
    for ((year, month), offset) in INSERTED.into_iter().zip(11..) {
        let seconds = first_of(year, month).seconds + 2_208_988_800;
        text += &format!("{seconds}  {offset}  # {year} {month}\n");
    }
    text + "#\n#h\t" + SUM + "\n"
}

fn tzdata_text() -> String {
    let mut text = "# made for a test\n".to_owned();
    for (year, month) in INSERTED {
        let (year, date) = if month == 7 { (year, "Jun\t30") } else { (year - 1, "Dec\t31") };
        text += &format!("Leap\t{year}\t{date}\t23:59:60\t+\tS\n");
    }
    text + "\n#expires 1782604800 (2026-06-28 00:00:00 UTC)\n"
}

/// A zone of the given version with nothing but the leap seconds, and perhaps the end of what is known.
fn zone(version: u8, expires: Option<i64>) -> Vec<u8> {
    let mut leaps: Vec<(i64, i32)> = INSERTED
        .into_iter()
        .zip(0..)
        .map(|((year, month), before)| {
            (first_of(year, month).seconds + i64::from(before), before + 1)
        })
        .collect();
    leaps.extend(expires.map(|at| (at + 27, 27)));
    let header = |leaps: usize| {
        let counts = [0, 0, leaps as u32, 0, 1, 4].map(u32::to_be_bytes).concat();
        [b"TZif", &[version][..], &[0; 15], &counts, &[0, 0, 0, 0, 0, 0], b"UTC\0"].concat()
    };
    let entry = |wide: bool| {
        move |&(at, sum): &(i64, i32)| {
            let moment = at.to_be_bytes();
            [if wide { &moment[..] } else { &moment[4..] }, &sum.to_be_bytes()].concat()
        }
    };
    let narrow = [header(leaps.len()), leaps.iter().flat_map(entry(false)).collect()].concat();
    if version == 0 {
        return narrow;
    }
    let wide =
        [header(leaps.len()), leaps.iter().flat_map(entry(true)).collect(), b"\n\n".to_vec()];
    [narrow, wide.concat()].concat()
}

#[test]
fn all_forms_of_the_list_say_the_same() {
    let list = LeapSeconds::from_list(&list_text()).expect("the published list");
    let expected: Vec<LeapSecond> = INSERTED
        .into_iter()
        .map(|(year, month)| LeapSecond { at: first_of(year, month), inserted: true })
        .collect();
    assert_eq!(list.leap_seconds().collect::<Vec<_>>(), expected);
    assert_eq!(list.expires(), Some(UnixTime::new(1_782_604_800, 0)));
    assert_eq!(LeapSeconds::from_tzdata(&tzdata_text()).as_ref(), Ok(&list));
    assert_eq!(LeapSeconds::from_zone(&zone(b'4', Some(1_782_604_800))).as_ref(), Ok(&list));
    for version in [0, b'2', b'3'] {
        let from_zone = LeapSeconds::from_zone(&zone(version, None)).expect("a zone");
        assert_eq!(from_zone.changes, list.changes);
        assert_eq!(from_zone.expires, None);
    }
}

#[test]
fn tai_minus_utc_is_what_it_was() {
    let list = LeapSeconds::from_list(&list_text()).expect("the published list");
    let check = |seconds, expected| {
        assert_eq!(list.tai_offset(UnixTime::new(seconds, 0)), expected, "{seconds}");
    };
    check(63_071_999, None);
    check(63_072_000, Some(10));
    check(78_796_799, Some(10));
    check(78_796_800, Some(11));
    check(915_148_800, Some(32)); // 1999-01-01
    check(1_483_228_799, Some(36));
    check(1_483_228_800, Some(37)); // 2017-01-01
    check(1_782_604_799, Some(37));
    check(1_782_604_800, None);
}

#[test]
fn the_list_knows_the_day_and_when_it_does_not() {
    let list = LeapSeconds::from_tzdata(&tzdata_text()).expect("the published list");
    let leap = LeapSecond { at: UnixTime::new(1_483_228_800, 0), inserted: true };
    let check = |seconds, expected| assert_eq!(list.today(UnixTime::new(seconds, 0)), expected);
    check(1_483_142_399, Ok(None));
    check(1_483_142_400, Ok(Some(leap)));
    check(1_483_228_799, Ok(Some(leap)));
    check(1_483_228_800, Ok(None));
    check(1_782_604_800, Err(Expired { at: UnixTime::new(1_782_604_800, 0) }));
}

#[test]
fn damaged_lists_are_refused_with_the_line() {
    let check = |text: &str, error| assert_eq!(LeapSeconds::from_list(text), Err(error), "{text}");
    check("", ListError::Empty);
    check("# nothing\n", ListError::Empty);
    check("2272060800 10\nten 11\n", ListError::Malformed { line: 2 });
    check("2272060800 10 11\n", ListError::Malformed { line: 1 });
    check("2272060800\n", ListError::Malformed { line: 1 });
    check("99999999999999999999 10\n", ListError::Malformed { line: 1 });
    check("#@ soon\n", ListError::Malformed { line: 1 });
    check("#h 1 2 3 4\n", ListError::Malformed { line: 1 });
    check("2272060801 10\n", ListError::Impossible { line: 1 });
    check("2272060800 10\n2272060800 11\n", ListError::Impossible { line: 2 });
    check("2272060800 10\n2287785600 12\n", ListError::Impossible { line: 2 });
    check("2272060800 10\n2287785600 10\n", ListError::Impossible { line: 2 });
    let long = "#\n".repeat(40_000);
    check(&long, ListError::TooLong { len: 80_000 });
    let changed = list_text().replace("3692217600  37", "3692304000  37");
    assert!(matches!(LeapSeconds::from_list(&changed), Err(ListError::Sum { .. })));
    let many: String =
        (0..600).map(|n| format!("{} {}\n", 2_272_060_800_u64 + n * 86_400, 10 + n)).collect();
    check(&many, ListError::Impossible { line: 501 });
    let tzdata =
        |text: &str, error| assert_eq!(LeapSeconds::from_tzdata(text), Err(error), "{text}");
    tzdata("", ListError::Empty);
    tzdata(
        "Leap 1972 Jun 30 23:59:60 + S\nLeap 1972 Jun 31 23:59:60 + S",
        ListError::Malformed { line: 2 },
    );
    tzdata("Leap 1972 Jun 30 23:59:60 - S", ListError::Malformed { line: 1 });
    tzdata("Zone UTC 0", ListError::Malformed { line: 1 });
    tzdata("Leap 1971 Jun 30 23:59:60 + S", ListError::Impossible { line: 1 });
}

#[test]
fn a_second_left_out_is_read_too() {
    let list = LeapSeconds::from_tzdata("Leap 2029 Jun 30 23:59:59 - S")
        .expect("as tzdata would write it");
    let leap = LeapSecond { at: first_of(2029, 7), inserted: false };
    assert_eq!(list.leap_seconds().collect::<Vec<_>>(), [leap]);
    assert_eq!(list.tai_offset(first_of(2029, 7)), Some(9));
    let header =
        [b"TZif\0".as_slice(), &[0; 15], &[0, 0, 1, 0, 1, 4].map(u32::to_be_bytes).concat()]
            .concat();
    // The last second of the day is the one that is not there.
    let moment = i32::try_from(first_of(2029, 7).seconds - 1).expect("32 bits").to_be_bytes();
    let zone =
        [&header, b"\0\0\0\0\0\0UTC\0".as_slice(), &moment, &(-1_i32).to_be_bytes()].concat();
    assert_eq!(LeapSeconds::from_zone(&zone), Ok(list));
}

#[test]
fn sources_announce_by_majority_of_the_trusted() {
    use Leap::{DeleteSecond, InsertSecond, None, Unsynchronised};
    let check = |plain: &[Leap], trusted: &[Leap], expected| {
        let sources: Vec<Announcement> = plain
            .iter()
            .map(|&leap| Announcement { leap, trusted: false })
            .chain(trusted.iter().map(|&leap| Announcement { leap, trusted: true }))
            .collect();
        assert_eq!(announced(&sources), expected, "{plain:?} {trusted:?}");
    };
    check(&[], &[], None);
    check(&[InsertSecond], &[], InsertSecond);
    check(&[InsertSecond, None], &[], None);
    check(&[InsertSecond, InsertSecond, None], &[], InsertSecond);
    check(&[InsertSecond, InsertSecond, None, DeleteSecond], &[], None);
    check(&[InsertSecond, Unsynchronised, Unsynchronised], &[], InsertSecond);
    check(&[InsertSecond, InsertSecond, InsertSecond], &[None], None);
    check(&[None, None, None], &[DeleteSecond, DeleteSecond, InsertSecond], DeleteSecond);
    check(&[InsertSecond], &[Unsynchronised], InsertSecond);
}

#[test]
fn announcements_mean_the_end_of_the_day_that_can_have_one() {
    let check = |leap, year, month, months, expected: bool| {
        let at = first_of(year, month);
        let before = UnixTime::new(at.seconds - 1, 999_999_999);
        let found = LeapSecond::at_the_end_of_today(leap, before, months);
        assert_eq!(found.is_some(), expected, "{leap} before {at}");
        assert!(found.is_none_or(|found| found.at == at && found.leap() == leap));
        let early = UnixTime::new(at.seconds - 86_401, 0);
        assert_eq!(LeapSecond::at_the_end_of_today(leap, early, months), None, "a day early");
        assert_eq!(LeapSecond::at_the_end_of_today(leap, at, months), None, "it is over");
    };
    check(Leap::InsertSecond, 2029, 7, Months::JuneDecember, true);
    check(Leap::DeleteSecond, 2029, 1, Months::JuneDecember, true);
    check(Leap::InsertSecond, 2029, 4, Months::JuneDecember, false);
    check(Leap::InsertSecond, 2028, 3, Months::Any, true);
    check(Leap::None, 2029, 7, Months::Any, false);
    check(Leap::Unsynchronised, 2029, 7, Months::Any, false);
}

proptest! {
    #[test]
    fn no_text_and_no_octets_do_more_than_fail(
        text in ".{0,200}", octets in proptest::collection::vec(any::<u8>(), 0..200), at in 0..600_usize, value: u8,
    ) {
        let _ = LeapSeconds::from_list(&text);
        let _ = LeapSeconds::from_tzdata(&text);
        let _ = LeapSeconds::from_zone(&octets);
        let mut damaged = zone(b'4', Some(1_782_604_800));
        damaged[at] = value;
        if let Ok(list) = LeapSeconds::from_zone(&damaged) {
            prop_assert!(list.changes.is_sorted_by_key(|change| change.at));
        }
    }
}
