//! What is known of leap seconds on this day, and what is done about the next one.

use std::path::PathBuf;
use std::time::Duration;

use noonmark_clock::leap::{Agenda, Handling, LeapSecond, Months, Shape};
use noonmark_config::{LeapRule, LeapSmear, Settings, read_leap_seconds};
use noonmark_packet::Leap;
use noonmark_server::{ClockState, ServedSmear};
use noonmark_units::{Mono, Short, Span, Timestamp, UnixTime};

use crate::message::PlannedLeap;

/// A list of leap seconds, as far as one is configured, the sources' word where it knows nothing, and the next leap second.
pub struct Leaps {
    agenda: Agenda,
    file: Option<PathBuf>,
    smear: Option<LeapSmear>,
    /// The UTC day on which the file was last read, and on which it was last said that the sources announce nothing.
    read_on: Option<i64>,
    warned_on: Option<i64>,
    counting: Option<Counting>,
}

/// The machine's clock over a leap second that is smeared.
#[derive(Clone, Copy, Debug)]
struct Counting {
    leap: LeapSecond,
    /// What the clock showed when the local clock showed zero, as far as it has been set by now.
    shown: Timestamp,
    /// It has been set for this leap second.
    is_set: bool,
}

/// What holds on this day.
#[derive(Clone, Copy, Debug)]
pub struct Today {
    handling: Handling,
    /// The leap second at the end of it.
    pub leap: Option<LeapSecond>,
    smear: Option<ServedSmear>,
    /// The clock has gone on through a leap second just now, and nobody has measured it since.
    is_second_off: bool,
}

impl Leaps {
    /// By the configuration.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let handling = match settings.clock.leap {
            LeapRule::Kernel => Handling::Kernel,
            LeapRule::Step => Handling::Step,
            LeapRule::Slew => Handling::Slew,
            LeapRule::Ignore => Handling::Ignore,
        };
        Self {
            agenda: Agenda::new(handling, Months::JuneDecember),
            file: settings.clock.leap_seconds.clone(),
            smear: settings.server.leap_smear,
            read_on: None,
            warned_on: None,
            counting: None,
        }
    }

    /// What holds at `now`, which the machine's clock showed when the local one showed `boot`; the sources announce `announced`.
    pub fn look(&mut self, announced: Leap, now: UnixTime, boot: Mono) -> Today {
        self.read_daily(now);
        let leap = self.agenda.today(announced, now);
        self.compare(announced, now);
        let handling = self.agenda.handling();
        let since = self.agenda.coming().map(|leap| now - leap.instant());
        let just_now = |since: Span| !since.is_negative() && since < UNMEASURED;
        Today {
            handling,
            leap,
            smear: self.smear(now, boot),
            is_second_off: handling == Handling::Slew && since.is_some_and(just_now),
        }
    }

    /// TAI − UTC, if a list says; not around a leap second, where the kernel knows better.
    #[must_use]
    pub fn tai_offset(&self, now: UnixTime) -> Option<i32> {
        let list = self.agenda.list()?;
        let is_near = |leap: LeapSecond| (now - leap.at).abs() < AROUND;
        if list.leap_seconds().any(is_near) { None } else { list.tai_offset(now) }
    }

    /// When something has to be done about `today`, at `now` by the machine's clock and `mono`.
    #[must_use]
    pub fn deadline(today: &Today, now: UnixTime, mono: Mono) -> Mono {
        let left = today.leap.map(|leap| leap.instant() - now);
        match left.filter(|left| *left > Span::ZERO) {
            // Rounded up: a moment early it is not there yet.
            Some(left) => mono + left.to_duration() + Duration::from_micros(1),
            None => Mono::NEVER,
        }
    }

    /// The leap second to step the clock for now, if that is ours to do.
    #[must_use]
    pub fn step_due(&self, now: UnixTime) -> Option<LeapSecond> {
        self.agenda.step_due(now)
    }

    /// It was stepped for, or may not be.
    pub fn pass(&mut self, leap: LeapSecond) {
        self.agenda.pass(leap);
    }

    /// The smear at `now`, and which side of the leap second the clock is on.
    fn smear(&mut self, now: UnixTime, boot: Mono) -> Option<ServedSmear> {
        let rule = self.smear?;
        let shape = if rule.quadratic { Shape::Quadratic } else { Shape::Linear };
        let Some(smear) = self.agenda.smear(shape, rule.seconds, now) else {
            self.counting = None;
            return None;
        };
        let leap = smear.leap;
        let since_zero = Span::from_nanos(i64::try_from(boot.0).unwrap_or(i64::MAX));
        let shown = Timestamp::from_unix(now) - since_zero;
        let is_set = match self.counting.filter(|counting| counting.leap == leap) {
            Some(Counting { is_set: false, shown: before, .. }) => {
                let is_jump = (shown - before - leap.jump()).abs() < ALIKE;
                is_jump && (now - leap.at) > -AROUND
            }
            Some(_) => true,
            // Whoever begins after it finds a clock that shows UTC.
            None => now >= leap.at,
        };
        self.counting = Some(Counting { leap, shown, is_set });
        let zero = if is_set { shown - leap.jump() } else { shown };
        Some(ServedSmear { smear, zero })
    }

    /// Says once a day if the sources do not announce what the list has.
    fn compare(&mut self, announced: Leap, now: UnixTime) {
        let day = now.seconds.div_euclid(86_400);
        // Where it is ignored, the sources are meant to smear it.
        let is_meant = self.agenda.handling() == Handling::Ignore;
        if !is_meant && self.warned_on != Some(day) && self.agenda.is_unannounced(announced, now) {
            self.warned_on = Some(day);
            tracing::warn!(
                "the list has a leap second at the end of this day, which most sources do not announce: they do not know of it, or they smear it, and then [clock] leap has to be \"ignore\""
            );
        }
    }

    fn read_daily(&mut self, now: UnixTime) {
        let (Some(file), day) = (&self.file, now.seconds.div_euclid(86_400)) else { return };
        if self.read_on == Some(day) {
            return;
        }
        self.read_on = Some(day);
        match read_leap_seconds(file) {
            Ok(list) => {
                if list.is_expired(now) {
                    tracing::warn!(file = %file.display(), "the list of leap seconds has expired; the sources are believed");
                }
                self.agenda.set_list(list);
            }
            // One read before goes on being good until it expires.
            Err(error) => tracing::warn!(file = %file.display(), error, "no list of leap seconds"),
        }
    }
}

impl Today {
    /// As answers announce it: what is smeared is not.
    #[must_use]
    pub fn announced(&self) -> Leap {
        if self.smear.is_some() {
            Leap::None
        } else {
            self.leap.map_or(Leap::None, LeapSecond::leap)
        }
    }

    /// As the kernel is told of it.
    #[must_use]
    pub fn kernel(&self) -> Leap {
        let leap = self.leap.filter(|_| self.handling == Handling::Kernel);
        leap.map_or(Leap::None, LeapSecond::leap)
    }

    /// What the role that asks the sources is to know.
    #[must_use]
    pub fn plan(&self) -> PlannedLeap {
        PlannedLeap { leap: self.leap, handling: self.handling }
    }

    /// What answers say, on this day.
    #[must_use]
    pub fn dress(&self, state: ClockState) -> ClockState {
        let off = if self.is_second_off { Span::from_seconds(1) } else { Span::ZERO };
        let dispersion = state.root_dispersion.to_span() + off;
        ClockState {
            leap_until: self.leap.map_or(Timestamp::UNSET, LeapSecond::at_stamp),
            smear: self.smear,
            root_dispersion: Short::from_span_ceil(dispersion),
            ..state
        }
    }
}

/// For so long after a leap second that was not carried out the sources may not have measured it.
const UNMEASURED: Span = Span::from_seconds(3);
/// So near to a leap second it may not be clear which side of it the clock is on.
const AROUND: Span = Span::from_seconds(3);
/// Nobody steps a clock by so nearly a second for another reason.
const ALIKE: Span = Span::from_nanos(100_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn leaps(server: &str, clock: &str) -> Leaps {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n[[source]]\nserver = \"a.example\"\n[clock]\n{clock}\n"
        );
        let parsed = noonmark_config::parse(&text, Path::new("/x/noonmark.toml"));
        Leaps::new(&parsed.unwrap_or_else(|report| panic!("{report}")))
    }

    fn with_list(name: &str, text: &str, test: impl FnOnce(&Path)) {
        let path = std::env::temp_dir().join(format!("noonmark-{name}-{}", std::process::id()));
        std::fs::write(&path, text).expect("room");
        test(&path);
        std::fs::remove_file(&path).expect("ours");
    }

    /// Noon of 2016-12-31, which had a leap second, and of the day before.
    const NOON: UnixTime = UnixTime { seconds: 1_483_185_600, nanos: 0 };
    const DAY_BEFORE: UnixTime = UnixTime { seconds: NOON.seconds - 86_400, nanos: 0 };
    const AT: UnixTime = UnixTime { seconds: NOON.seconds + 43_200, nanos: 0 };
    const LIST: &str =
        "#expires 1500000000\nLeap 1972 Jun 30 23:59:60 + S\nLeap 2016 Dec 31 23:59:60 + S\n";

    #[test]
    fn sources_are_believed_on_a_day_that_can_have_one() {
        let check = |settings, announced, now, [answers, kernel]: [Leap; 2]| {
            let today = leaps("", settings).look(announced, now, Mono(0));
            assert_eq!([today.announced(), today.kernel()], [answers, kernel], "{settings} {now}");
        };
        let (insert, none) = (Leap::InsertSecond, Leap::None);
        check("", insert, NOON, [insert, insert]);
        check("", insert, DAY_BEFORE, [none, none]);
        check("", Leap::Unsynchronised, NOON, [none, none]);
        check("leap = \"step\"", insert, NOON, [insert, none]);
        check("leap = \"slew\"", insert, NOON, [insert, none]);
        check("leap = \"ignore\"", insert, NOON, [none, none]);
    }

    #[test]
    fn a_list_is_believed_rather_than_the_sources() {
        with_list("leaps", LIST, |path| {
            let mut leaps = leaps("", &format!("leap-seconds = {path:?}"));
            let today = leaps.look(Leap::None, NOON, Mono(0));
            assert_eq!(today.announced(), Leap::InsertSecond, "{:?}", read_leap_seconds(path));
            assert_eq!(leaps.tai_offset(NOON), Some(11), "ten seconds and those listed before");
            assert_eq!(leaps.tai_offset(AT + Span::from_seconds(-1)), None, "which of the two?");
            assert_eq!(leaps.tai_offset(AT + Span::from_seconds(3)), Some(12));
            // When it is too old, the sources are all there is.
            let later = UnixTime::new(1_600_000_000, 0);
            assert_eq!(leaps.look(Leap::None, later, Mono(0)).announced(), Leap::None);
            assert_eq!(leaps.tai_offset(later), None);
        });
    }

    #[test]
    fn a_step_is_due_at_its_instant_and_once() {
        let mut leaps = leaps("", "leap = \"step\"");
        let before = AT + Span::from_seconds(-1);
        let today = leaps.look(Leap::InsertSecond, before, Mono(0));
        let mono = Mono(7_000_000_000);
        assert_eq!(Leaps::deadline(&today, before, mono), Mono(8_000_001_000));
        assert_eq!(leaps.step_due(before), None);
        let leap = leaps.step_due(AT).expect("now");
        assert_eq!(Leaps::deadline(&today, AT, mono), Mono::NEVER);
        leaps.pass(leap);
        assert_eq!(leaps.look(Leap::InsertSecond, before, Mono(0)).leap, None, "it is over");
    }

    #[test]
    fn a_clock_that_goes_on_owns_up_to_the_second_at_once() {
        let mut leaps = leaps("", "leap = \"slew\"");
        let mut dispersion = |since| {
            let today = leaps.look(Leap::InsertSecond, AT + Span::from_seconds(since), Mono(0));
            today.dress(ClockState::UNSYNCHRONISED).root_dispersion.to_span()
        };
        assert_eq!(dispersion(-1), Span::from_seconds(16));
        assert_eq!(dispersion(0), Span::from_seconds(17));
        assert_eq!(dispersion(4), Span::from_seconds(16));
    }

    #[test]
    fn what_is_smeared_is_announced_to_the_kernel_alone_all_day() {
        with_list("quiet", LIST, |path| {
            for length in ["1h", "8h", "12h", "24h"] {
                let server = format!("leap-smear = \"linear\"\nleap-smear-length = {length:?}");
                let mut leaps = leaps(&server, &format!("leap-seconds = {path:?}"));
                for since in (-86_400..=86_400_i64).step_by(600) {
                    let now = AT + Span::from_seconds(since);
                    let today = leaps.look(Leap::InsertSecond, now, Mono(100_000_000_000_000));
                    let kernel = if since < 0 { Leap::InsertSecond } else { Leap::None };
                    let told = [today.announced(), today.kernel()];
                    assert_eq!(told, [Leap::None, kernel], "{length} {now}");
                }
            }
        });
    }

    #[test]
    fn sources_that_announce_nothing_are_said_unless_the_leap_second_is_ignored() {
        with_list("unsaid", LIST, |path| {
            let check = |rule: &str, expected: Option<i64>| {
                let settings = format!("leap = {rule:?}\nleap-seconds = {path:?}");
                let mut leaps = leaps("", &settings);
                leaps.look(Leap::None, NOON, Mono(0));
                assert_eq!(leaps.warned_on, expected, "{rule}");
            };
            let today = Some(NOON.seconds / 86_400);
            check("kernel", today);
            check("step", today);
            check("slew", today);
            check("ignore", None);
        });
    }

    #[test]
    fn smeared_time_goes_on_when_the_clock_is_set() {
        with_list("smear", LIST, |path| {
            let begin = || leaps("leap-smear = \"linear\"", &format!("leap-seconds = {path:?}"));
            let mut leaps = begin();
            let mut last: Option<Timestamp> = None;
            for tenth in -100..100_i64 {
                let since = Span::from_nanos(tenth * 100_000_000);
                let boot = Mono((50_000_000_000 + since.as_nanos()).unsigned_abs());
                let set = if tenth < 0 { Span::ZERO } else { Span::from_seconds(-1) };
                let now = AT + since + set;
                let today = leaps.look(Leap::InsertSecond, now, boot);
                assert_eq!(today.announced(), Leap::None);
                let state = today.dress(ClockState::UNSYNCHRONISED);
                let smear = state.smear.expect("half a second is smeared");
                let served = smear.served(Timestamp::from_unix(now), boot);
                let passed = last.map_or(Span::from_nanos(100_000_000), |last| served - last);
                let off = passed - Span::from_nanos(100_000_000);
                assert!(off.abs() < Span::from_nanos(2_000), "{since}: {passed}");
                last = Some(served);
            }
            // The next process finds a clock that was set.
            let mut later = begin();
            let now = AT + Span::from_seconds(9);
            let today = later.look(Leap::None, now, Mono(60_000_000_000));
            let smear = today.dress(ClockState::UNSYNCHRONISED).smear.expect("it goes on");
            let ahead = smear.ahead(Timestamp::from_unix(now), Mono(60_000_000_000));
            assert!((ahead.as_seconds_f64() - 0.5).abs() < 1e-3, "{ahead}");
        });
    }
}
