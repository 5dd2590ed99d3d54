//! `[clock]`: what it means, and how it is read.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::section::Section;
use crate::value::{self, Value, Wrongs};

/// What is done to the machine's clock: the table `[clock]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clock {
    /// Whether it is steered.
    pub mode: ClockMode,
    /// What is off by more may be stepped.
    pub step_threshold: Duration,
    /// When it may.
    pub steps: Steps,
    /// The largest step.
    pub largest_step: Option<Duration>,
    /// How far the first step after the machine was started may go without counting.
    pub boot_step: Option<Duration>,
    /// How far the clock may be moved in any hour.
    pub max_per_hour: Option<Duration>,
    /// How far in any 24 hours.
    pub max_per_day: Option<Duration>,
    /// The fastest slew, ppm, 1..=100 000.
    pub max_slew_ppm: u32,
    /// How far off the oscillator may be, ppm, 1..=100 000.
    pub max_drift_ppm: u32,
    /// By how much the oscillator's frequency may change without warning, 1..=100 000 ppm.
    pub max_clock_error_ppm: u32,
    /// How many independent sources have to agree, 1..=64.
    pub min_sources: u32,
    /// Beyond this nothing is followed, and nothing is called synchronised.
    pub max_distance: Duration,
    /// How proof of origin counts.
    pub authentication: AuthenticationRule,
    /// What becomes of leap seconds.
    pub leap: LeapRule,
    /// A list of leap seconds.
    pub leap_seconds: Option<PathBuf>,
    /// Real-time priority, 1..=99.
    pub priority: Option<u8>,
    /// Whether memory is locked.
    pub lock_memory: bool,
}

/// What is done with the time of the sources.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClockMode {
    /// The clock is steered.
    Keep,
    /// The sources are asked, and the clock is not touched.
    Observe,
    /// Nobody is asked.
    Off,
}

impl ClockMode {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}

/// When the clock may be stepped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Steps {
    /// Within so many first updates; 0 is never.
    First(u32),
    /// At any time.
    Always,
}

/// How proof of origin counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthenticationRule {
    /// Not at all.
    Ignore,
    /// Sources with it decide.
    Prefer,
    /// Sources without it are not followed.
    Require,
}

/// What becomes of leap seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeapRule {
    /// The kernel carries them out.
    Kernel,
    /// The clock is stepped.
    Step,
    /// The clock is slewed.
    Slew,
    /// Nothing is done.
    Ignore,
}

impl LeapRule {
    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Step => "step",
            Self::Slew => "slew",
            Self::Ignore => "ignore",
        }
    }
}

/// How leap seconds are smeared over the time that is served (`[server] leap-smear`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeapSmear {
    /// Whether its rate rises and falls, rather than being the same all the time.
    pub quadratic: bool,
    /// Its length in seconds, 1000..=86 400, of which one half lies before the end of the day.
    pub seconds: u32,
}

/// Reads `[clock]`; `has_sources` says whether the file has a source, `smears` whether the server smears leap seconds. Where the list of
/// these is named goes into `list_place`.
pub(crate) fn clock(
    mut section: Section<'_, '_, '_>,
    folder: &Path,
    has_sources: bool,
    smears: bool,
    list_place: &mut Option<Range<usize>>,
) -> Option<Clock> {
    let mode = section.read_optional("clock", |v, w| {
        let words = [ClockMode::Keep, ClockMode::Observe, ClockMode::Off];
        value::word(v, w, &words.map(|mode| (mode.as_str(), mode)))
    });
    if let Some(Some(wanted @ (ClockMode::Keep | ClockMode::Observe))) = mode.value
        && !has_sources
    {
        let what = format!("{:?} without a [[source]]: there is nothing to go by", wanted.as_str());
        section.misfit("clock", mode.place.clone(), &what);
    }
    let step_threshold =
        section.read("step-threshold", |v, w| value::duration(v, w, MILLISECOND..=days(365)));
    let steps = section.read("step-updates", steps);
    let mut limit = |name| {
        section.read_optional(name, |v, w| value::duration(v, w, MILLISECOND..=days(36_500))).value
    };
    let largest_step = limit("largest-step");
    let boot_step = limit("boot-step");
    let max_per_hour = limit("max-per-hour");
    let max_per_day = limit("max-per-day");
    let mut ppm = |name| section.read(name, |v, w| value::integer(v, w, 1..=100_000)).value;
    let max_slew_ppm = ppm("max-slew");
    let max_drift_ppm = ppm("max-drift");
    let max_clock_error_ppm = ppm("max-clock-error");
    let min_sources = section.read("min-sources", |v, w| value::integer(v, w, 1..=64));
    let max_distance = section
        .read("max-distance", |v, w| value::duration(v, w, MILLISECOND..=Duration::from_secs(16)));
    let authentication = section.read("authentication", |v, w| {
        let words = [
            ("ignore", AuthenticationRule::Ignore),
            ("prefer", AuthenticationRule::Prefer),
            ("require", AuthenticationRule::Require),
        ];
        value::word(v, w, &words)
    });
    let leap = section.read("leap", |v, w| {
        let words = [LeapRule::Kernel, LeapRule::Step, LeapRule::Slew, LeapRule::Ignore];
        value::word(v, w, &words.map(|rule| (rule.as_str(), rule)))
    });
    let leap_seconds = section.read_optional("leap-seconds", value::path);
    list_place.clone_from(&leap_seconds.place);
    if smears {
        if let Some(rule @ (LeapRule::Slew | LeapRule::Ignore)) = leap.value {
            let what = format!(
                "{:?} with leap-smear in [server], which needs a clock that is set at the leap second",
                rule.as_str()
            );
            section.misfit("leap", leap.place.clone(), &what);
        }
        if let Some(None) = leap_seconds.value {
            let what = "missing, with leap-smear in [server]: sources may announce a leap second when its smear should have begun";
            section.misfit("leap-seconds", leap_seconds.place.clone(), what);
        }
    }
    let priority = section.read("priority", |v, w| value::integer(v, w, 0..=99));
    let lock_memory = section.read("lock-memory", value::truth);
    let usual = if has_sources { ClockMode::Keep } else { ClockMode::Off };
    Some(Clock {
        mode: mode.value?.unwrap_or(usual),
        step_threshold: step_threshold.value?,
        steps: steps.value?,
        largest_step: largest_step?,
        boot_step: boot_step?,
        max_per_hour: max_per_hour?,
        max_per_day: max_per_day?,
        max_slew_ppm: max_slew_ppm?,
        max_drift_ppm: max_drift_ppm?,
        max_clock_error_ppm: max_clock_error_ppm?,
        min_sources: min_sources.value?,
        max_distance: max_distance.value?,
        authentication: authentication.value?,
        leap: leap.value?,
        leap_seconds: leap_seconds.value?.map(|path| folder.join(path)),
        priority: u8::try_from(priority.value?).ok().filter(|priority| *priority > 0),
        lock_memory: lock_memory.value?,
    })
}

fn steps(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<Steps> {
    if value.get_ref().is_str() {
        return value::word(value, wrongs, &[("always", Steps::Always)]);
    }
    value::integer(value, wrongs, 0..=65535).map(Steps::First)
}

const MILLISECOND: Duration = Duration::from_millis(1);

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}
