//! Cookie keys on their way from the warden to those who use them.

use noonmark_nts::{COOKIE_KEY_LEN, CookieKey};
use noonmark_units::UnixTime;

use super::MessageError;
use super::codec::{Reader, Writer};

/// All cookie keys good now. Body: current epoch (4), end of the current epoch (12), number of keys (2), zeros (2), then per key
/// its epoch (4) and the key (32). A secret; wiped when dropped.
#[derive(Clone)]
pub struct KeySet {
    /// The epoch new cookies belong to.
    pub current: u32,
    /// When the warden will turn the ring.
    pub next_turn: UnixTime,
    /// 1 to [`MOST_KEYS`] keys.
    pub keys: Vec<CookieKey>,
}

impl KeySet {
    /// What may be told about it.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        let oldest = self.keys.iter().map(CookieKey::epoch).min().unwrap_or(self.current);
        Epochs { current: self.current, oldest, next_turn: self.next_turn }
    }
}

/// Where the ratchet of cookie keys stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Epochs {
    /// The epoch new cookies belong to.
    pub current: u32,
    /// The oldest epoch whose cookies are honoured.
    pub oldest: u32,
    /// When the current epoch ends.
    pub next_turn: UnixTime,
}

/// The most cookie keys in a message: 64 epochs kept, the current one, the coming one, and room.
pub const MOST_KEYS: usize = 100;

impl KeySet {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (current, next_turn, count) = (from.u32()?, from.time()?, from.u16()?);
        from.zeros::<2>()?;
        if !(1..=MOST_KEYS).contains(&usize::from(count)) {
            return Err(MessageError::Value { what: "number of keys" });
        }
        let mut keys = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let epoch = from.u32()?;
            keys.push(CookieKey::new(epoch, from.array::<COOKIE_KEY_LEN>()?));
        }
        Ok(Self { current, next_turn, keys })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let keys = self.keys.get(..MOST_KEYS).unwrap_or(&self.keys);
        to.u32(self.current);
        to.time(self.next_turn);
        to.u16(u16::try_from(keys.len()).expect("at most 100"));
        to.put(&[0; 2]);
        for key in keys {
            to.u32(key.epoch());
            to.put(key.expose());
        }
    }
}
