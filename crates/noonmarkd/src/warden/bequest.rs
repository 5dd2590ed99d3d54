//! What one warden leaves to the next, and shows to observe: what is known of the clock, in a page that outlives its writer.
//!
//! The words hold the fields one after the other: when it was first looked for a source (8), when one was last followed (8, 0 if never),
//! whether the clock has been close enough to the truth to be served without one (1), since when it is (8 and 12, 0 if it is not),
//! whether the sources have said anything (1), and what they have said ([`Standing`]). Instants are of the clock that counts the time asleep.

use noonmark_clock::LocalClock;
use noonmark_units::{Mono, UnixTime};
use zeroize::Zeroizing;

use crate::message::codec::{Reader, Writer, octets_of, words_of};
use crate::message::{MessageError, Standing};

/// What is known of the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bequest {
    /// What the sources last said.
    pub standing: Option<Standing>,
    /// Whether it is served without any.
    pub local: LocalClock,
    /// Since when it is, as people write it.
    pub local_since: Option<UnixTime>,
}

impl Bequest {
    /// The words of a page.
    #[must_use]
    pub fn to_words(self) -> Vec<u64> {
        let mut to = Writer(Zeroizing::new(Vec::new()));
        let instant = |at: Option<Mono>| at.unwrap_or_default().0.to_be_bytes();
        to.put(&self.local.began.0.to_be_bytes());
        to.put(&instant(self.local.last_followed));
        to.put(&[u8::from(self.local.was_close)]);
        to.put(&instant(self.local.since));
        to.time(self.local_since.unwrap_or_default());
        to.put(&[u8::from(self.standing.is_some())]);
        if let Some(standing) = &self.standing {
            standing.write(&mut to);
        }
        words_of(&to)
    }

    /// What the words of a page say; `None` before it was first written.
    ///
    /// # Errors
    /// Words that [`Bequest::to_words`] would not have written.
    pub fn from_words(words: &[u64]) -> Result<Option<Self>, MessageError> {
        let Some(octets) = octets_of(words)? else { return Ok(None) };
        let mut from = Reader(&octets);
        let instant = |at: u64| (at != 0).then_some(Mono(at));
        let local = LocalClock {
            began: Mono(from.u64()?),
            last_followed: instant(from.u64()?),
            was_close: from.flag()?,
            since: instant(from.u64()?),
        };
        let local_since = Some(from.time()?).filter(|_| local.since.is_some());
        let standing = if from.flag()? { Some(Standing::parse(&mut from)?) } else { None };
        if !from.0.is_empty() {
            return Err(MessageError::Length { len: from.0.len() });
        }
        Ok(Some(Self { standing, local, local_since }))
    }
}

/// Words of the page.
pub const BEQUEST_WORDS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warden::served::tests::STANDING;

    #[test]
    fn what_is_left_behind_is_found_again() {
        let began = Mono(5_000_000_000);
        let check = |bequest: Bequest| {
            let mut words = bequest.to_words();
            assert!(words.len() <= BEQUEST_WORDS, "{}", words.len());
            assert_eq!(Bequest::from_words(&words), Ok(Some(bequest)));
            words.resize(BEQUEST_WORDS, 0);
            assert_eq!(Bequest::from_words(&words), Ok(Some(bequest)));
            words[0] += 1;
            assert!(Bequest::from_words(&words).is_err());
            words[0] = u64::MAX;
            assert!(Bequest::from_words(&words).is_err());
        };
        check(Bequest { standing: None, local: LocalClock::new(began), local_since: None });
        check(Bequest {
            standing: Some(STANDING),
            local: LocalClock {
                last_followed: Some(Mono(7)),
                was_close: true,
                since: Some(Mono(8)),
                ..LocalClock::new(began)
            },
            local_since: Some(UnixTime::new(1_800_000_000, 5)),
        });
        assert_eq!(Bequest::from_words(&[0; BEQUEST_WORDS]), Ok(None), "nobody has written yet");
    }
}
