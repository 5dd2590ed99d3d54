//! Numbers as other programs write them, and as our configuration does.

/// A finite number.
pub(super) fn real(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A whole number.
pub(super) fn whole(text: &str) -> Option<i64> {
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}

/// So many seconds within limits, as a duration of ours in whole milliseconds, and whether that is what was asked for.
pub(super) fn duration(seconds: f64, shortest: f64, longest: f64) -> (String, bool) {
    let within = seconds.clamp(shortest, longest);
    let milliseconds = (within * 1000.0).round().max(shortest * 1000.0).round();
    let is_same = (milliseconds / 1000.0 - seconds).abs() <= 1e-9 * seconds.abs();
    (of_milliseconds(milliseconds as u64), is_same)
}

fn of_milliseconds(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    if !milliseconds.is_multiple_of(1000) {
        return format!("\"{milliseconds}ms\"");
    }
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = units.iter().find(|(_, length)| seconds > 0 && seconds.is_multiple_of(*length));
    match unit {
        Some((name, length)) => format!("\"{}{name}\"", seconds / length),
        None => format!("\"{seconds}s\""),
    }
}

/// A number rounded up and held within limits, and whether that is what was asked for.
pub(super) fn within(number: f64, least: f64, most: f64) -> (String, bool) {
    let held = number.ceil().clamp(least, most);
    (format!("{held:.0}"), (held - number).abs() < 1e-9)
}

/// A text in quotes as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list as TOML has it.
pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_the_shortest_duration() {
        let check = |seconds: f64, expected: &str, is_same: bool| {
            assert_eq!(
                duration(seconds, 0.001, 36_500.0 * 86_400.0),
                (expected.to_owned(), is_same)
            );
        };
        check(0.128, "\"128ms\"", true);
        check(1.0, "\"1s\"", true);
        check(1000.0, "\"1000s\"", true);
        check(1.5, "\"1500ms\"", true);
        check(86_400.0, "\"1d\"", true);
        check(7200.0, "\"2h\"", true);
        check(62_500.0, "\"62500s\"", true);
        check(0.0, "\"1ms\"", false);
        check(0.000_123, "\"1ms\"", false);
        check(1e300, "\"36500d\"", false);
    }

    #[test]
    fn numbers_are_held_within_limits() {
        assert_eq!(within(500.0, 1.0, 100_000.0), ("500".to_owned(), true));
        assert_eq!(within(0.1, 1.0, 100_000.0), ("1".to_owned(), false));
        assert_eq!(within(1e9, 1.0, 100_000.0), ("100000".to_owned(), false));
        assert_eq!((real("nan"), real("1e3"), whole("+3")), (None, Some(1000.0), Some(3)));
    }

    #[test]
    fn quoted_text_is_toml() {
        for text in ["a b", "\"\\", "tab\tbell\u{7}", "ü"] {
            let parsed = toml::de::DeTable::parse(&format!("a = {}", quoted(text)))
                .unwrap_or_else(|error| panic!("{error}"))
                .get_ref()
                .get("a")
                .and_then(|value| value.get_ref().as_str().map(str::to_owned));
            assert_eq!(parsed.as_deref(), Some(text));
        }
    }
}
