use std::fmt;

use noonmark_units::{Frequency, Span, UnixTime};

use super::Request;
use crate::{Adjustment, NotAdjusted};

/// An adjustment that was not permitted, with everything that decided it. Displayed as a sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal {
    /// What was asked, and what the asker said of it.
    pub request: Request,
    /// What the clock showed.
    pub wall: UnixTime,
    /// The rule that stood against it.
    pub rule: Rule,
}

/// A rule of the guard that an adjustment would have broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The clock may not be stepped at all.
    NoSteps,
    /// The clock may be stepped only in the first updates after the start, and these are over.
    LateStep {
        /// How many updates may step.
        within: u32,
        /// How many there have been.
        updates: u32,
    },
    /// No step may be this large.
    LongStep {
        /// The largest there may be.
        largest: Span,
    },
    /// The clock may not run this far from its own rate.
    FastRate {
        /// The largest rate either way.
        largest: Frequency,
    },
    /// A leap second cannot come at the end of this day.
    NoLeapToday,
    /// No leap second comes at this instant.
    NoLeapNow,
    /// The clock was stepped for this leap second before.
    LeapTaken,
    /// Fewer sources agree than it takes.
    FewSources {
        /// As many have to.
        least: u32,
    },
    /// The clock would show a time that is known to be over.
    BeforeFloor {
        /// The earliest the clock may be set to.
        floor: UnixTime,
        /// What it would show.
        would_be: UnixTime,
    },
    /// The clock would show a time an era or more after one that is known to be over, so it was the era that was wrong: the clock is more than
    /// 68 years from the truth.
    OtherEra {
        /// Where the era ends that begins with the earliest time the clock may be set to.
        end: UnixTime,
        /// What it would show.
        would_be: UnixTime,
    },
    /// More would have been corrected in an hour than may be.
    HourSpent {
        /// What may be corrected in any hour.
        limit: Span,
        /// What was in this one, not counting this request.
        used: Span,
    },
    /// More would have been corrected in a day than may be.
    DaySpent {
        /// What may be corrected in any 24 hours.
        limit: Span,
        /// What was in these, not counting this request.
        used: Span,
    },
}

impl Rule {
    /// A word for counters and for programs that read reports.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoSteps => "no-steps",
            Self::LateStep { .. } => "late-step",
            Self::LongStep { .. } => "long-step",
            Self::FastRate { .. } => "fast-rate",
            Self::NoLeapToday => "no-leap-today",
            Self::NoLeapNow => "no-leap-now",
            Self::LeapTaken => "leap-taken",
            Self::FewSources { .. } => "few-sources",
            Self::BeforeFloor { .. } => "before-floor",
            Self::OtherEra { .. } => "other-era",
            Self::HourSpent { .. } => "hour-spent",
            Self::DaySpent { .. } => "day-spent",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSteps => write!(f, "the clock may not be stepped"),
            Self::LateStep { within, updates } => {
                write!(
                    f,
                    "it may be stepped only within the first {within} updates, and there have been {updates}"
                )
            }
            Self::LongStep { largest } => {
                write!(f, "no step may be larger than {}", Bare(*largest))
            }
            Self::FastRate { largest } => {
                write!(f, "its rate may differ by no more than {:.3} ppm", largest.as_ppm())
            }
            Self::NoLeapToday => f.write_str("no leap second can come at the end of this day"),
            Self::NoLeapNow => f.write_str("no leap second can come now"),
            Self::LeapTaken => f.write_str("it was stepped for this leap second before"),
            Self::FewSources { least } => write!(f, "it takes {least} sources that agree"),
            Self::BeforeFloor { floor, would_be } => {
                write!(f, "it would show {would_be}, and it is known to be later than {floor}")
            }
            Self::OtherEra { end, would_be } => {
                write!(
                    f,
                    "it would show {would_be}, and what servers say holds for times before {end} only; set it to within 68 years of the truth by hand"
                )
            }
            Self::HourSpent { limit, used } => {
                write!(f, "{} may be corrected in an hour, and {} were", Bare(*limit), Bare(*used))
            }
            Self::DaySpent { limit, used } => {
                write!(f, "{} may be corrected in a day, and {} were", Bare(*limit), Bare(*used))
            }
        }
    }
}

impl fmt::Display for Refusal {
    /// `refused to step the clock by +3600.000 s at 2026-…Z (2 sources agree, update 5): no step may be larger than 1.000 s`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, wall, rule } = self;
        if *rule == Rule::NoLeapToday {
            f.write_str("refused to arm a leap second")?;
        } else {
            write_refused(f, &request.adjustment)?;
        }
        let sources = if request.facts.agreeing == 1 { "source agrees" } else { "sources agree" };
        let (agreeing, update) = (request.facts.agreeing, request.facts.updates);
        write!(f, " at {wall} ({agreeing} {sources}, {update} updates so far): {rule}")
    }
}

fn write_refused(f: &mut fmt::Formatter<'_>, adjustment: &Adjustment) -> fmt::Result {
    match adjustment {
        Adjustment::Step(by) => write!(f, "refused to step the clock by {by}"),
        Adjustment::Rate(rate) => write!(f, "refused to run the clock at {rate}"),
        Adjustment::Status(_) => write!(f, "refused to call the clock synchronised"),
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for NotAdjusted {
    fn from(refusal: Refusal) -> Self {
        Self::Forbidden(refusal.to_string())
    }
}

/// A length of time without its sign.
struct Bare(Span);

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.abs().to_string().trim_start_matches('+'))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    fn check(adjustment: Adjustment, rule: Rule, sentence: &str) {
        let request = Request { adjustment, facts: Facts { agreeing: 2, updates: 5 } };
        let refusal = Refusal { request, wall: UnixTime::new(1_800_000_000, 0), rule };
        assert_eq!(
            refusal.to_string(),
            sentence.replace(
                "WHEN",
                "at 2027-01-15T08:00:00.000000000Z (2 sources agree, 5 updates so far)"
            )
        );
    }

    #[test]
    fn refusals_are_sentences_with_every_fact() {
        let hour = Adjustment::Step(Span::from_seconds(3600));
        let fast = Adjustment::Rate(Frequency::from_ppm(-9e4));
        check(
            hour,
            Rule::LongStep { largest: Span::from_seconds(1) },
            "refused to step the clock by +3600.000 s WHEN: no step may be larger than 1.000 s",
        );
        check(
            hour,
            Rule::LateStep { within: 3, updates: 5 },
            "refused to step the clock by +3600.000 s WHEN: it may be stepped only within the first 3 updates, and there have been 5",
        );
        check(
            fast,
            Rule::FastRate { largest: Frequency::from_ppm(83_333.0) },
            "refused to run the clock at -90000.000 ppm WHEN: its rate may differ by no more than 83333.000 ppm",
        );
        check(
            hour,
            Rule::HourSpent { limit: Span::from_seconds(-2), used: Span::from_nanos(1_500_000) },
            "refused to step the clock by +3600.000 s WHEN: 2.000 s may be corrected in an hour, and 1.500 ms were",
        );
        check(
            hour,
            Rule::BeforeFloor { floor: UnixTime::new(0, 0), would_be: UnixTime::new(-1, 0) },
            "refused to step the clock by +3600.000 s WHEN: it would show 1969-12-31T23:59:59.000000000Z, and it is known to be later than 1970-01-01T00:00:00.000000000Z",
        );
        check(
            hour,
            Rule::OtherEra {
                end: UnixTime::new(4_294_967_296, 0),
                would_be: UnixTime::new(6_000_000_000, 0),
            },
            "refused to step the clock by +3600.000 s WHEN: it would show 2160-02-18T10:40:00.000000000Z, and what servers say holds for times before 2106-02-07T06:28:16.000000000Z only; set it to within 68 years of the truth by hand",
        );
        check(
            fast,
            Rule::FewSources { least: 3 },
            "refused to run the clock at -90000.000 ppm WHEN: it takes 3 sources that agree",
        );
    }
}
