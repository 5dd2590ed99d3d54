use std::fmt;

use noonmark_units::{Timestamp, UnixTime};

use super::calendar::Date;
use super::sha1::sha1;
use super::{Change, LeapSeconds};

/// Why a list of leap seconds was not believed. Lines are counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListError {
    /// The file is longer than any such list, in octets.
    TooLong {
        /// Its length.
        len: usize,
    },
    /// There is no leap second in it, or it is another kind of file.
    Empty,
    /// A line, or for a compiled zone an entry, is not what it has to be.
    Malformed {
        /// Which one.
        line: usize,
    },
    /// A leap second that is not at the end of a day, comes before the last one, or is more than one.
    Impossible {
        /// Which line.
        line: usize,
    },
    /// The sum over the list is not the one it states.
    Sum {
        /// As stated.
        stated: [u32; 5],
        /// As computed.
        computed: [u32; 5],
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => {
                write!(
                    f,
                    "{len} octets are more than a list of leap seconds has (at most {MAX_LEN})"
                )
            }
            Self::Empty => f.write_str("there is no leap second in it"),
            Self::Malformed { line } => {
                write!(f, "line {line} is not one of a list of leap seconds")
            }
            Self::Impossible { line } => {
                write!(
                    f,
                    "line {line}: TAI − UTC changes by one second, at the end of a day, each later than the one before"
                )
            }
            Self::Sum { stated, computed } => {
                write!(
                    f,
                    "the list is damaged: its SHA-1 is {computed:08x?}, it says {stated:08x?}"
                )
            }
        }
    }
}

impl std::error::Error for ListError {}

impl LeapSeconds {
    /// The longest list that is believed, in octets.
    pub const LONGEST: usize = MAX_LEN;

    /// From the text of either list: `leap-seconds.list`, or tzdata's `leapseconds`.
    ///
    /// # Errors
    /// [`ListError`], of the first.
    pub fn from_text(text: &str) -> Result<Self, ListError> {
        Self::from_list(text).or_else(|error| Self::from_tzdata(text).map_err(|_| error))
    }

    /// From the text of `leap-seconds.list`, as the IERS publishes it: seconds since 1900 and TAI − UTC on each line, comments after
    /// `#`, of which `#$` is when it was written, `#@` until when it holds, and `#h` the SHA-1 of all digits that count.
    ///
    /// # Errors
    /// [`ListError`]; a list without a sum is taken as it is.
    pub fn from_list(text: &str) -> Result<Self, ListError> {
        let mut read = ListText::default();
        for (line, text) in numbered(text)? {
            read.line(text).ok_or(ListError::Malformed { line })??;
        }
        read.finish()
    }

    /// From the text of tzdata's `leapseconds`: lines `Leap YEAR MONTH DAY HH:MM:SS + S`, and `Expires` or the comment `#expires`.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn from_tzdata(text: &str) -> Result<Self, ListError> {
        let mut list = Self { changes: vec![FIRST], expires: None };
        for (line, text) in numbered(text)? {
            let malformed = ListError::Malformed { line };
            let words: Vec<&str> = text.split_whitespace().collect();
            match *words.as_slice() {
                ["Leap", year, month, day, time, sign, _rolling, ..] => {
                    let last_day = date(year, month, day).ok_or(malformed)?;
                    let change = match (time, sign) {
                        ("23:59:60", "+") => 1,
                        ("23:59:59", "-") => -1,
                        _ => return Err(malformed),
                    };
                    let at = UnixTime::new((last_day + 1) * 86_400, 0);
                    list.push_change(at, change).ok_or(ListError::Impossible { line })?;
                }
                ["Expires", year, month, day, "00:00:00", ..] => {
                    let day = date(year, month, day).ok_or(malformed)?;
                    list.expires = Some(UnixTime::new(day * 86_400, 0));
                }
                ["#expires", seconds, ..] => {
                    let seconds = seconds.parse().map_err(|_| malformed)?;
                    list.expires = Some(UnixTime::new(seconds, 0));
                }
                [] => {}
                [word, ..] if word.starts_with('#') => {}
                _ => return Err(malformed),
            }
        }
        if list.changes.len() == 1 { Err(ListError::Empty) } else { Ok(list) }
    }

    /// Adds a change by a second; `None` if it cannot be one.
    pub(super) fn push_change(&mut self, at: UnixTime, change: i32) -> Option<()> {
        let last = *self.changes.last()?;
        let after = at > last.at && at.nanos == 0 && at.seconds.rem_euclid(86_400) == 0;
        (after && change.abs() == 1 && self.changes.len() < MAX_CHANGES).then(|| {
            let tai_offset = last.tai_offset + change;
            self.changes.push(Change { at, tai_offset });
        })
    }
}

/// What a `leap-seconds.list` has said so far.
#[derive(Default)]
struct ListText {
    list: Option<LeapSeconds>,
    lines: usize,
    expires: Option<UnixTime>,
    /// Of when it was written, until when it holds, and all changes, in this order.
    digits: [String; 3],
    stated: Option<[u32; 5]>,
}

impl ListText {
    /// `None` if the line is malformed.
    fn line(&mut self, text: &str) -> Option<Result<(), ListError>> {
        self.lines += 1;
        if let Some(rest) = text.strip_prefix("#$") {
            self.digits[0] = number(rest)?.to_owned();
        } else if let Some(rest) = text.strip_prefix("#@") {
            let digits = number(rest)?;
            self.expires = Some(since_1900(digits)?);
            self.digits[1] = digits.to_owned();
        } else if let Some(rest) = text.strip_prefix("#h") {
            let words: Option<Vec<u32>> =
                rest.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok()).collect();
            self.stated = Some(words?.try_into().ok()?);
        } else if !text.starts_with('#') {
            let mut words = text.split('#').next()?.split_whitespace();
            let Some(seconds) = words.next() else { return Some(Ok(())) };
            let (seconds, offset) = (number(seconds)?, number(words.next()?)?);
            if words.next().is_some() {
                return None;
            }
            self.digits[2].extend([seconds, offset]);
            return Some(self.change(since_1900(seconds)?, offset.parse().ok()?));
        }
        Some(Ok(()))
    }

    fn change(&mut self, at: UnixTime, tai_offset: i32) -> Result<(), ListError> {
        let impossible = ListError::Impossible { line: self.lines };
        let Some(list) = &mut self.list else {
            // What the first line says is where counting begins, whatever it is.
            let whole = at.seconds.rem_euclid(86_400) == 0 && (0..1000).contains(&tai_offset);
            let first = Change { at, tai_offset };
            self.list = whole.then(|| LeapSeconds { changes: vec![first], expires: None });
            return self.list.is_some().then_some(()).ok_or(impossible);
        };
        let before = list.changes.last().map_or(0, |change| change.tai_offset);
        list.push_change(at, tai_offset.saturating_sub(before)).ok_or(impossible)
    }

    fn finish(self) -> Result<LeapSeconds, ListError> {
        let mut list = self.list.ok_or(ListError::Empty)?;
        list.expires = self.expires;
        let computed = sha1(self.digits.concat().as_bytes());
        match self.stated {
            Some(stated) if stated != computed => Err(ListError::Sum { stated, computed }),
            _ => Ok(list),
        }
    }
}

/// The lines of a text that is not too long, with their numbers, ends trimmed.
fn numbered(text: &str) -> Result<impl Iterator<Item = (usize, &str)>, ListError> {
    if text.len() > MAX_LEN {
        return Err(ListError::TooLong { len: text.len() });
    }
    Ok(text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())))
}

/// A word of digits, which fits 64 bits.
fn number(text: &str) -> Option<&str> {
    let word = text.trim();
    let digits = !word.is_empty() && word.len() <= 18 && word.bytes().all(|b| b.is_ascii_digit());
    digits.then_some(word)
}

/// Seconds since 1900, not modulo an era.
fn since_1900(digits: &str) -> Option<UnixTime> {
    Some(UnixTime::new(digits.parse::<i64>().ok()?.checked_sub(FROM_1900_TO_1970)?, 0))
}

/// Days since 1970 of a date as tzdata writes it: `1972 Jun 30`.
fn date(year: &str, month: &str, day: &str) -> Option<i64> {
    let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == month)?.1;
    Date { year: year.parse().ok()?, month, day: day.parse().ok()? }.to_day()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// RFC 5905 figure 4.
const FROM_1900_TO_1970: i64 = 2_208_988_800;
const _: () = assert!(
    Timestamp::from_unix(UnixTime::EPOCH).to_bits() == (FROM_1900_TO_1970 as u64) << 32,
    "as the timestamps have it"
);

/// 1972-01-01, when UTC began to have leap seconds: TAI − UTC was 10 s.
pub(super) const FIRST: Change =
    Change { at: UnixTime { seconds: 63_072_000, nanos: 0 }, tai_offset: 10 };

/// The published lists have some 5000 octets and 28 entries after half a century.
pub(super) const MAX_LEN: usize = 1 << 16;
const MAX_CHANGES: usize = 500;
