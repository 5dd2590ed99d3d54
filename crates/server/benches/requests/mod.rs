//! What both benchmarks ask: NTS requests as clients make them, from randomness of the caller's.

use noonmark_nts::{Aead, CookieKey, CookieKeys, Random, SessionKeys, write_request};
use noonmark_packet::Header;
use noonmark_units::Timestamp;

/// The server's cookie keys: two, the newer one in use.
pub fn keys() -> CookieKeys {
    CookieKeys::new(&[CookieKey::new(5, [5; 32]), CookieKey::new(6, [6; 32])], 6)
}

/// A request with one cookie, which `random` makes different from every other, and so many placeholders for more.
pub fn request(
    aead: Aead,
    placeholders: usize,
    client: u8,
    random: &mut (impl Random + ?Sized),
) -> Vec<u8> {
    let key = |fill: u8| vec![fill ^ client; aead.key_len()];
    let session = SessionKeys::new(aead, &key(1), &key(2)).expect("keys of the right length");
    let cookie =
        keys().issuer().expect("a key").seal(&session, &mut |out: &mut [u8]| random.fill(out));
    let mut request = vec![0; 1232];
    let header = Header::client(Timestamp::from_bits(77));
    let nonce = vec![client; aead.nonce_len()];
    let len = write_request(
        &mut request,
        &header,
        &[client; 32],
        &cookie,
        placeholders,
        &session.c2s_key(),
        &nonce,
    )
    .expect("it fits");
    request.truncate(len);
    request
}
