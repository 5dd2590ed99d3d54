use noonmark_siv::{Job, SivCmac256};
use zeroize::Zeroizing;

use crate::aead::{Aead, TAG_LEN};
use crate::key::SessionKeys;
use crate::random::{self, Random};

/// The key that seals the cookies of one epoch, on its way from the owner of the key ring to those who use it.
/// No `Debug`; wiped when dropped.
#[derive(Clone)]
pub struct CookieKey {
    epoch: u32,
    octets: Zeroizing<[u8; COOKIE_KEY_LEN]>,
}

/// Octets of a [`CookieKey`].
pub const COOKIE_KEY_LEN: usize = 32;

impl CookieKey {
    /// A key as it was handed over.
    pub fn new(epoch: u32, octets: [u8; COOKIE_KEY_LEN]) -> Self {
        Self { epoch, octets: Zeroizing::new(octets) }
    }

    /// Its epoch: the first four octets of every cookie sealed with it.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The secret itself, for handing over.
    pub fn expose(&self) -> &[u8; COOKIE_KEY_LEN] {
        &self.octets
    }
}

/// All cookie keys that are good now, expanded: what opens cookies and makes new ones.
///
/// A cookie is `epoch(4) ‖ nonce(16) ‖ tag(16) ‖ enc(C2S ‖ S2C)` under AES-SIV-CMAC-256 with the epoch as associated
/// data: 100, 164 or 68 octets for AEAD 15, 17 or 30, the same in every epoch. The algorithm is not written down: the length tells it.
pub struct CookieKeys {
    /// In order of epoch.
    keys: Vec<EpochKey>,
    current: u32,
}

struct EpochKey {
    epoch: u32,
    siv: SivCmac256,
}

/// Why a cookie does not open. The peer is told the same for all of them: NTSN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CookieFault {
    /// None of our cookies has this length.
    Length,
    /// Its epoch is past the retention window, or not yet near.
    UnknownEpoch,
    /// The tag is wrong.
    Forged,
}

impl CookieFault {
    /// A short fixed name for counters and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "cookie-length",
            Self::UnknownEpoch => "cookie-epoch",
            Self::Forged => "cookie-forged",
        }
    }
}

impl core::fmt::Display for CookieFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Length => "no cookie of ours has this length",
            Self::UnknownEpoch => "the cookie's epoch has no key any more, or not yet",
            Self::Forged => "the cookie's tag is wrong",
        })
    }
}

impl core::error::Error for CookieFault {}

/// One cookie of a batch on its way to being opened.
pub struct Opening<'a> {
    /// The cookie as the client sent it; untouched, because the packet's tag covers it.
    pub cookie: &'a [u8],
    /// Filled when the cookie opens; all zero when it is forged.
    pub keys: &'a mut SessionKeys,
    /// What became of it.
    pub result: &'a mut Result<(), CookieFault>,
}

/// One cookie of a batch on its way to being made.
pub struct Sealing<'a> {
    /// What goes into it.
    pub keys: &'a SessionKeys,
    /// Exactly [`Aead::cookie_len`] octets. Octets 4 to 20 are the nonce, random already; the others are overwritten.
    pub cookie: &'a mut [u8],
}

impl CookieKeys {
    /// Expands `keys`. New cookies are made with the key of epoch `current`; without that key none are made.
    pub fn new(keys: &[CookieKey], current: u32) -> Self {
        let expand = |key: &CookieKey| EpochKey {
            epoch: key.epoch,
            siv: SivCmac256::new(key.octets.as_slice()).expect("a cookie key has 32 octets"),
        };
        let mut keys: Vec<_> = keys.iter().map(expand).collect();
        keys.sort_by_key(|key| key.epoch);
        keys.dedup_by_key(|key| key.epoch);
        Self { keys, current }
    }

    /// The epoch new cookies belong to.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The maker of new cookies, if the key of the current epoch is here.
    pub fn issuer(&self) -> Option<CookieIssuer<'_>> {
        self.key_of(self.current).map(|key| CookieIssuer { epoch: self.current, siv: &key.siv })
    }

    /// Opens one cookie.
    ///
    /// # Errors
    /// [`CookieFault`] says why it does not open.
    pub fn open(&self, cookie: &[u8]) -> Result<SessionKeys, CookieFault> {
        let mut keys = SessionKeys::blank();
        let mut result = Ok(());
        self.open_many([Opening { cookie, keys: &mut keys, result: &mut result }]);
        result.map(|()| keys)
    }

    /// Opens the cookies of a batch, those of one epoch side by side.
    pub fn open_many<'a>(&self, openings: impl IntoIterator<Item = Opening<'a>>) {
        // Two groups, because soon after a rotation cookies of two epochs come mixed. A third epoch costs speed only.
        let mut groups = [Group::new(), Group::new()];
        let [newest, other] = &mut groups;
        for opening in openings {
            let key = match read_epoch(opening.cookie) {
                Ok(epoch) => self.key_of(epoch).ok_or(CookieFault::UnknownEpoch),
                Err(fault) => Err(fault),
            };
            match key {
                Err(fault) => *opening.result = Err(fault),
                Ok(key) if key.epoch == self.current => newest.add(key, opening),
                Ok(key) => other.add(key, opening),
            }
        }
        newest.open();
        other.open();
    }

    fn key_of(&self, epoch: u32) -> Option<&EpochKey> {
        // Epochs follow one another, so the place is known but for a gap.
        let first = self.keys.first()?.epoch;
        let at = usize::try_from(epoch.checked_sub(first)?).ok()?;
        match self.keys.get(at) {
            Some(key) if key.epoch == epoch => Some(key),
            _ => self.keys.iter().find(|key| key.epoch == epoch),
        }
    }
}

/// Makes cookies under the key of the current epoch.
#[derive(Clone, Copy)]
pub struct CookieIssuer<'k> {
    epoch: u32,
    siv: &'k SivCmac256,
}

impl CookieIssuer<'_> {
    /// Makes one cookie.
    pub fn seal(&self, keys: &SessionKeys, random: &mut dyn Random) -> Vec<u8> {
        let mut cookie = vec![0; keys.aead().cookie_len()];
        if let Some(nonce) = cookie.get_mut(NONCE_AT..TAG_AT) {
            nonce.copy_from_slice(&random::octets::<NONCE_LEN>(random));
        }
        self.seal_many([Sealing { keys, cookie: &mut cookie }]);
        cookie
    }

    /// Makes the cookies of a batch side by side.
    ///
    /// # Panics
    /// When a place is not exactly as long as its cookie.
    pub fn seal_many<'a>(&self, sealings: impl IntoIterator<Item = Sealing<'a>>) {
        let mut sealings = sealings.into_iter();
        loop {
            let mut spare = [[0; TAG_LEN]; LANES];
            let mut jobs = idle_jobs(&mut spare);
            let mut filled = 0;
            for job in &mut jobs {
                let Some(sealing) = sealings.next() else { break };
                *job = self.prepare(sealing);
                filled += 1;
            }
            match jobs.split_at_mut(filled).0 {
                [job] => *job.tag = self.siv.seal(&[job.ad, job.nonce], job.text),
                jobs => self.siv.seal_many(jobs),
            }
            if filled < LANES {
                return;
            }
        }
    }

    fn prepare<'a>(&self, sealing: Sealing<'a>) -> Job<'a> {
        let Sealing { keys, cookie } = sealing;
        let (epoch, rest) = cookie.split_at_mut(NONCE_AT);
        let (nonce, rest) = rest.split_at_mut(NONCE_LEN);
        let (tag, text) = rest.split_first_chunk_mut().expect("the place is as long as the cookie");
        epoch.copy_from_slice(&self.epoch.to_be_bytes());
        text.copy_from_slice(keys.material());
        Job { ad: epoch, nonce, text, tag }
    }
}

/// Cookies of one epoch, waiting to be opened together.
struct Group<'k, 'a> {
    key: Option<&'k EpochKey>,
    waiting: [Option<Opening<'a>>; LANES],
    len: usize,
}

impl<'k, 'a> Group<'k, 'a> {
    fn new() -> Self {
        Self { key: None, waiting: [const { None }; LANES], len: 0 }
    }

    fn add(&mut self, key: &'k EpochKey, opening: Opening<'a>) {
        if self.len == LANES || self.key.is_some_and(|mine| mine.epoch != key.epoch) {
            self.open();
        }
        self.key = Some(key);
        if let Some(place) = self.waiting.get_mut(self.len) {
            *place = Some(opening);
            self.len += 1;
        }
    }

    /// Opens all that wait, in lock step.
    fn open(&mut self) {
        let Some(key) = self.key else { return };
        let mut tags = [[0; TAG_LEN]; LANES];
        let mut ok = [false; LANES];
        let mut jobs = idle_jobs(&mut tags);
        for (job, opening) in jobs.iter_mut().zip(self.waiting.iter_mut().flatten()) {
            let Some((aead, parts)) = split(opening.cookie) else { continue };
            let Parts { epoch, nonce, tag, sealed } = parts;
            let text = opening.keys.refill(aead);
            text.copy_from_slice(sealed);
            *job.tag = *tag;
            (job.ad, job.nonce, job.text) = (epoch, nonce, text);
        }
        match jobs.split_at_mut(self.len).0 {
            // One chain alone is quicker without the frame that holds eight.
            [job] => ok = [key.siv.open(&[job.ad, job.nonce], job.text, job.tag).is_ok(); LANES],
            jobs => key.siv.open_many(jobs, ok.split_at_mut(self.len).0),
        }
        for (place, ok) in self.waiting.iter_mut().zip(ok) {
            if let Some(opening) = place.take() {
                *opening.result = if ok { Ok(()) } else { Err(CookieFault::Forged) };
            }
        }
        self.len = 0;
    }
}

/// The parts of a cookie of one of our lengths.
struct Parts<'a> {
    epoch: &'a [u8],
    nonce: &'a [u8],
    tag: &'a [u8; TAG_LEN],
    sealed: &'a [u8],
}

fn split(cookie: &[u8]) -> Option<(Aead, Parts<'_>)> {
    let aead = Aead::ALL.into_iter().find(|aead| aead.cookie_len() == cookie.len())?;
    let (epoch, rest) = cookie.split_at_checked(NONCE_AT)?;
    let (nonce, rest) = rest.split_at_checked(NONCE_LEN)?;
    let (tag, sealed) = rest.split_first_chunk()?;
    Some((aead, Parts { epoch, nonce, tag, sealed }))
}

fn read_epoch(cookie: &[u8]) -> Result<u32, CookieFault> {
    if !Aead::ALL.iter().any(|aead| aead.cookie_len() == cookie.len()) {
        return Err(CookieFault::Length);
    }
    let epoch = cookie.first_chunk().ok_or(CookieFault::Length)?;
    Ok(u32::from_be_bytes(*epoch))
}

fn idle_jobs<'a>(tags: &'a mut [[u8; TAG_LEN]; LANES]) -> [Job<'a>; LANES] {
    tags.each_mut().map(|tag| Job { ad: &[], nonce: &[], text: &mut [], tag })
}

/// Octets of a cookie besides the two keys: epoch, nonce, tag.
pub(crate) const OVERHEAD: usize = NONCE_AT + NONCE_LEN + TAG_LEN;
/// Where a cookie's nonce begins, after the epoch.
pub(crate) const NONCE_AT: usize = 4;
/// Octets of a cookie's nonce.
pub(crate) const NONCE_LEN: usize = 16;
/// Where a cookie's tag begins.
const TAG_AT: usize = NONCE_AT + NONCE_LEN;
/// Cookies handled side by side: what `siv` advances together.
const LANES: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::counting;

    fn ring(epochs: core::ops::Range<u32>, current: u32) -> CookieKeys {
        let keys: Vec<_> = epochs.map(|epoch| CookieKey::new(epoch, [epoch as u8; 32])).collect();
        CookieKeys::new(&keys, current)
    }

    fn session(aead: Aead, fill: u8) -> SessionKeys {
        SessionKeys::new(aead, &vec![fill; aead.key_len()], &vec![fill ^ 0xff; aead.key_len()])
            .expect("right length")
    }

    #[test]
    fn a_cookie_has_one_length_per_algorithm_in_every_epoch() {
        let mut random = counting();
        for (aead, len) in
            [(Aead::SivCmac256, 100), (Aead::SivCmac512, 164), (Aead::Aes128GcmSiv, 68)]
        {
            for current in [0, 1, u32::MAX] {
                let keys = CookieKeys::new(&[CookieKey::new(current, [1; 32])], current);
                let cookie =
                    keys.issuer().expect("has its key").seal(&session(aead, 1), &mut random);
                assert_eq!((cookie.len(), cookie.len() % 4), (len, 0));
                assert_eq!(cookie.first_chunk(), Some(&current.to_be_bytes()));
            }
        }
    }

    #[test]
    fn a_cookie_gives_back_its_keys_and_their_algorithm() {
        let keys = ring(3..8, 6);
        for aead in Aead::ALL {
            let cookie =
                keys.issuer().expect("has its key").seal(&session(aead, 5), &mut counting());
            let opened = keys.open(&cookie).expect("our own");
            assert_eq!(opened.aead(), aead);
            assert_eq!(opened.material(), session(aead, 5).material());
        }
    }

    #[test]
    fn any_flipped_bit_or_wrong_length_closes_a_cookie() {
        let keys = ring(3..8, 6);
        for aead in Aead::ALL {
            let cookie =
                keys.issuer().expect("has its key").seal(&session(aead, 5), &mut counting());
            for bit in 0..cookie.len() * 8 {
                let mut bent = cookie.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                assert!(keys.open(&bent).is_err(), "bit {bit}");
            }
            for len in (0..cookie.len()).filter(|len| ![68, 100, 164].contains(len)) {
                assert_eq!(
                    keys.open(&cookie[..len]).err(),
                    Some(CookieFault::Length),
                    "{len} octets"
                );
            }
        }
    }

    #[test]
    fn an_epoch_without_key_is_named() {
        let cookie = ring(9..10, 9)
            .issuer()
            .expect("has its key")
            .seal(&session(Aead::SivCmac256, 1), &mut counting());
        assert!(ring(5..10, 8).open(&cookie).is_ok(), "one epoch ahead is good");
        assert_eq!(ring(10..12, 11).open(&cookie).err(), Some(CookieFault::UnknownEpoch));
        assert_eq!(ring(5..9, 8).open(&cookie).err(), Some(CookieFault::UnknownEpoch));
        assert!(CookieKeys::new(&[], 0).open(&cookie).is_err());
        assert!(CookieKeys::new(&[], 0).issuer().is_none());
        assert!(ring(5..9, 9).issuer().is_none(), "no key of the current epoch, no cookies");
    }

    #[test]
    fn a_mixed_batch_opens_as_one_by_one() {
        let keys = ring(3..8, 6);
        let mut random = counting();
        let mut cookies = Vec::new();
        for n in 0..61_u8 {
            let aead = Aead::ALL[usize::from(n) % 3];
            let maker = ring(3..8, 3 + u32::from(n) * 7 % 5);
            let mut cookie =
                maker.issuer().expect("has its key").seal(&session(aead, n), &mut random);
            match n % 10 {
                3 => cookie[40] ^= 1,
                7 => cookie[0] = 9,
                9 => cookie.truncate(50),
                _ => (),
            }
            cookies.push(cookie);
        }
        let mut opened: Vec<_> = cookies.iter().map(|_| (SessionKeys::blank(), Ok(()))).collect();
        keys.open_many(cookies.iter().zip(&mut opened).map(|(cookie, (keys, result))| Opening {
            cookie,
            keys,
            result,
        }));
        for (n, (cookie, (batch, result))) in cookies.iter().zip(&opened).enumerate() {
            let alone = keys.open(cookie);
            assert_eq!(*result, alone.as_ref().map(|_| ()).map_err(|fault| *fault), "cookie {n}");
            if let Ok(alone) = alone {
                assert_eq!(batch.material(), alone.material(), "cookie {n}");
            }
        }
        assert_eq!(opened.iter().filter(|(_, result)| result.is_ok()).count(), 43);
    }

    #[test]
    fn a_batch_is_sealed_as_one_by_one() {
        let keys = ring(6..7, 6);
        let issuer = keys.issuer().expect("has its key");
        let sessions: Vec<_> = (0..19).map(|n| session(Aead::ALL[n % 3], n as u8)).collect();
        let mut random = counting();
        let alone: Vec<_> =
            sessions.iter().map(|session| issuer.seal(session, &mut random)).collect();
        let mut batch = alone.clone();
        for cookie in &mut batch {
            cookie[TAG_AT..].fill(0xee);
        }
        issuer.seal_many(
            sessions.iter().zip(&mut batch).map(|(keys, cookie)| Sealing { keys, cookie }),
        );
        assert_eq!(batch, alone);
    }

    #[test]
    fn cookies_of_one_session_share_nothing_but_the_epoch() {
        let keys = ring(6..7, 6);
        let issuer = keys.issuer().expect("has its key");
        let mut random = counting();
        let session = session(Aead::SivCmac256, 1);
        let cookies: Vec<_> = (0..1000).map(|_| issuer.seal(&session, &mut random)).collect();
        assert_eq!(cookies.iter().collect::<HashSet<_>>().len(), cookies.len());
        // Random octets agree one time in 256: of 80 octets about 0.3, hardly ever 8.
        for pair in cookies.windows(2) {
            let equal = pair[0].iter().zip(&pair[1]).skip(TAG_AT).filter(|(a, b)| a == b).count();
            assert!(equal < 8, "{equal} equal octets");
        }
    }
}
