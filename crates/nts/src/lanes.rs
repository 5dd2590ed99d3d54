use noonmark_siv::{Job, Keyed, open_keyed, seal_keyed};

use crate::authenticator::Sealed;

/// Messages gathered before they are worked on side by side, each under its own AES-SIV-CMAC-256 key: their CMAC chains overlap.
pub(crate) const LANES: usize = 8;

/// One message in its datagram under the key of 32 octets that it is opened or sealed with.
pub(crate) fn lane<'a>(key: &'a [u8], message: Sealed<'a>) -> Keyed<'a> {
    let key = key.try_into().expect("session keys have their algorithm's length");
    let Sealed { ad, nonce, text, tag } = message;
    Keyed { key, job: Job { ad, nonce, text, tag } }
}

/// Opens all lanes in place; tells of each, in their order, whether it was authentic.
pub(crate) fn open<'l, 'a: 'l>(lanes: impl Iterator<Item = &'l mut Keyed<'a>>) -> [bool; LANES] {
    let mut ok = [false; LANES];
    let mut places = ok.iter_mut();
    open_keyed(lanes, |is_good| {
        if let Some(place) = places.next() {
            *place = is_good;
        }
    });
    ok
}

/// Seals all lanes in place.
pub(crate) fn seal<'l, 'a: 'l>(lanes: impl Iterator<Item = &'l mut Keyed<'a>>) {
    seal_keyed(lanes);
}
