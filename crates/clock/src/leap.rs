//! Leap seconds: when there is one, who says so, and how a clock gets past it.
//!
//! [`LeapSeconds`] is what a published list knows ([`from_list`](LeapSeconds::from_list),
//! [`from_tzdata`](LeapSeconds::from_tzdata), [`from_zone`](LeapSeconds::from_zone)): TAI − UTC at any time, and the next leap
//! second. Where no list knows, sources announce one, and [`announced`] says what to make of it. The [`Agenda`] says what is to be
//! done about the next one; time that is served may have it as a [`Smear`]. Pure; reading files is the caller's.

mod agenda;
mod calendar;
mod list;
mod sha1;
mod smear;
mod zone;

pub use agenda::{Agenda, Handling};
pub use list::ListError;
pub use smear::{Shape, Smear};

use noonmark_packet::Leap;
use noonmark_units::{Span, Timestamp, UnixTime};

use calendar::Date;

/// One leap second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeapSecond {
    /// The start of the UTC day that follows it.
    pub at: UnixTime,
    /// Whether a second is inserted before that, as all have been so far, or the last one left out.
    pub inserted: bool,
}

impl LeapSecond {
    /// How far UTC, as computers count it, jumps: a second back for one that is inserted, a second forward for one left out.
    #[must_use]
    pub fn jump(self) -> Span {
        Span::from_seconds(if self.inserted { -1 } else { 1 })
    }

    /// What a clock that goes on counting shows when UTC jumps: the end of the day, or a second before that where the last second is left
    /// out.
    #[must_use]
    pub fn instant(self) -> UnixTime {
        if self.inserted { self.at } else { self.at - self.jump() }
    }

    /// The start of the day that follows it, its era dropped.
    #[must_use]
    pub fn at_stamp(self) -> Timestamp {
        Timestamp::from_unix(self.at)
    }

    /// As it is announced in packets and to the kernel.
    #[must_use]
    pub fn leap(self) -> Leap {
        if self.inserted { Leap::InsertSecond } else { Leap::DeleteSecond }
    }

    /// The one that `leap` announces, if `now` lies in the last UTC day of a month in which it can come. Announcements go on all
    /// day and mean the end of it.
    #[must_use]
    pub fn at_the_end_of_today(leap: Leap, now: UnixTime, months: Months) -> Option<Self> {
        let inserted = match leap {
            Leap::InsertSecond => true,
            Leap::DeleteSecond => false,
            Leap::None | Leap::Unsynchronised => return None,
        };
        let tomorrow = now.seconds.div_euclid(86_400).saturating_add(1);
        let Date { month, day, .. } = Date::from_day(tomorrow);
        let fits = day == 1 && (months == Months::Any || matches!(month, 1 | 7));
        fits.then(|| Self { at: UnixTime::new(tomorrow.saturating_mul(86_400), 0), inserted })
    }
}

/// At the end of which months a leap second is believed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Months {
    /// June and December, the ones ITU-R TF.460 prefers; there has been no other.
    #[default]
    JuneDecember,
    /// Any month, as the same recommendation would allow.
    Any,
}

/// What one source says about the next leap second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// What it announces.
    pub leap: Leap,
    /// Whether the operator trusts it above others.
    pub trusted: bool,
}

/// What the sources that were selected announce together: what more than half of them say. Where some are trusted, only these
/// have a voice. One that is not synchronised has none.
#[must_use]
pub fn announced(selected: &[Announcement]) -> Leap {
    let speaks = |source: &&Announcement| source.leap != Leap::Unsynchronised;
    let trusted = selected.iter().filter(speaks).any(|source| source.trusted);
    let heard: Vec<Leap> = selected
        .iter()
        .filter(speaks)
        .filter(|source| source.trusted || !trusted)
        .map(|source| source.leap)
        .collect();
    let majority =
        |leap: &Leap| heard.iter().filter(|said| *said == leap).count() * 2 > heard.len();
    [Leap::InsertSecond, Leap::DeleteSecond].into_iter().find(majority).unwrap_or(Leap::None)
}

/// All leap seconds until some day, as published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeapSeconds {
    /// In order; the first is where the list begins.
    changes: Vec<Change>,
    expires: Option<UnixTime>,
}

/// From when on TAI − UTC has a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Change {
    /// The start of a UTC day.
    at: UnixTime,
    tai_offset: i32,
}

impl LeapSeconds {
    /// TAI − UTC in seconds; `None` before the list begins and from when it expires.
    #[must_use]
    pub fn tai_offset(&self, at: UnixTime) -> Option<i32> {
        let past = self.changes.iter().take_while(|change| change.at <= at).last()?;
        (!self.is_expired(at)).then_some(past.tai_offset)
    }

    /// The leap second at the end of the UTC day of `now`, if there is one; the end of a list that does not know any more is `Err`.
    ///
    /// # Errors
    /// [`Expired`], where the sources have to be asked.
    pub fn today(&self, now: UnixTime) -> Result<Option<LeapSecond>, Expired> {
        if self.is_expired(now) {
            return Err(Expired { at: self.expires.unwrap_or(UnixTime::MAX) });
        }
        let end = UnixTime::new(
            (now.seconds.div_euclid(86_400).saturating_add(1)).saturating_mul(86_400),
            0,
        );
        Ok(self.leap_seconds().find(|leap| leap.at == end))
    }

    /// All of them, in order.
    pub fn leap_seconds(&self) -> impl Iterator<Item = LeapSecond> {
        let pairs = self.changes.iter().zip(self.changes.iter().skip(1));
        pairs.map(|(before, after)| LeapSecond {
            at: after.at,
            inserted: after.tai_offset > before.tai_offset,
        })
    }

    /// Until when nothing will be added to the list, if it says so.
    #[must_use]
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// Whether there may be leap seconds by now that it does not know.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The list is too old to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expired {
    /// Since when.
    pub at: UnixTime,
}

impl std::fmt::Display for Expired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the list of leap seconds expired at {}", self.at)
    }
}

impl std::error::Error for Expired {}

#[cfg(test)]
mod tests;
