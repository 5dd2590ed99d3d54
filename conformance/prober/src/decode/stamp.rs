//! Times and lengths of time in words.

/// An NTP timestamp: seconds since 1900 modulo 2³², and a fraction of 2⁻³² s. The era is the one nearest to `near_s`.
pub(super) fn stamp(bits: u64, near_s: i64) -> String {
    if bits == 0 {
        return "0: unknown".to_owned();
    }
    let (seconds, fraction) = ((bits >> 32).cast_signed(), bits & 0xffff_ffff);
    let era = near_s
        .saturating_add(TO_1970)
        .saturating_sub(seconds)
        .saturating_add(ERA / 2)
        .div_euclid(ERA);
    let era = era.clamp(-1000, 1000);
    let unix = seconds + era * ERA - TO_1970;
    let nanos = (fraction * 1_000_000_000) >> 32;
    format!("{}.{nanos:09}Z, era {era}", date_time(unix))
}

/// A count of seconds since 1970 as `2026-11-22T13:00:00`, of the Gregorian calendar.
pub(super) fn date_time(unix: i64) -> String {
    let (days, second) = (unix.div_euclid(DAY), unix.rem_euclid(DAY));
    // Days in eras of 400 years that begin on 1 March of a year 0.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Seconds with the unit that fits.
pub(super) fn seconds(value: f64) -> String {
    let (factor, unit) = match value.abs() {
        0.0 => (1.0, "s"),
        v if v < 1e-6 => (1e9, "ns"),
        v if v < 1e-3 => (1e6, "µs"),
        v if v < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    let text = format!("{:.3}", value * factor);
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// What an exponent of 2 stands for.
pub(super) fn exponent(value: i8) -> String {
    format!("{value}: {}", seconds(2_f64.powi(i32::from(value))))
}

/// A length in 2⁻¹⁶ s.
pub(super) fn short(bits: u32) -> String {
    seconds(f64::from(bits) / 65536.0)
}

/// A difference of two timestamps, by the shorter way round the era.
pub(super) fn difference(later: u64, earlier: u64) -> f64 {
    later.wrapping_sub(earlier).cast_signed() as f64 / 4_294_967_296.0
}

/// From 1900 to 1970 in seconds.
const TO_1970: i64 = 2_208_988_800;
/// Seconds of an era.
const ERA: i64 = 1 << 32;
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_in_the_era_nearest_to_its_time() {
        let check = |bits: u64, near: i64, text: &str| assert_eq!(stamp(bits, near), text);
        check(0, 0, "0: unknown");
        // From the golden vectors: 2085978496 is second 0 of era 1, 2147483647 second 61505151.
        check(1, 2_085_978_496, "2036-02-07T06:28:16.000000000Z, era 1");
        check(61_505_151 << 32, 2_085_978_496, "2038-01-19T03:14:07.000000000Z, era 1");
        check(0xffff_ffff_8000_0000, 2_085_978_496, "2036-02-07T06:28:15.500000000Z, era 0");
        check(2_208_988_800 << 32, 0, "1970-01-01T00:00:00.000000000Z, era 0");
        check(3_155_673_600 << 32, 951_782_400, "2000-01-01T00:00:00.000000000Z, era 0");
        assert!(stamp(u64::MAX, i64::MAX).ends_with("era 1000"));
        assert!(stamp(u64::MAX, i64::MIN).ends_with("era -1000"));
    }

    #[test]
    fn days_are_those_of_the_gregorian_calendar() {
        let check = |unix: i64, text: &str| assert_eq!(date_time(unix), text);
        check(0, "1970-01-01T00:00:00");
        check(951_782_400, "2000-02-29T00:00:00");
        check(-1, "1969-12-31T23:59:59");
        check(1_798_761_599, "2026-12-31T23:59:59");
    }

    #[test]
    fn lengths_have_the_unit_that_fits() {
        let check = |value: f64, text: &str| assert_eq!(seconds(value), text);
        check(0.0, "0 s");
        check(64.0, "64 s");
        check(0.0625, "62.5 ms");
        check(2.98e-8, "29.8 ns");
        assert_eq!(exponent(-25), "-25: 29.802 ns");
        assert_eq!(short(0x10), "244.141 µs");
        assert!((difference(0x1000_0000, 0xffff_ffff_f000_0000) - 0.125).abs() < 1e-9);
    }
}
