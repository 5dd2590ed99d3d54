use core::fmt;

use noonmark_units::UnixTime;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use crate::cookie::CookieKey;
use crate::random::{self, Random};

/// The secret all cookie keys come from, and the clockwork that replaces it: a ratchet that only turns forward.
///
/// Time since `origin` is cut into epochs of `interval`. Each epoch e has a secret R_e; the cookie key is
/// K_e = HKDF-SHA256(R_e, "cookie") and the next secret R_{e+1} = HKDF-SHA256(R_e, "ratchet"). Only the secret of the
/// oldest epoch still honoured is kept: what came before cannot be computed any more by anyone, and hosts that hold the
/// same ring make the same keys without talking. It belongs to the owner of the durable store and is handed to nobody;
/// others get [`keys`](KeyRing::keys). No `Debug`; wiped when dropped.
///
/// A cookie is honoured in its own epoch and in `retained` more; the key of the coming epoch is made early, for hosts
/// whose clocks are a little ahead.
pub struct KeyRing {
    pace: Pace,
    /// Unix second in which epoch 0 begins.
    origin: i64,
    oldest: u32,
    current: u32,
    /// R of the oldest epoch.
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

/// How fast the ring turns and how far it looks back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// Seconds of one epoch; at least 1.
    pub interval: u32,
    /// Epochs a cookie is honoured after its own, at most [`MAX_RETAINED`].
    pub retained: u16,
}

/// Most epochs a ring looks back. All their keys are held expanded by those who open cookies.
pub const MAX_RETAINED: u16 = 256;

/// Most epochs the ring turns at once: 179 years at a day each, 45 days at a minute each, and a tenth of a second of work.
pub const MAX_TURNS: u32 = 1 << 16;

/// What [`KeyRing::advance`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advance {
    /// Still the same epoch: nothing to store, nothing to hand out.
    Same,
    /// New epochs began: store the ring, hand out its keys.
    Turned {
        /// Epoch before.
        from: u32,
        /// Epoch now.
        to: u32,
    },
    /// The clock is behind the ring, by so little that the ring waits for it.
    Waiting {
        /// Epochs the clock is behind.
        epochs: u32,
    },
    /// The ring was thrown away and a new one begun: every cookie is void, and hosts that shared it agree no more.
    Renewed(Renewal),
}

/// Why a ring had to be begun anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Renewal {
    /// The clock is further behind the ring than cookies are honoured. To wait would leave one key in use for all that
    /// time, perhaps years: the clock was once far ahead.
    ClockBehind {
        /// Epochs the clock is behind.
        epochs: u64,
    },
    /// The clock is more than [`MAX_TURNS`] epochs ahead: every cookie is long void, and turning that far is work for nothing.
    ClockAhead {
        /// Epochs the clock is ahead.
        epochs: u64,
    },
}

/// A [`Pace`] nobody can keep: an interval of 0, or more than [`MAX_RETAINED`] epochs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PaceError(pub Pace);

impl fmt::Display for PaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pace { interval, retained } = self.0;
        write!(
            f,
            "cookie keys cannot turn every {interval} s and be kept {retained} epochs: at least 1 s, at most {MAX_RETAINED} epochs"
        )
    }
}

impl core::error::Error for PaceError {}

/// Why stored octets are no ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RingError {
    /// Written by another version of this program.
    Version {
        /// The version found.
        found: u8,
    },
    /// Not the length of a ring.
    Length {
        /// Octets found.
        found: usize,
    },
    /// Fields that contradict each other.
    Contradiction,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => {
                write!(f, "cookie key ring of version {found}, {VERSION} is understood")
            }
            Self::Length { found } => {
                write!(f, "cookie key ring of {found} octets, {RING_LEN} are expected")
            }
            Self::Contradiction => {
                f.write_str("cookie key ring whose fields contradict each other")
            }
        }
    }
}

impl core::error::Error for RingError {}

/// Octets of a stored ring.
pub const RING_LEN: usize = 56;

impl KeyRing {
    /// A new ring whose epoch 0 begins at `now`.
    ///
    /// # Errors
    /// [`PaceError`] for a pace nobody can keep.
    pub fn new(pace: Pace, now: UnixTime, random: &mut dyn Random) -> Result<Self, PaceError> {
        check(pace)?;
        let secret = Zeroizing::new(random::octets(random));
        Ok(Self { pace, origin: now.seconds, oldest: 0, current: 0, secret })
    }

    /// How fast it turns.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The epoch new cookies belong to.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The oldest epoch whose cookies are honoured.
    pub fn oldest(&self) -> u32 {
        self.oldest
    }

    /// When the current epoch ends and [`advance`](Self::advance) will turn the ring.
    pub fn next_turn(&self) -> UnixTime {
        let seconds = (i64::from(self.current) + 1).saturating_mul(i64::from(self.pace.interval));
        UnixTime::new(self.origin.saturating_add(seconds), 0)
    }

    /// Turns the ring to the epoch of `now`. It never turns back; see [`Renewal`] for clocks that are far off.
    ///
    /// Do not call it with a clock that is known to be wrong (a machine without a battery begins in the past): the ring
    /// cannot tell a clock not yet set from one that was far ahead, and would begin anew.
    ///
    /// Store the ring before handing out its keys whenever the answer is [`Advance::Turned`] or [`Advance::Renewed`].
    pub fn advance(&mut self, now: UnixTime, random: &mut dyn Random) -> Advance {
        let since = i128::from(now.seconds) - i128::from(self.origin);
        let epoch = since.div_euclid(i128::from(self.pace.interval));
        let ahead = epoch - i128::from(self.current);
        let distance = u64::try_from(ahead.unsigned_abs()).unwrap_or(u64::MAX);
        let patience = i128::from(self.pace.retained) + 1;
        // The coming epoch needs a number too.
        let last = i128::from(u32::MAX) - 1;
        if ahead < -patience {
            return self.renew(Renewal::ClockBehind { epochs: distance }, now, random);
        }
        if ahead > i128::from(MAX_TURNS) || epoch > last {
            return self.renew(Renewal::ClockAhead { epochs: distance }, now, random);
        }
        match u32::try_from(distance).unwrap_or(u32::MAX) {
            0 => Advance::Same,
            epochs if ahead < 0 => Advance::Waiting { epochs },
            epochs => {
                let from = self.current;
                self.current = from.saturating_add(epochs);
                self.forget();
                Advance::Turned { from, to: self.current }
            }
        }
    }

    /// Changes the pace, keeping the current epoch and all keys. Hosts that share the ring must be changed together.
    ///
    /// # Errors
    /// [`PaceError`] for a pace nobody can keep; nothing is changed then.
    pub fn set_pace(&mut self, pace: Pace, now: UnixTime) -> Result<(), PaceError> {
        check(pace)?;
        if pace.interval != self.pace.interval {
            let elapsed = i64::from(self.current).saturating_mul(i64::from(pace.interval));
            self.origin = now.seconds.saturating_sub(elapsed);
        }
        self.pace = pace;
        self.forget();
        Ok(())
    }

    /// The keys that are good now: of every epoch still honoured, the current one, and the coming one.
    pub fn keys(&self) -> Vec<CookieKey> {
        let mut secret = self.secret.clone();
        let mut keys = Vec::new();
        for epoch in self.oldest..=self.current.saturating_add(1) {
            keys.push(CookieKey::new(epoch, *derive(&secret, COOKIE)));
            secret = derive(&secret, RATCHET);
        }
        keys
    }

    /// The durable form, [`RING_LEN`] octets: version 1, a zero octet, retained(2), interval(4), origin(8, signed),
    /// oldest(4), current(4), R(32); big-endian. A secret.
    pub fn to_octets(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(RING_LEN));
        out.extend_from_slice(&[VERSION, 0]);
        out.extend_from_slice(&self.pace.retained.to_be_bytes());
        out.extend_from_slice(&self.pace.interval.to_be_bytes());
        out.extend_from_slice(&self.origin.to_be_bytes());
        out.extend_from_slice(&self.oldest.to_be_bytes());
        out.extend_from_slice(&self.current.to_be_bytes());
        out.extend_from_slice(self.secret.as_slice());
        out
    }

    /// Reads the durable form.
    ///
    /// # Errors
    /// [`RingError`] for octets that are none.
    pub fn from_octets(octets: &[u8]) -> Result<Self, RingError> {
        match octets.first() {
            Some(&VERSION) => (),
            Some(&found) => return Err(RingError::Version { found }),
            None => return Err(RingError::Length { found: 0 }),
        }
        let length = RingError::Length { found: octets.len() };
        let mut rest = octets.get(2..).ok_or(length)?;
        let retained = u16::from_be_bytes(take(&mut rest).ok_or(length)?);
        let interval = u32::from_be_bytes(take(&mut rest).ok_or(length)?);
        let origin = i64::from_be_bytes(take(&mut rest).ok_or(length)?);
        let oldest = u32::from_be_bytes(take(&mut rest).ok_or(length)?);
        let current = u32::from_be_bytes(take(&mut rest).ok_or(length)?);
        let secret = Zeroizing::new(take(&mut rest).ok_or(length)?);
        if !rest.is_empty() {
            return Err(length);
        }
        let pace = Pace { interval, retained };
        let span = current.checked_sub(oldest).ok_or(RingError::Contradiction)?;
        if check(pace).is_err() || span > u32::from(MAX_RETAINED) || current == u32::MAX {
            return Err(RingError::Contradiction);
        }
        let mut ring = Self { pace, origin, oldest, current, secret };
        ring.forget();
        Ok(ring)
    }

    /// Turns the secret to the oldest epoch still honoured.
    fn forget(&mut self) {
        let oldest = self.current.saturating_sub(u32::from(self.pace.retained));
        while self.oldest < oldest {
            self.secret = derive(&self.secret, RATCHET);
            self.oldest += 1;
        }
    }

    fn renew(&mut self, why: Renewal, now: UnixTime, random: &mut dyn Random) -> Advance {
        self.secret = Zeroizing::new(random::octets(random));
        (self.origin, self.oldest, self.current) = (now.seconds, 0, 0);
        Advance::Renewed(why)
    }
}

fn check(pace: Pace) -> Result<(), PaceError> {
    if pace.interval == 0 || pace.retained > MAX_RETAINED { Err(PaceError(pace)) } else { Ok(()) }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// HKDF-SHA256 (RFC 5869) with an empty salt, `secret` as input and `info`. What ring holds between its two steps is
/// the one copy of a secret that is not wiped here; it lives on this function's stack only.
fn derive(secret: &[u8; SECRET_LEN], info: &[u8]) -> Zeroizing<[u8; SECRET_LEN]> {
    struct Len;
    impl KeyType for Len {
        fn len(&self) -> usize {
            SECRET_LEN
        }
    }
    let mut out = Zeroizing::new([0; SECRET_LEN]);
    Salt::new(HKDF_SHA256, &[])
        .extract(secret)
        .expand(&[info], Len)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA256 yields 32 octets");
    out
}

const VERSION: u8 = 1;
const SECRET_LEN: usize = 32;
const COOKIE: &[u8] = b"cookie";
const RATCHET: &[u8] = b"ratchet";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::CookieKeys;
    use crate::testing::counting;
    use crate::{Aead, SessionKeys};

    const DAY: Pace = Pace { interval: 86400, retained: 2 };
    const START: i64 = 1_900_000_000;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::new(seconds, 0)
    }

    fn ring(pace: Pace) -> KeyRing {
        KeyRing::new(pace, at(START), &mut counting()).expect("a good pace")
    }

    fn copy(ring: &KeyRing) -> KeyRing {
        KeyRing::from_octets(&ring.to_octets()).expect("just written")
    }

    fn epochs(ring: &KeyRing) -> Vec<u32> {
        ring.keys().iter().map(CookieKey::epoch).collect()
    }

    fn key(ring: &KeyRing, epoch: u32) -> Option<[u8; 32]> {
        ring.keys().iter().find(|key| key.epoch() == epoch).map(|key| *key.expose())
    }

    #[test]
    fn keys_follow_hkdf_sha256() {
        // Computed beside this program with Python's hmac module: HKDF of R = 00..1f, salt empty.
        let octets: Vec<u8> = [1, 0, 0, 2, 0, 1, 0x51, 0x80]
            .into_iter()
            .chain(START.to_be_bytes())
            .chain([0; 8])
            .chain(0..32)
            .collect();
        let ring = KeyRing::from_octets(&octets).expect("well formed");
        let hex = |epoch| {
            key(&ring, epoch)
                .map(|key| key.iter().map(|octet| format!("{octet:02x}")).collect::<String>())
        };
        assert_eq!(hex(0).as_deref(), Some(K0));
        assert_eq!(hex(1).as_deref(), Some(K1));
        assert_eq!(hex(2), None);
    }

    const K0: &str = "aea76e1461d4fdb5a81c1a07da48438c1d3023533a56993404855dcb89723b1d";
    const K1: &str = "54d5a5e19a742e10b42733d50713c6ca067978a25b9aa5cfb9b54cd3e13deade";

    #[test]
    fn the_ring_turns_with_the_clock_and_keeps_its_window() {
        let mut ring = ring(DAY);
        assert_eq!(epochs(&ring), [0, 1]);
        let mut check = |seconds, expected, keys: &[u32]| {
            assert_eq!(ring.advance(at(START + seconds), &mut counting()), expected, "{seconds} s");
            assert_eq!(epochs(&ring), keys, "{seconds} s");
        };
        check(86399, Advance::Same, &[0, 1]);
        check(86400, Advance::Turned { from: 0, to: 1 }, &[0, 1, 2]);
        check(86400 * 2, Advance::Turned { from: 1, to: 2 }, &[0, 1, 2, 3]);
        check(86400 * 3, Advance::Turned { from: 2, to: 3 }, &[1, 2, 3, 4]);
        check(86400 * 3 - 1, Advance::Waiting { epochs: 1 }, &[1, 2, 3, 4]);
        check(0, Advance::Waiting { epochs: 3 }, &[1, 2, 3, 4]);
        check(86400 * 9, Advance::Turned { from: 3, to: 9 }, &[7, 8, 9, 10]);
        assert_eq!(ring.next_turn(), at(START + 86400 * 10));
    }

    #[test]
    fn hosts_that_share_a_ring_agree_whenever_they_look() {
        let mut first = ring(DAY);
        let mut second = copy(&first);
        for day in 1..40 {
            first.advance(at(START + day * 86400 + 5), &mut counting());
        }
        second.advance(at(START + 39 * 86400 - 5), &mut counting());
        assert_eq!((first.current(), second.current()), (39, 38));
        for epoch in 37..=39 {
            assert!(key(&first, epoch).is_some());
            assert_eq!(key(&first, epoch), key(&second, epoch), "epoch {epoch}");
        }
        let cookie = CookieKeys::new(&first.keys(), first.current())
            .issuer()
            .expect("has its key")
            .seal(&SessionKeys::blank(), &mut counting());
        assert!(
            CookieKeys::new(&second.keys(), second.current()).open(&cookie).is_ok(),
            "a host a little behind opens it"
        );
    }

    #[test]
    fn a_cookie_lives_through_its_window_and_a_restart() {
        let mut ring = ring(DAY);
        let session = SessionKeys::new(Aead::SivCmac256, &[1; 32], &[2; 32]).expect("right length");
        let cookie = CookieKeys::new(&ring.keys(), 0)
            .issuer()
            .expect("has its key")
            .seal(&session, &mut counting());
        for (day, good) in [(0, true), (1, true), (2, true), (3, false), (4, false)] {
            ring.advance(at(START + day * 86400), &mut counting());
            ring = copy(&ring);
            let opened = CookieKeys::new(&ring.keys(), ring.current()).open(&cookie);
            assert_eq!(opened.is_ok(), good, "day {day}");
        }
    }

    #[test]
    fn keys_of_the_past_cannot_be_made_again() {
        let mut ring = ring(DAY);
        let before = key(&ring, 0);
        ring.advance(at(START + 3 * 86400), &mut counting());
        assert_eq!(ring.oldest(), 1);
        assert!(before.is_some() && ring.keys().iter().all(|key| Some(*key.expose()) != before));
        assert!(
            ring.to_octets()
                .windows(32)
                .all(|window| Some(window) != before.as_ref().map(<[u8; 32]>::as_slice))
        );
    }

    #[test]
    fn a_clock_that_is_far_off_begins_a_new_ring_and_says_why() {
        let mut ring = ring(DAY);
        assert_eq!(
            ring.advance(at(START + 3650 * 86400), &mut counting()),
            Advance::Turned { from: 0, to: 3650 }
        );
        let behind = ring.advance(at(START + 86400), &mut |out: &mut [u8]| out.fill(7));
        assert_eq!(behind, Advance::Renewed(Renewal::ClockBehind { epochs: 3649 }));
        assert_eq!(epochs(&ring), [0, 1]);
        assert_eq!(
            ring.advance(at(START + 2 * 86400), &mut counting()),
            Advance::Turned { from: 0, to: 1 }
        );

        let minute = Pace { interval: 60, retained: 2 };
        let mut ring = self::ring(minute);
        let years = ring.advance(at(START + 60 * 70_000), &mut counting());
        assert_eq!(years, Advance::Renewed(Renewal::ClockAhead { epochs: 70_000 }));
        let mut ring = self::ring(minute);
        let far = ring.advance(at(i64::MAX), &mut counting());
        assert!(matches!(far, Advance::Renewed(Renewal::ClockAhead { .. })), "{far:?}");
        let mut ring = self::ring(minute);
        let past = ring.advance(at(i64::MIN), &mut counting());
        assert!(matches!(past, Advance::Renewed(Renewal::ClockBehind { .. })), "{past:?}");
        assert_eq!(ring.advance(at(i64::MIN), &mut counting()), Advance::Same);
    }

    #[test]
    fn a_new_pace_keeps_the_keys_and_the_epoch() {
        let mut ring = ring(DAY);
        ring.advance(at(START + 5 * 86400), &mut counting());
        let before = epochs(&ring);
        ring.set_pace(Pace { interval: 3600, retained: 2 }, at(START + 5 * 86400))
            .expect("a good pace");
        assert_eq!(ring.advance(at(START + 5 * 86400 + 3599), &mut counting()), Advance::Same);
        assert_eq!(epochs(&ring), before);
        assert_eq!(
            ring.advance(at(START + 5 * 86400 + 3600), &mut counting()),
            Advance::Turned { from: 5, to: 6 }
        );
        ring.set_pace(Pace { interval: 3600, retained: 0 }, at(START)).expect("a good pace");
        assert_eq!(epochs(&ring), [6, 7]);
        assert!(ring.set_pace(Pace { interval: 0, retained: 0 }, at(START)).is_err());
        assert!(ring.set_pace(Pace { interval: 1, retained: 257 }, at(START)).is_err());
    }

    #[test]
    fn octets_that_are_no_ring_are_refused() {
        let good = ring(DAY).to_octets();
        assert_eq!(good.len(), RING_LEN);
        let check = |octets: &[u8], expected| {
            assert_eq!(KeyRing::from_octets(octets).err(), Some(expected));
        };
        for len in 1..RING_LEN {
            check(&good[..len], RingError::Length { found: len });
        }
        check(&[], RingError::Length { found: 0 });
        check(&[&good[..], &[0]].concat(), RingError::Length { found: 57 });
        let bent = |at: usize, octet: u8| {
            let mut octets = good.to_vec();
            octets[at] = octet;
            octets
        };
        check(&bent(0, 2), RingError::Version { found: 2 });
        check(&bent(2, 2), RingError::Contradiction);
        check(&bent(19, 1), RingError::Contradiction);
        check(&bent(20, 1), RingError::Contradiction);
        let mut no_interval = good.to_vec();
        no_interval[4..8].fill(0);
        check(&no_interval, RingError::Contradiction);
    }
}
