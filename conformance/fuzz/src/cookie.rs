use noonmark_nts::{Aead, CookieFault, CookieKey, CookieKeys, KeyRing, Opening, SessionKeys};

use crate::{Fault, Input};

/// Target `cookie`: `octets` are first a cookie and a stored key ring as they come, then a plan of a cookie to make, to
/// open, and to damage.
///
/// The keys are fixed, epochs 10 to 14 with 13 current, so that kept inputs can hold cookies that open.
///
/// # Panics
/// If a cookie opens that sealing does not make, or one of ours does not open, or a damaged one does, alone or in a
/// batch; or if a key ring read is not the one written.
pub fn cookie(octets: &[u8]) {
    cookie_through(octets, &|_, _| {});
}

/// [`cookie`] with `fault` applied to every cookie, whole or damaged, and every ring before it is read.
///
/// # Panics
/// As [`cookie`].
pub fn cookie_through(octets: &[u8], fault: Fault<'_>) {
    only_what_we_seal_opens(octets, fault);
    a_stored_ring_reads_back(octets, fault);
    what_we_seal_opens_until_damaged(octets, fault);
}

fn only_what_we_seal_opens(cookie: &[u8], fault: Fault<'_>) {
    let opened = keys_of(CURRENT).open(cookie);
    let is_ours = Aead::ALL.iter().any(|aead| aead.cookie_len() == cookie.len());
    match opened {
        Ok(session) => {
            let epoch = cookie.first_chunk().map_or(0, |epoch| u32::from_be_bytes(*epoch));
            let nonce: [u8; 16] = Input::new(cookie.get(4..).unwrap_or(&[])).array();
            let mut again = seal(epoch, &session, nonce);
            fault("cookie sealed again", &mut again);
            assert_eq!(again, cookie);
        }
        Err(CookieFault::Length) => assert!(!is_ours),
        Err(CookieFault::UnknownEpoch | CookieFault::Forged) => assert!(is_ours),
    }
}

fn a_stored_ring_reads_back(octets: &[u8], fault: Fault<'_>) {
    let Ok(ring) = KeyRing::from_octets(octets) else { return };
    let mut stored = ring.to_octets().to_vec();
    fault("ring stored", &mut stored);
    let again = KeyRing::from_octets(&stored).expect("what was written is read");
    assert_eq!(*again.to_octets(), *ring.to_octets());
    let epochs: Vec<u32> = ring.keys().iter().map(CookieKey::epoch).collect();
    assert!(epochs.into_iter().eq(ring.oldest()..=ring.current() + 1));
}

fn what_we_seal_opens_until_damaged(octets: &[u8], fault: Fault<'_>) {
    let mut plan = Input::new(octets);
    let aead = *Aead::ALL.get(plan.below(Aead::ALL.len())).expect("there are algorithms");
    let epoch = FIRST + u32::from(plan.octet()) % EPOCHS;
    let (bit, nonce) = (usize::from(plan.number()), plan.array());
    let material: [u8; 128] = plan.array();
    let (c2s, s2c) = material.split_at(64);
    let session =
        SessionKeys::new(aead, c2s.split_at(aead.key_len()).0, s2c.split_at(aead.key_len()).0)
            .expect("keys of the right length");

    let mut cookie = seal(epoch, &session, nonce);
    assert_eq!(cookie.len(), aead.cookie_len());
    fault("cookie sealed", &mut cookie);
    let opened = keys_of(CURRENT).open(&cookie).expect("our own");
    assert!(same(&opened, &session));

    let mut damaged = cookie.clone();
    let at = bit / 8 % damaged.len();
    damaged[at] ^= 1 << (bit % 8);
    fault("cookie damaged", &mut damaged);
    assert!(keys_of(CURRENT).open(&damaged).is_err(), "bit {} of octet {at}", bit % 8);

    // Good and bad side by side in a batch must come out as they do alone.
    let batch = [&cookie[..], &damaged, octets, &cookie, &cookie[1..], &damaged];
    let mut results: Vec<_> = batch.iter().map(|_| (SessionKeys::blank(), Ok(()))).collect();
    let openings = batch.iter().zip(&mut results).map(|(cookie, (keys, result))| Opening {
        cookie,
        keys,
        result,
    });
    keys_of(CURRENT).open_many(openings);
    for (cookie, (keys, result)) in batch.iter().zip(&results) {
        match (keys_of(CURRENT).open(cookie), result) {
            (Ok(alone), Ok(())) => assert!(same(&alone, keys)),
            (Err(alone), Err(fault)) => assert_eq!(alone, *fault),
            (alone, _) => panic!("alone it is {:?}, in a batch {result:?}", alone.map(|_| ())),
        }
    }
}

fn same(a: &SessionKeys, b: &SessionKeys) -> bool {
    a.aead() == b.aead() && a.c2s() == b.c2s() && a.s2c() == b.s2c()
}

pub(crate) fn seal(epoch: u32, session: &SessionKeys, nonce: [u8; 16]) -> Vec<u8> {
    let mut random =
        |out: &mut [u8]| out.copy_from_slice(nonce.get(..out.len()).expect("a nonce is asked for"));
    keys_of(epoch).issuer().expect("the key is there").seal(session, &mut random)
}

/// The fixed keys with this epoch as the current one.
pub(crate) fn keys_of(current: u32) -> CookieKeys {
    let keys: Vec<_> =
        (FIRST..FIRST + EPOCHS).map(|epoch| CookieKey::new(epoch, [epoch as u8; 32])).collect();
    CookieKeys::new(&keys, current)
}

/// The oldest epoch that has a key.
pub(crate) const FIRST: u32 = 10;
/// How many epochs have one.
pub(crate) const EPOCHS: u32 = 5;
/// The epoch of new cookies; one later is known already.
pub(crate) const CURRENT: u32 = 13;
