use core::fmt::{self, Write};
use core::ops::{Add, Sub};
use core::time::Duration;

use crate::{Line, Span};

/// Instant in UTC as computers count it: seconds since 1970-01-01T00:00:00Z without leap seconds, and nanoseconds.
///
/// 64 bits of seconds everywhere: nothing ends in 2038. Saturates at both ends. Displayed as RFC 3339 in UTC with all
/// nine digits: `2036-02-07T06:28:16.000000000Z`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime {
    /// Whole seconds since 1970, rounded towards the past.
    pub seconds: i64,
    /// Nanoseconds after `seconds`: 0..=999_999_999. [`UnixTime::new`] carries what is more.
    pub nanos: u32,
}

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };
    /// The earliest instant.
    pub const MIN: Self = Self { seconds: i64::MIN, nanos: 0 };
    /// The latest instant.
    pub const MAX: Self = Self { seconds: i64::MAX, nanos: 999_999_999 };

    /// From seconds and nanoseconds; whole seconds in `nanos` are carried.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self::from_parts(seconds as i128, nanos as i128)
    }

    /// The instant that lies `since_1970` after 1970, as `SystemTime::duration_since(UNIX_EPOCH)` gives it.
    pub const fn from_duration(since_1970: Duration) -> Self {
        Self::from_parts(since_1970.as_secs() as i128, since_1970.subsec_nanos() as i128)
    }

    pub(crate) const fn from_parts(seconds: i128, nanos: i128) -> Self {
        let seconds = seconds + nanos.div_euclid(1_000_000_000);
        if seconds > i64::MAX as i128 {
            Self::MAX
        } else if seconds < i64::MIN as i128 {
            Self::MIN
        } else {
            Self { seconds: seconds as i64, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
        }
    }

    const fn total_nanos(self) -> i128 {
        self.seconds as i128 * 1_000_000_000 + self.nanos as i128
    }
}

/// Positive when `self` is the later one; saturates at 68 years.
impl Sub for UnixTime {
    type Output = Span;

    fn sub(self, earlier: Self) -> Span {
        Span::from_nanos_wide(self.total_nanos() - earlier.total_nanos())
    }
}

/// Moves by the span rounded to the nearest nanosecond.
impl Add<Span> for UnixTime {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self::from_parts(
            i128::from(self.seconds),
            i128::from(self.nanos) + i128::from(span.as_nanos()),
        )
    }
}

/// Moves back by the span rounded to the nearest nanosecond.
impl Sub<Span> for UnixTime {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self::from_parts(
            i128::from(self.seconds),
            i128::from(self.nanos) - i128::from(span.as_nanos()),
        )
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let mut line = Line::<64>::new();
        if !(0..=9999).contains(&year) {
            line.write_char(if year < 0 { '-' } else { '+' })?; // ISO 8601 expanded years; RFC 3339 has none
        }
        let year = year.unsigned_abs();
        write!(
            line,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
            self.nanos
        )?;
        f.pad(line.as_str())
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year and months follow a fixed pattern of 153
/// days in five.
const fn civil_date(day: i64) -> (i64, i64, i64) {
    let day = day + DAYS_FROM_MARCH_0000;
    let cycle = day.div_euclid(DAYS_IN_400_YEARS);
    let of_cycle = day.rem_euclid(DAYS_IN_400_YEARS);
    // A century lacks the leap day its 100th year would have; only the last century of four has it.
    let century = min(of_cycle / 36_524, 3);
    let of_century = of_cycle - century * 36_524;
    let of_four_years = of_century % 1461;
    let year_of_four = min(of_four_years / 365, 3);
    let of_year = of_four_years - year_of_four * 365;
    let month = (5 * of_year + 2) / 153; // 0 = March
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + century * 100 + of_century / 1461 * 4 + year_of_four;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

const fn min(a: i64, b: i64) -> i64 {
    if a < b { a } else { b }
}

const DAYS_FROM_MARCH_0000: i64 = 719_468;
const DAYS_IN_400_YEARS: i64 = 146_097;

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn instants_print_as_rfc_3339() {
        let check = |seconds, nanos, text: &str| {
            assert_eq!(UnixTime::new(seconds, nanos).to_string(), text);
        };
        check(0, 0, "1970-01-01T00:00:00.000000000Z");
        check(-1, 999_999_999, "1969-12-31T23:59:59.999999999Z");
        check(951_782_400, 0, "2000-02-29T00:00:00.000000000Z");
        check(951_868_800, 0, "2000-03-01T00:00:00.000000000Z");
        check(1_709_251_199, 5, "2024-02-29T23:59:59.000000005Z");
        check(2_085_978_496, 0, "2036-02-07T06:28:16.000000000Z"); // RFC 5905 §6: era 1
        check(2_147_483_648, 0, "2038-01-19T03:14:08.000000000Z");
        check(4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z");
        check(4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z");
        check(6_380_945_792, 0, "2172-03-15T12:56:32.000000000Z"); // era 2
        check(-2_208_988_800, 0, "1900-01-01T00:00:00.000000000Z");
        check(-62_167_219_201, 0, "-0001-12-31T23:59:59.000000000Z");
        check(253_402_300_800, 0, "+10000-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1900, 1, 1);
        for count in -25_567..-25_567 + DAYS_IN_400_YEARS {
            assert_eq!(civil_date(count), (year, month, day));
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == length => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
        assert_eq!((year, month, day), (2300, 1, 1));
    }

    #[test]
    fn the_ends_of_64_bits_print_and_saturate() {
        assert!(UnixTime::MAX.to_string().starts_with('+'));
        assert!(UnixTime::MIN.to_string().starts_with('-'));
        assert_eq!(UnixTime::MAX + Span::from_seconds(1), UnixTime::MAX);
        assert_eq!(UnixTime::MIN - Span::from_seconds(1), UnixTime::MIN);
        assert_eq!(UnixTime::MAX - UnixTime::MIN, Span::MAX);
        assert_eq!(UnixTime::new(i64::MAX, u32::MAX), UnixTime::MAX);
    }

    #[test]
    fn nanoseconds_carry_and_differences_have_a_sign() {
        assert_eq!(UnixTime::new(1, 2_500_000_000), UnixTime { seconds: 3, nanos: 500_000_000 });
        let (early, late) = (UnixTime::new(-1, 900_000_000), UnixTime::new(0, 150_000_000));
        assert_eq!((late - early).as_nanos(), 250_000_000);
        assert_eq!((early - late).as_nanos(), -250_000_000);
        assert_eq!(early + (late - early), late);
        assert_eq!(late - (late - early), early);
        assert_eq!(UnixTime::from_duration(Duration::new(7, 8)), UnixTime::new(7, 8));
    }
}
