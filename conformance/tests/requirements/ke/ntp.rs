//! One NTP request under NTS, by hand and with foreign ciphers, to the responder that knows the same cookie keys.

use std::sync::Arc;

use aes_gcm_siv::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm_siv::{Aes128GcmSiv, Nonce};
use aes_siv::siv::{Aes128Siv, Aes256Siv};
use noonmark_os::random::RandomPool;
use noonmark_packet::ReferenceId;
use noonmark_server::{Batch, ClockState, Envelope, Policy, Responder};
use noonmark_units::{Mono, Precision, Stratum, Timestamp};

use super::lab::cookie_keys;

/// Whether the responder takes `cookie` beside a request sealed with `c2s` and seals its answer with `s2c`.
pub fn takes(aead: u16, cookie: &[u8], c2s: &[u8], s2c: &[u8]) -> bool {
    let Some(request) = request(aead, cookie, c2s) else { return false };
    answer_to(&request).is_some_and(|answer| opens(aead, &answer, s2c))
}

fn request(aead: u16, cookie: &[u8], c2s: &[u8]) -> Option<Vec<u8>> {
    let mut octets = vec![0; 48];
    octets[0] = 0x23;
    octets[2] = 0x20;
    octets[40..48].copy_from_slice(&[7; 8]);
    put_field(&mut octets, 0x0104, &[0x55; 32]);
    put_field(&mut octets, 0x0204, cookie);
    let nonce = vec![0x11; if aead == 30 { 12 } else { 16 }];
    let tag = tag(aead, c2s, &octets, &nonce)?;
    let lens = [0, u8::try_from(nonce.len()).ok()?, 0, 16];
    put_field(&mut octets, 0x0404, &[&lens[..], &nonce, &tag].concat());
    Some(octets)
}

fn put_field(octets: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    octets.extend(kind.to_be_bytes());
    octets.extend(u16::try_from(padded + 4).expect("short").to_be_bytes());
    octets.extend(body);
    octets.resize(octets.len() + padded - body.len(), 0);
}

fn answer_to(request: &[u8]) -> Option<Vec<u8>> {
    let mut pool = RandomPool::new().ok()?;
    let random = Box::new(move |out: &mut [u8]| pool.fill(out));
    let mut responder = Responder::new(Arc::new(Policy::default()), random);
    responder.set_cookie_keys(Some(Arc::clone(cookie_keys())));
    let received = Timestamp::from_bits(0xe9ff_fff0_1234_5678);
    let peer = ([192, 0, 2, 7], 50123).into();
    let mut batch = Batch::new();
    batch.push(request, Envelope { peer, received, group: false, truncated: false });
    let state = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-24));
    responder.respond(&mut batch, &state, &mut || received, Mono(1_000_000_000));
    batch.slots().first()?.answer().map(<[u8]>::to_vec)
}

/// Whether the answer ends with an authenticator made with this key over all before it.
fn opens(aead: u16, answer: &[u8], s2c: &[u8]) -> bool {
    let mut at = 48;
    while let Some(&[kind_high, kind_low, high, low]) = answer.get(at..at + 4) {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let Some(body) = answer.get(at + 4..at + len) else { return false };
        if [kind_high, kind_low] == [4, 4] {
            return opens_body(aead, &answer[..at], body, s2c).is_some();
        }
        at += len;
    }
    false
}

fn opens_body(aead: u16, ad: &[u8], body: &[u8], s2c: &[u8]) -> Option<()> {
    let (&[nonce_high, nonce_low, high, low], rest) = body.split_first_chunk()?;
    let nonce_len = usize::from(u16::from_be_bytes([nonce_high, nonce_low]));
    let nonce = rest.get(..nonce_len)?;
    let padded = nonce_len.next_multiple_of(4);
    let len = usize::from(u16::from_be_bytes([high, low]));
    let mut sealed = rest.get(padded..padded + len)?.to_vec();
    if aead == 30 {
        let at = sealed.len().checked_sub(16)?;
        let (text, tag) = sealed.split_at_mut(at);
        let gcm = Aes128GcmSiv::new_from_slice(s2c).ok()?;
        let (nonce, tag) = (Nonce::try_from(nonce).ok()?, (&*tag).try_into().ok()?);
        return gcm.decrypt_inout_detached(&nonce, ad, text.into(), &tag).ok();
    }
    let (tag, text) = sealed.split_first_chunk_mut::<16>()?;
    let (headers, tag) = ([ad, nonce], (*tag).into());
    match aead {
        15 => {
            let mut siv = Aes128Siv::new_from_slice(s2c).ok()?;
            siv.decrypt_inout_detached(headers, text.into(), &tag).ok()
        }
        17 => {
            let mut siv = Aes256Siv::new_from_slice(s2c).ok()?;
            siv.decrypt_inout_detached(headers, text.into(), &tag).ok()
        }
        _ => None,
    }
}

/// The tag over `ad` and an empty text.
fn tag(aead: u16, key: &[u8], ad: &[u8], nonce: &[u8]) -> Option<Vec<u8>> {
    let text: &mut [u8] = &mut [];
    match aead {
        15 => {
            let mut siv = Aes128Siv::new_from_slice(key).ok()?;
            siv.encrypt_inout_detached([ad, nonce], text.into()).ok().map(|tag| tag.to_vec())
        }
        17 => {
            let mut siv = Aes256Siv::new_from_slice(key).ok()?;
            siv.encrypt_inout_detached([ad, nonce], text.into()).ok().map(|tag| tag.to_vec())
        }
        30 => {
            let gcm = Aes128GcmSiv::new_from_slice(key).ok()?;
            let nonce = Nonce::try_from(nonce).ok()?;
            gcm.encrypt_inout_detached(&nonce, ad, text.into()).ok().map(|tag| tag.to_vec())
        }
        _ => None,
    }
}
