//! What answers say of the clock, and what the kernel is told of it.

use std::time::Duration;

use noonmark_clock::guard::Facts;
use noonmark_clock::{KernelStatus, Known, LocalClock, LocalRule};
use noonmark_config::{Local, Settings};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_server::ClockState;
use noonmark_units::{Mono, Precision, Short, Span, Stratum, UnixTime};

use super::bequest::Bequest;
use crate::message::Standing;

/// What is known of the clock, and the rules by which it is called right.
pub struct Served {
    local: Option<Local>,
    precision: Precision,
    max_distance: Span,
    standing: Option<Standing>,
    /// Where the rule of a clock without sources stands.
    without: LocalClock,
    without_since: Option<UnixTime>,
}

impl Served {
    /// Knows at `now` what was `left` behind by the process before, if sources are still asked.
    #[must_use]
    pub fn new(
        settings: &Settings,
        precision: Precision,
        left: Option<Bequest>,
        now: Mono,
    ) -> Self {
        let left = left.filter(|_| settings.asks_sources());
        Self {
            local: settings.server.local,
            precision,
            max_distance: Span::from_duration(settings.clock.max_distance),
            standing: left.and_then(|left| left.standing),
            without: left.map_or(LocalClock::new(now), |left| left.local),
            without_since: left.and_then(|left| left.local_since),
        }
    }

    /// What the next process is to know.
    #[must_use]
    pub fn bequest(&self) -> Bequest {
        Bequest { standing: self.standing, local: self.without, local_since: self.without_since }
    }

    /// The sources say where the clock stands; no later than `now`, whatever they say.
    ///
    /// A role that has just begun knows nothing; what was known before it holds on, growing, until it knows something or that is worth
    /// nothing any more.
    pub fn learn(&mut self, standing: Standing, now: Mono) {
        let begins = standing.state == noonmark_clock::ClockState::Unsynchronised;
        self.standing = match self.vouched_for(now) {
            Some((known, _)) if begins => Some(Standing {
                state: noonmark_clock::ClockState::Holdover,
                facts: standing.facts,
                ..*known
            }),
            _ => Some(Standing { as_of: standing.as_of.min(now), ..standing }),
        };
    }

    /// The clock jumped: updates are counted from here on, and what the sources said of their number was of before.
    pub fn count_anew(&mut self) {
        if let Some(standing) = &mut self.standing {
            standing.facts.updates = 0;
        }
    }

    /// Nothing that was known is worth anything any more.
    pub fn forget(&mut self) {
        self.standing = None;
    }

    /// Looks at `now`, when the clock shows `wall`, whether the clock is to be served without sources. Returns true or false if that
    /// has changed.
    pub fn update(&mut self, now: Mono, wall: UnixTime) -> Option<bool> {
        let Local { distance, activate, wait, .. } = self.local?;
        let span = Span::from_duration;
        let rule = LocalRule { distance: span(distance), activate: activate.map(span), wait };
        let is_followed = |standing: &Standing, bound: Span| {
            standing.state == noonmark_clock::ClockState::Synchronised
                && now.since(standing.as_of) <= SILENCE
                && bound <= self.max_distance
        };
        let known = self
            .known(now)
            .map(|(standing, bound)| Known { bound, followed: is_followed(standing, bound) });
        let was_local = self.without.since.is_some();
        let is_local = self.without.update(&rule, known, now);
        if is_local == was_local {
            return None;
        }
        self.without_since = is_local.then_some(wall);
        Some(is_local)
    }

    /// Whether the clock follows sources, or did, and cannot be wrong by more than is allowed.
    #[must_use]
    pub fn is_synchronised(&self, now: Mono) -> bool {
        self.vouched_for(now).is_some()
    }

    /// What the sources announce for the end of the day.
    #[must_use]
    pub fn announced(&self, now: Mono) -> Leap {
        self.vouched_for(now).map_or(Leap::Unsynchronised, |(standing, _)| standing.leap)
    }

    /// Why the clock may be called synchronised.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.standing.map(|standing| standing.facts).unwrap_or_default()
    }

    /// What answers say at `now`: what the sources vouch for; or the clock as it stands, where [`update`](Self::update) found that the
    /// configuration wants it; else that it is not synchronised. `leap` is the leap second at the end of this day: it is announced on that day and no other.
    #[must_use]
    pub fn state(&self, now: Mono, leap: Leap) -> ClockState {
        let local = self.local.filter(|_| self.without.since.is_some());
        if let Some(local) = local {
            let id = ReferenceId(local.reference_id);
            let state = ClockState::local(Stratum::new(local.stratum), id, self.precision);
            // A clock that never followed anything is by decree what it shows; one that did grows no better by being left alone.
            return match self.known(now) {
                Some((standing, bound)) => ClockState {
                    root_dispersion: Short::from_span_ceil(bound),
                    growth_ppb: standing.growth_ppb,
                    as_of: now,
                    ..state
                },
                None => ClockState { as_of: now, ..state },
            };
        }
        if let Some((standing, bound)) = self.vouched_for(now) {
            let stratum = Stratum::new(standing.stratum);
            return ClockState {
                leap,
                reference_time: standing.reference_time,
                root_delay: Short::from_span_ceil(standing.root_delay),
                root_dispersion: Short::from_span_ceil(bound - standing.root_delay.half()),
                growth_ppb: standing.growth_ppb,
                as_of: now,
                ..ClockState::local(stratum, standing.reference_id, self.precision)
            };
        }
        ClockState { precision: self.precision, as_of: now, ..ClockState::UNSYNCHRONISED }
    }

    /// What the kernel is told at `now`.
    #[must_use]
    pub fn kernel_status(&self, now: Mono, leap: Leap, tai_offset: Option<i32>) -> KernelStatus {
        match self.vouched_for(now) {
            Some((standing, bound)) => KernelStatus {
                synchronised: true,
                max_error: bound,
                estimated_error: standing.estimated_error,
                leap,
                tai_offset,
            },
            None => KernelStatus {
                synchronised: false,
                max_error: UNKNOWN,
                estimated_error: UNKNOWN,
                leap: Leap::None,
                tai_offset,
            },
        }
    }

    /// What the sources say, and by how much the clock may be wrong by now, if that is little enough.
    fn vouched_for(&self, now: Mono) -> Option<(&Standing, Span)> {
        self.known(now).filter(|(_, bound)| *bound <= self.max_distance)
    }

    /// What the sources say, if they know anything, and by how much the clock may be wrong by now. Without news the bound grows.
    fn known(&self, now: Mono) -> Option<(&Standing, Span)> {
        let standing = self.standing.as_ref()?;
        let age_s = now.since(standing.as_of).as_secs_f64();
        let grown = Span::from_seconds_f64(age_s * f64::from(standing.growth_ppb) * 1e-9);
        let bound = standing.error_bound() + grown;
        let is_known = standing.state != noonmark_clock::ClockState::Unsynchronised
            && standing.leap != Leap::Unsynchronised
            && (1..16).contains(&standing.stratum);
        is_known.then_some((standing, bound))
    }
}

/// A role that asks the sources and says nothing for so long follows none.
const SILENCE: Duration = Duration::from_secs(60);

/// Nothing is known: as RFC 5905 has it (`MAXDISP`).
const UNKNOWN: Span = Span::from_seconds(16);

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use noonmark_clock::ClockState as State;
    use noonmark_units::Timestamp;
    use std::path::Path;

    pub(crate) const STANDING: Standing = Standing {
        state: State::Synchronised,
        leap: Leap::None,
        stratum: 3,
        reference_id: ReferenceId([192, 0, 2, 1]),
        root_delay: Span::from_nanos(2_000_000),
        root_dispersion: Span::from_nanos(1_000_000),
        estimated_error: Span::from_nanos(1_000),
        as_of: Mono(1_000_000_000),
        reference_time: Timestamp::from_bits(0xe9ff_0000_0000_0000),
        growth_ppb: 15_000,
        facts: Facts { agreeing: 1, updates: 4 },
        memory: None,
    };

    fn served(server: &str) -> Served {
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n[[source]]\nserver = \"a.example\"\n"
        );
        let settings = noonmark_config::parse(&text, Path::new("/x/noonmark.toml"));
        let settings = settings.unwrap_or_else(|report| panic!("{report}"));
        Served::new(&settings, Precision(-25), None, seconds(0))
    }

    fn seconds(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000_000)
    }

    #[test]
    fn clock_is_unsynchronised_until_the_sources_vouch_for_it() {
        let check = |server: &str, standing: Option<Standing>, stratum: u8, synchronised: bool| {
            let mut served = served(server);
            if let Some(standing) = standing {
                served.learn(standing, seconds(5));
            }
            served.update(seconds(5), UnixTime::EPOCH);
            let state = served.state(seconds(5), Leap::None);
            assert_eq!(
                (state.stratum.get(), state.is_synchronised(), state.as_of, state.precision),
                (stratum, synchronised, seconds(5), Precision(-25)),
                "{server} {standing:?}"
            );
            let kernel = served.kernel_status(seconds(5), Leap::None, None);
            assert_eq!(kernel.synchronised, stratum == 3, "only what is true");
        };
        let local = "local-stratum = 5";
        check("", None, 16, false);
        check(local, None, 5, true);
        check("", Some(STANDING), 3, true);
        check(local, Some(STANDING), 3, true);
        check("", Some(Standing { state: State::Holdover, ..STANDING }), 3, true);
        check("", Some(Standing { state: State::Unsynchronised, ..STANDING }), 16, false);
        check("", Some(Standing { stratum: 16, ..STANDING }), 16, false);
        check("", Some(Standing { leap: Leap::Unsynchronised, ..STANDING }), 16, false);
        let far = Standing { root_dispersion: Span::from_seconds(3), ..STANDING };
        check("", Some(far), 16, false);
        check(local, Some(far), 5, true);
    }

    const HELD: Standing = Standing { state: State::Holdover, ..STANDING };

    /// Stratum and root dispersion at `at` of a clock that is local or not.
    fn look(served: &mut Served, at: u64) -> (u8, f64) {
        served.update(seconds(at), UnixTime::new(at.cast_signed(), 0));
        let state = served.state(seconds(at), Leap::None);
        (state.stratum.get(), state.root_dispersion.to_span().as_seconds_f64())
    }

    #[test]
    fn a_clock_that_followed_sources_is_served_as_theirs_until_it_is_too_far_and_then_as_its_own() {
        let mut served = served("local-stratum = 7\nlocal-distance = \"100ms\"");
        served.learn(Standing { as_of: seconds(1), ..HELD }, seconds(1));
        assert_eq!(look(&mut served, 1).0, 3);
        assert_eq!(served.without_since, None);
        // 98 ms of growth at 15 ppm.
        assert_eq!(look(&mut served, 6000).0, 3);
        let (stratum, dispersion) = look(&mut served, 7000);
        assert_eq!(stratum, 7);
        assert!((dispersion - 0.107).abs() < 1e-3, "what it may be wrong by is said: {dispersion}");
        assert_eq!(
            served.state(seconds(7000), Leap::None).growth_ppb,
            15_000,
            "and goes on growing"
        );
        let (_, later) = look(&mut served, 500_000);
        assert!((later - 7.5).abs() < 0.1, "{later}");
        assert_eq!(served.without_since, Some(UnixTime::new(7000, 0)));
        served.learn(Standing { as_of: seconds(500_001), ..STANDING }, seconds(500_001));
        assert_eq!(look(&mut served, 500_001).0, 3);
        assert_eq!(served.without_since, None);
    }

    #[test]
    fn a_clock_that_never_followed_anything_is_right_by_decree_once_it_has_waited() {
        let mut served = served("local-stratum = 7\nlocal-wait = \"20s\"");
        assert_eq!(look(&mut served, 19), (16, 16.0));
        assert_eq!(look(&mut served, 20), (7, 0.0));
        assert_eq!(look(&mut served, 2000), (7, 0.0));
    }

    #[test]
    fn sources_that_say_nothing_for_a_minute_are_not_followed() {
        let mut served = served("local-stratum = 7\nlocal-distance = \"0s\"");
        served.learn(Standing { as_of: seconds(1), ..STANDING }, seconds(1));
        assert_eq!(look(&mut served, 60).0, 3);
        assert_eq!(look(&mut served, 62).0, 7);
    }

    #[test]
    fn what_the_process_before_knew_is_served_on_at_once() {
        let mut before = served("");
        before.learn(STANDING, STANDING.as_of);
        let text = "[[source]]\nserver = \"a.example\"\n";
        let after = |text: &str| {
            let settings = noonmark_config::parse(text, Path::new("/x/noonmark.toml"));
            let settings = settings.unwrap_or_else(|report| panic!("{report}"));
            Served::new(&settings, Precision(-25), Some(before.bequest()), seconds(1001))
        };
        let state = after(text).state(seconds(1001), Leap::None);
        assert_eq!((state.leap, state.stratum.get()), (Leap::None, 3));
        let dispersion = state.root_dispersion.to_span().as_seconds_f64();
        assert!((dispersion - 0.016).abs() < 1e-4, "it has grown meanwhile: {dispersion}");
        // Only as long as sources are asked.
        let none = "[server]\nlisten = [\"127.0.0.1:0\"]\n";
        assert!(!after(none).is_synchronised(seconds(1001)));
    }

    #[test]
    fn without_news_the_bound_grows_until_it_is_worth_nothing() {
        let mut served = served("");
        served.learn(STANDING, seconds(1));
        let dispersion = |at: u64| {
            served.state(seconds(at), Leap::None).root_dispersion.to_span().as_seconds_f64()
        };
        for (at, expected) in [(1, 0.001), (1001, 0.016), (100_001, 1.501)] {
            assert!((dispersion(at) - expected).abs() < 2e-5, "{at} s: {}", dispersion(at));
        }
        assert!(served.is_synchronised(seconds(190_000)));
        assert!(!served.is_synchronised(seconds(210_000)), "beyond max-distance");
        let bound = served.kernel_status(seconds(1001), Leap::None, Some(37));
        assert!(
            (bound.max_error.as_seconds_f64() - 0.017).abs() < 1e-6 && bound.tai_offset == Some(37)
        );
    }

    #[test]
    fn news_from_the_future_are_of_now() {
        let mut served = served("");
        served.learn(Standing { as_of: Mono(u64::MAX), ..STANDING }, seconds(1));
        let grown = served.state(seconds(1001), Leap::None).root_dispersion.to_span();
        assert!(grown > Span::from_nanos(15_000_000), "{grown}");
    }

    #[test]
    fn a_leap_second_is_announced_on_its_day_only() {
        let mut served = served("");
        // Servers that announce it all month, as some do.
        served.learn(Standing { leap: Leap::InsertSecond, ..STANDING }, seconds(1));
        assert_eq!(served.announced(seconds(2)), Leap::InsertSecond);
        assert_eq!(served.state(seconds(2), Leap::None).leap, Leap::None);
        assert_eq!(served.state(seconds(2), Leap::InsertSecond).leap, Leap::InsertSecond);
        assert_eq!(
            served.announced(seconds(1_000_000)),
            Leap::Unsynchronised,
            "nothing is known by then"
        );
    }

    #[test]
    fn a_role_that_has_just_begun_does_not_take_back_what_was_known() {
        let mut served = served("local-stratum = 9\nlocal-distance = \"0s\"");
        let now = STANDING.as_of;
        served.learn(STANDING, now);
        let begun = Standing { state: State::Unsynchronised, stratum: 16, as_of: now, ..STANDING };
        served.learn(begun, now);
        assert!(served.is_synchronised(now));
        assert_eq!(served.state(now, Leap::None).stratum.get(), 3);
        served.update(now, UnixTime::EPOCH);
        assert_eq!(served.state(now, Leap::None).stratum.get(), 9, "nor is it followed, though");
        served.without.since = None;
        let held = Standing { state: State::Holdover, stratum: 16, as_of: now, ..STANDING };
        served.learn(held, now);
        assert!(!served.is_synchronised(now), "one that knows is believed");
    }
}
