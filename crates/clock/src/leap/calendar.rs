/// A day of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Date {
    pub(super) year: i64,
    /// 1..=12.
    pub(super) month: i64,
    /// 1..=31.
    pub(super) day: i64,
}

impl Date {
    /// The day so many days after 1970-01-01.
    pub(super) fn from_day(day: i64) -> Self {
        // Years are counted from March, so that the leap day is the last of its year; 400 of them have 146 097 days.
        let day = day.saturating_add(MARCH_0000);
        let (cycle, of_cycle) = (day.div_euclid(146_097), day.rem_euclid(146_097));
        let year_of_cycle =
            (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let year = cycle * 400 + year_of_cycle;
        if month < 10 {
            Self { year, month: month + 3, day }
        } else {
            Self { year: year + 1, month: month - 9, day }
        }
    }

    /// Days since 1970-01-01; `None` for a month or a day that no calendar has, or a year nobody writes.
    pub(super) fn to_day(self) -> Option<i64> {
        let Self { year, month, day } = self;
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
            return None;
        }
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let of_year = (153 * month + 2) / 5 + day - 1;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let count = 365 * year + leap_days + of_year - MARCH_0000;
        (Self::from_day(count) == self).then_some(count)
    }
}

/// Days from 1 March of the year 0 to 1970-01-01.
const MARCH_0000: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_units::UnixTime;

    #[test]
    fn days_have_the_dates_they_print_as() {
        for day in (-700_000..2_900_000).step_by(97).chain(10_950..12_000) {
            let date = Date::from_day(day);
            let text = format!("{:04}-{:02}-{:02}T", date.year, date.month, date.day);
            let printed = UnixTime::new(day * 86_400, 0).to_string();
            assert!(printed.starts_with(&text), "day {day}: {date:?} and {printed}");
            assert_eq!(date.to_day(), Some(day));
        }
    }

    #[test]
    fn days_no_calendar_has_are_none() {
        let check = |year, month, day| assert_eq!(Date { year, month, day }.to_day(), None);
        check(2023, 2, 29);
        check(2100, 2, 29);
        check(2024, 4, 31);
        check(2024, 13, 1);
        check(2024, 0, 1);
        check(10_000, 1, 1);
    }
}
