//! What is known of leap seconds on this day.

use std::path::{Path, PathBuf};

use noonmark_clock::leap::{LeapSecond, LeapSeconds, Months};
use noonmark_config::{Clock, LeapRule};
use noonmark_packet::Leap;
use noonmark_units::UnixTime;

/// A list of leap seconds, as far as one is configured, and the sources' word where it knows nothing.
pub struct LeapList {
    rule: LeapRule,
    file: Option<PathBuf>,
    list: Option<LeapSeconds>,
    /// The UTC day on which the file was last read.
    read_on: Option<i64>,
    tai_offset: Option<i32>,
}

impl LeapList {
    /// By the configuration.
    #[must_use]
    pub fn new(settings: &Clock) -> Self {
        Self {
            rule: settings.leap,
            file: settings.leap_seconds.clone(),
            list: None,
            read_on: None,
            tai_offset: None,
        }
    }

    /// The leap second at the end of this UTC day, where the sources announce `announced`; [`Leap::None`] where the kernel is not to be told
    /// of any.
    pub fn today(&mut self, announced: Leap, now: UnixTime) -> Leap {
        self.read_daily(now);
        self.tai_offset = self.list.as_ref().and_then(|list| list.tai_offset(now));
        if self.rule == LeapRule::Ignore {
            return Leap::None;
        }
        let leap = match self.list.as_ref().map(|list| list.today(now)) {
            Some(Ok(leap)) => leap,
            Some(Err(_)) | None => {
                LeapSecond::at_the_end_of_today(announced, now, Months::JuneDecember)
            }
        };
        leap.map_or(Leap::None, LeapSecond::leap)
    }

    /// TAI − UTC, if a list says.
    #[must_use]
    pub fn tai_offset(&self) -> Option<i32> {
        self.tai_offset
    }

    fn read_daily(&mut self, now: UnixTime) {
        let (Some(file), day) = (&self.file, now.seconds.div_euclid(86_400)) else { return };
        if self.read_on == Some(day) {
            return;
        }
        self.read_on = Some(day);
        match read(file) {
            Ok(list) if list.is_expired(now) => {
                tracing::warn!(file = %file.display(), "the list of leap seconds has expired; the sources are believed");
                self.list = Some(list);
            }
            Ok(list) => self.list = Some(list),
            // One read before goes on being good until it expires.
            Err(error) => tracing::warn!(file = %file.display(), error, "no list of leap seconds"),
        }
    }
}

fn read(file: &Path) -> Result<LeapSeconds, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    LeapSeconds::from_list(&text)
        .or_else(|error| LeapSeconds::from_tzdata(&text).map_err(|_| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(settings: &str) -> LeapList {
        let text = format!("[[source]]\nserver = \"a.example\"\n[clock]\n{settings}\n");
        let parsed = noonmark_config::parse(&text, Path::new("/x/noonmark.toml"));
        LeapList::new(&parsed.unwrap_or_else(|report| panic!("{report}")).clock)
    }

    /// Noon of 2016-12-31, which had a leap second, and of the day before.
    const NOON: UnixTime = UnixTime { seconds: 1_483_185_600, nanos: 0 };
    const DAY_BEFORE: UnixTime = UnixTime { seconds: NOON.seconds - 86_400, nanos: 0 };

    #[test]
    fn sources_are_believed_on_a_day_that_can_have_one() {
        assert_eq!(list("").today(Leap::InsertSecond, NOON), Leap::InsertSecond);
        assert_eq!(list("").today(Leap::InsertSecond, DAY_BEFORE), Leap::None);
        assert_eq!(list("").today(Leap::Unsynchronised, NOON), Leap::None);
        assert_eq!(list("leap = \"ignore\"").today(Leap::InsertSecond, NOON), Leap::None);
    }

    #[test]
    fn a_list_is_believed_rather_than_the_sources() {
        let path = std::env::temp_dir().join(format!("noonmark-leaps-{}", std::process::id()));
        let text =
            "#expires 1500000000\nLeap 1972 Jun 30 23:59:60 + S\nLeap 2016 Dec 31 23:59:60 + S\n";
        std::fs::write(&path, text).expect("room");
        let mut list = list(&format!("leap-seconds = {path:?}"));
        assert_eq!(list.today(Leap::None, NOON), Leap::InsertSecond, "{:?}", read(&path));
        assert_eq!(list.tai_offset(), Some(11), "ten seconds and those listed before");
        // When it is too old, the sources are all there is.
        let later = UnixTime::new(1_600_000_000, 0);
        assert_eq!(list.today(Leap::None, later), Leap::None);
        assert_eq!(list.tai_offset(), None);
        std::fs::remove_file(&path).expect("ours");
    }
}
