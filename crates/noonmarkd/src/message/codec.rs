//! Fields of a message, one after the other.

use noonmark_units::UnixTime;
use zeroize::Zeroizing;

use super::{LONGEST_TEXT, MessageError, Text};
use crate::role::Role;

/// Takes fields from the front of a message.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(MessageError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, MessageError> {
        let [octet] = self.array()?;
        Ok(octet)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, MessageError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, MessageError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn time(&mut self) -> Result<UnixTime, MessageError> {
        let (seconds, nanos) = (self.array().map(i64::from_be_bytes)?, self.u32()?);
        if nanos > 999_999_999 {
            return Err(MessageError::Value { what: "nanoseconds" });
        }
        Ok(UnixTime { seconds, nanos })
    }

    pub(crate) fn flag(&mut self) -> Result<bool, MessageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(MessageError::Value { what: "flag" }),
        }
    }

    pub(crate) fn role(&mut self) -> Result<Role, MessageError> {
        Role::from_number(self.u8()?).ok_or(MessageError::Value { what: "role" })
    }

    /// Octets kept for later use must be zero, so that a meaning can be given to them.
    pub(crate) fn zeros<const N: usize>(&mut self) -> Result<(), MessageError> {
        if self.array()? == [0; N] {
            Ok(())
        } else {
            Err(MessageError::Value { what: "reserved octets" })
        }
    }

    pub(crate) fn text(&mut self) -> Result<Text, MessageError> {
        let len = usize::from(self.u16()?);
        if len > LONGEST_TEXT {
            return Err(MessageError::Value { what: "length of text" });
        }
        let (octets, rest) = self.0.split_at_checked(len).ok_or(MessageError::Short)?;
        self.0 = rest;
        let text = std::str::from_utf8(octets).map_err(|_| MessageError::Value { what: "text" })?;
        if text.chars().any(char::is_control) {
            return Err(MessageError::Value { what: "text" });
        }
        Ok(Text(text.to_owned()))
    }
}

/// What a [`Writer`] has taken, as words of a page: first its length in octets, then these, eight in each word.
pub(crate) fn words_of(fields: &Writer) -> Vec<u64> {
    let octets = &fields.0;
    let words = octets.chunks(8).map(|part| {
        let mut word = [0; 8];
        word.iter_mut().zip(part).for_each(|(place, octet)| *place = *octet);
        u64::from_be_bytes(word)
    });
    std::iter::once(octets.len() as u64).chain(words).collect()
}

/// The octets in words of a page; `None` before it was first written.
///
/// # Errors
/// Words that [`words_of`] would not have written.
pub(crate) fn octets_of(words: &[u64]) -> Result<Option<Vec<u8>>, MessageError> {
    let Some((len, words)) = words.split_first().filter(|(len, _)| **len != 0) else {
        return Ok(None);
    };
    let mut octets: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let len = usize::try_from(*len).ok().filter(|len| *len <= octets.len());
    octets.truncate(len.ok_or(MessageError::Short)?);
    Ok(Some(octets))
}

/// Appends fields to a message.
pub(crate) struct Writer(pub(crate) Zeroizing<Vec<u8>>);

impl Writer {
    pub(crate) fn put(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn time(&mut self, time: UnixTime) {
        self.put(&time.seconds.to_be_bytes());
        self.u32(time.nanos);
    }

    pub(crate) fn text(&mut self, text: &Text) {
        self.u16(u16::try_from(text.0.len()).expect("at most 1024 octets"));
        self.put(text.0.as_bytes());
    }
}
