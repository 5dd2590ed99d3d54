//! Lengths of time as tables show them: three digits and a unit that fits.

/// A length without a sign: `64 s`, `12.3 µs`.
#[must_use]
pub fn length(seconds: f64) -> String {
    let magnitude = seconds.abs();
    if magnitude == 0.0 {
        return "0 s".to_owned();
    }
    let (unit, factor) = match magnitude {
        m if m < 999.5e-9 => ("ns", 1e9),
        m if m < 999.5e-6 => ("µs", 1e6),
        m if m < 999.5e-3 => ("ms", 1e3),
        _ => ("s", 1.0),
    };
    let value = magnitude * factor;
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

/// The same with its sign.
#[must_use]
pub fn signed(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "+" };
    format!("{sign}{}", length(seconds))
}

/// Shown in place of what is not known.
pub const UNKNOWN: &str = "unknown";

/// A length that may not be known.
#[must_use]
pub fn known(seconds: Option<f64>, show: fn(f64) -> String) -> String {
    seconds.map_or_else(|| UNKNOWN.to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit_that_fits() {
        let check = |seconds, text: &str| assert_eq!(length(seconds), text);
        check(0.0, "0 s");
        check(64.0, "64 s");
        check(1.25e-5, "12.5 µs");
        check(9.999e-4, "1 ms");
        check(0.0625, "62.5 ms");
        check(131_072.0, "131072 s");
        check(-3.2e-8, "32 ns");
        check(1e-12, "0 ns");
        check(0.1, "100 ms");
        check(100.0, "100 s");
        assert_eq!((signed(0.001), signed(-1.5)), ("+1 ms".to_owned(), "-1.5 s".to_owned()));
        assert_eq!(known(None, length), "unknown");
    }
}
