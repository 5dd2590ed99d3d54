use noonmark_units::{PollExponent, Precision, Span};
use serde::Deserialize;

/// How a client is configured, written as options of a `server` line and lines of a `chrony.conf`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "VariantText")]
pub struct Variant {
    /// The shortest interval between questions, log2 s.
    pub min_poll: PollExponent,
    /// The longest, log2 s.
    pub max_poll: PollExponent,
    /// A few questions 2 s apart at the start.
    pub iburst: bool,
    /// Interleaved mode.
    pub xleave: bool,
    /// The clock may be stepped.
    pub step: Option<StepRule>,
    /// What the client takes for the precision of its clock.
    pub precision: Precision,
    /// What the servers say of theirs.
    pub server_precision: Precision,
}

/// `makestep`: step rather than slew what is larger than `threshold`, in the first `updates` updates, or always.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRule {
    /// Offsets up to this one are slewed.
    pub threshold: Span,
    /// `None` is without limit, written −1.
    pub updates: Option<u32>,
}

impl Variant {
    /// Reads the options after the name of a server, the lines of the client's file, and those of the servers' files.
    ///
    /// # Errors
    /// The word that is not known here, or lacks its number.
    pub fn read(options: &str, lines: &[&str], server_lines: &[&str]) -> Result<Self, String> {
        let mut variant = Self::default();
        let mut words = options.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "minpoll" => variant.min_poll = PollExponent(number(word, words.next())?),
                "maxpoll" => variant.max_poll = PollExponent(number(word, words.next())?),
                "iburst" => variant.iburst = true,
                "xleave" => variant.xleave = true,
                other => return Err(format!("server option `{other}` is not known here")),
            }
        }
        // chrony raises whichever of the two was left at its default.
        if variant.min_poll > variant.max_poll {
            if options.contains("maxpoll") {
                variant.min_poll = variant.max_poll;
            } else {
                variant.max_poll = variant.min_poll;
            }
        }
        for line in lines {
            variant.line(line)?;
        }
        for line in server_lines {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["clockprecision", step] => variant.server_precision = precision(step)?,
                _ => return Err(format!("server's line `{line}` is not known here")),
            }
        }
        Ok(variant)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["makestep", threshold, updates] => {
                let threshold: f64 = number("makestep", Some(threshold))?;
                let updates: i64 = number("makestep", Some(updates))?;
                self.step = Some(StepRule {
                    threshold: Span::from_seconds_f64(threshold),
                    updates: u32::try_from(updates).ok(),
                });
            }
            ["clockprecision", step] => self.precision = precision(step)?,
            _ => return Err(format!("line `{line}` is not known here")),
        }
        Ok(())
    }
}

impl Default for Variant {
    /// A server without options: polls 6 to 10, and the clock is never stepped.
    fn default() -> Self {
        Self {
            min_poll: PollExponent(6),
            max_poll: PollExponent(10),
            iburst: false,
            xleave: false,
            step: None,
            precision: USUAL_PRECISION,
            server_precision: USUAL_PRECISION,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantText {
    server: String,
    #[serde(default)]
    conf: Vec<String>,
    #[serde(default)]
    srvconf: Vec<String>,
}

impl TryFrom<VariantText> for Variant {
    type Error = String;

    fn try_from(text: VariantText) -> Result<Self, String> {
        Self::read(&text.server, &borrowed(&text.conf), &borrowed(&text.srvconf))
    }
}

fn borrowed(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn number<T: std::str::FromStr>(word: &str, text: Option<&str>) -> Result<T, String> {
    let text = text.ok_or_else(|| format!("`{word}` lacks its number"))?;
    text.parse().map_err(|_| format!("`{word} {text}` has no number that fits"))
}

fn precision(seconds: &str) -> Result<Precision, String> {
    let step: f64 = number("clockprecision", Some(seconds))?;
    Ok(Precision::from_span(Span::from_seconds_f64(step)))
}

/// Reading the clock takes about 100 ns: what a measurement at the start finds.
const USUAL_PRECISION: Precision = Precision(-23);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_lines_are_read() {
        let variant = Variant::read(
            "iburst minpoll 0 maxpoll 3 xleave",
            &["clockprecision 1e-9", "makestep 1 3"],
            &["clockprecision 1e-9"],
        )
        .unwrap();
        assert_eq!((variant.min_poll, variant.max_poll), (PollExponent(0), PollExponent(3)));
        assert!(variant.iburst && variant.xleave);
        let rule = StepRule { threshold: Span::from_seconds(1), updates: Some(3) };
        assert_eq!(variant.step, Some(rule));
        assert_eq!((variant.precision, variant.server_precision), (Precision(-30), Precision(-30)));
        let always = Variant::read("", &["makestep 1 -1"], &[]).unwrap().step.unwrap();
        assert_eq!(always.updates, None);
        assert_eq!(Variant::read("", &[], &[]).unwrap(), Variant::default());
    }

    #[test]
    fn one_poll_bound_pulls_the_other_along() {
        let check = |options, least, most| {
            let variant = Variant::read(options, &[], &[]).unwrap();
            assert_eq!((variant.min_poll.0, variant.max_poll.0), (least, most), "{options}");
        };
        check("maxpoll 4", 4, 4);
        check("minpoll 12", 12, 12);
        check("minpoll -4", -4, 10);
    }

    #[test]
    fn what_has_no_meaning_here_is_refused_by_name() {
        let check = |options: &str, lines: &[&str], named: &str| {
            let problem = Variant::read(options, lines, &[]).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        };
        check("presend 3", &[], "`presend`");
        check("minpoll", &[], "`minpoll` lacks");
        check("minpoll six", &[], "`minpoll six`");
        check("", &["makestep 1"], "`makestep 1`");
        check("", &["rtcsync"], "`rtcsync`");
    }
}
