use noonmark_packet::Leap;
use noonmark_units::{Span, UnixTime};

use super::{LeapSecond, LeapSeconds, Months, Shape, Smear};

/// What becomes of the machine's clock at a leap second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Handling {
    /// The kernel sets it by a second, at the end of the day.
    #[default]
    Kernel,
    /// We do, at the same instant.
    Step,
    /// It goes on counting, and the second is worked off from then on.
    Slew,
    /// Nothing; the sources are a second off then.
    Ignore,
}

/// What is known of leap seconds, and what is to be done about the next one.
///
/// A list is believed until it expires, the sources where there is none; and whoever says it, a leap second comes at the end of a month
/// that can have one, and once.
#[derive(Clone, Debug)]
pub struct Agenda {
    handling: Handling,
    months: Months,
    list: Option<LeapSeconds>,
    /// The one that was to come when its instant had not.
    coming: Option<LeapSecond>,
    /// The last one that is over.
    passed: Option<UnixTime>,
}

impl Agenda {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(handling: Handling, months: Months) -> Self {
        Self { handling, months, list: None, coming: None, passed: None }
    }

    /// What is done.
    #[must_use]
    pub fn handling(&self) -> Handling {
        self.handling
    }

    /// A list, newly read.
    pub fn set_list(&mut self, list: LeapSeconds) {
        self.list = Some(list);
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> Option<&LeapSeconds> {
        self.list.as_ref()
    }

    /// The leap second at the end of this UTC day, where the sources together announce `announced`; none where it is ignored, or over.
    pub fn today(&mut self, announced: Leap, now: UnixTime) -> Option<LeapSecond> {
        let leap = match self.list.as_ref().map(|list| list.today(now)) {
            Some(Ok(leap)) => leap,
            Some(Err(_)) | None => LeapSecond::at_the_end_of_today(announced, now, self.months),
        };
        let leap =
            leap.filter(|leap| self.handling != Handling::Ignore && self.passed != Some(leap.at));
        // Whoever looks a moment after the instant, when the day is over, still has it to do; before it, it may be taken back.
        if leap.is_some() || self.coming.is_none_or(|coming| now < coming.instant()) {
            self.coming = leap;
        }
        leap
    }

    /// The leap second that comes, or has just come.
    #[must_use]
    pub fn coming(&self) -> Option<LeapSecond> {
        self.coming
    }

    /// Whether a list that still holds knows of a leap second at the end of this day that the sources, which are synchronised, do not
    /// announce: they may not know it, or smear it.
    #[must_use]
    pub fn is_unannounced(&self, announced: Leap, now: UnixTime) -> bool {
        let listed = self.list.as_ref().and_then(|list| list.today(now).ok().flatten());
        listed.is_some() && announced == Leap::None
    }

    /// The leap second to smear over the time that is served at `now`, which shows UTC before or after it; only a list knows it in time.
    #[must_use]
    pub fn smear(&self, shape: Shape, seconds: u32, now: UnixTime) -> Option<Smear> {
        let list = self.list.as_ref().filter(|list| !list.is_expired(now))?;
        let now = noonmark_units::Timestamp::from_unix(now);
        list.leap_seconds().map(|leap| Smear { leap, shape, seconds }).find(|it| it.is_near(now))
    }

    /// The leap second for which the clock, which shows `now`, is to be stepped at once, if we are the ones who do it and its instant has
    /// come. After [`pass`](Self::pass) never again for this one.
    #[must_use]
    pub fn step_due(&self, now: UnixTime) -> Option<LeapSecond> {
        self.coming.filter(|leap| {
            let late = now - leap.instant();
            self.handling == Handling::Step
                && self.passed != Some(leap.at)
                && !late.is_negative()
                && late < LATEST_STEP
        })
    }

    /// This one is over, or will be without us.
    pub fn pass(&mut self, leap: LeapSecond) {
        self.passed = Some(leap.at);
    }
}

/// Whoever comes later than this had better not step any more.
const LATEST_STEP: Span = Span::from_seconds(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of 2029-06-30.
    const AT: UnixTime = UnixTime { seconds: 1_877_558_400, nanos: 0 };

    fn before(seconds: i64) -> UnixTime {
        AT + Span::from_seconds(-seconds)
    }

    fn listed(handling: Handling) -> Agenda {
        let mut agenda = Agenda::new(handling, Months::JuneDecember);
        let list = LeapSeconds::from_tzdata("Leap 2029 Jun 30 23:59:60 + S\n#expires 1900000000\n");
        agenda.set_list(list.expect("a list"));
        agenda
    }

    const LEAP: LeapSecond = LeapSecond { at: AT, inserted: true };

    #[test]
    fn a_list_that_holds_is_believed_and_then_the_sources() {
        let check = |agenda: &Agenda, announced, now, expected| {
            let mut agenda = agenda.clone();
            assert_eq!(agenda.today(announced, now), expected, "{announced} at {now}");
        };
        let bare = Agenda::new(Handling::Kernel, Months::JuneDecember);
        check(&bare, Leap::InsertSecond, before(1), Some(LEAP));
        check(&bare, Leap::None, before(1), None);
        check(&bare, Leap::InsertSecond, before(86_401), None);
        check(&listed(Handling::Kernel), Leap::None, before(1), Some(LEAP));
        check(&listed(Handling::Kernel), Leap::DeleteSecond, before(86_401), None);
        check(&listed(Handling::Ignore), Leap::InsertSecond, before(1), None);
        let later = UnixTime::new(1_908_999_999, 0); // 2030-06-30, 23:59:59
        let (next, end) = (Leap::InsertSecond, UnixTime::new(1_909_094_400, 0));
        assert_eq!(listed(Handling::Kernel).today(next, later), None, "not the last day");
        let last = end + Span::from_seconds(-1);
        assert_eq!(
            listed(Handling::Kernel).today(next, last),
            Some(LeapSecond { at: end, inserted: true })
        );
        assert!(listed(Handling::Kernel).is_unannounced(Leap::None, before(1)));
        assert!(!listed(Handling::Kernel).is_unannounced(Leap::InsertSecond, before(1)));
        assert!(!bare.is_unannounced(Leap::None, before(1)));
    }

    #[test]
    fn a_leap_second_is_stepped_at_its_instant_and_once() {
        let check = |handling, since: f64, expected: bool| {
            let now = AT + Span::from_seconds_f64(since);
            let mut agenda = listed(handling);
            agenda.today(Leap::None, before(10));
            // Whether or not somebody has looked after the end of the day.
            assert_eq!(agenda.step_due(now).is_some(), expected, "{handling:?} {since}");
            agenda.today(Leap::None, now);
            assert_eq!(agenda.step_due(now).is_some(), expected, "{handling:?} {since}");
        };
        check(Handling::Step, -0.001, false);
        check(Handling::Step, 0.0, true);
        check(Handling::Step, 1.5, true);
        check(Handling::Step, 2.0, false);
        check(Handling::Kernel, 0.0, false);
        check(Handling::Slew, 0.0, false);
        let mut agenda = Agenda::new(Handling::Step, Months::JuneDecember);
        agenda.today(Leap::DeleteSecond, before(2));
        let left_out = LeapSecond { inserted: false, ..LEAP };
        assert_eq!(agenda.step_due(before(1)), Some(left_out));
        agenda.today(Leap::None, before(2));
        assert_eq!(agenda.step_due(before(1)), None, "taken back in time");
        let mut agenda = listed(Handling::Step);
        agenda.today(Leap::None, before(1));
        agenda.pass(LEAP);
        assert_eq!(agenda.step_due(AT), None);
        assert_eq!(agenda.today(Leap::InsertSecond, before(1)), None, "in the second repeated");
    }

    #[test]
    fn what_is_smeared_is_known_a_day_before_and_after() {
        let check = |agenda: &Agenda, now, expected: bool| {
            let smear = agenda.smear(Shape::Linear, Smear::DAY, now);
            assert_eq!(smear.is_some(), expected, "{now}");
            assert!(smear.is_none_or(|smear| smear.leap == LEAP));
        };
        check(&listed(Handling::Kernel), before(86_399), true);
        check(&listed(Handling::Kernel), before(-86_399), true);
        check(&listed(Handling::Kernel), before(90_000), false);
        check(&Agenda::new(Handling::Kernel, Months::Any), before(1), false);
        let mut old = Agenda::new(Handling::Kernel, Months::Any);
        let list = LeapSeconds::from_tzdata("Leap 2029 Jun 30 23:59:60 + S\n#expires 1870000000\n");
        old.set_list(list.expect("a list"));
        check(&old, before(1), false);
    }
}
