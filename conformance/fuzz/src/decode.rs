use noonmark_packet::Packet;
use noonmark_prober::decode::{
    Context, Decoded, KeySet, Part, Speaker, Wanted, capture, datagram, message, packets,
    write_keys,
};
use noonmark_prober::evidence::SessionKeys;
use noonmark_prober::octets::{Cipher, Field, Protected};

use crate::{Fault, Input};

/// Target `decode`: the first octet says what the others are: a datagram, a message of key establishment of either side, a recording,
/// a file of keys, or fields to be sealed.
///
/// # Panics
/// If an octet is shown nowhere or twice, if fields or records are framed otherwise than the rest of the workspace frames them, if what is
/// shown could disturb a terminal, or if what was sealed is not opened.
pub fn decode(octets: &[u8]) {
    decode_through(octets, &|_, _| {});
}

/// [`decode`] with `fault` applied to what is shown.
///
/// # Panics
/// As [`decode`].
pub fn decode_through(octets: &[u8], fault: Fault<'_>) {
    let mut input = Input::new(octets);
    let kind = input.octet() % 6;
    let rest = input.all();
    match kind {
        0 => packet(rest, fault),
        1 => records(rest, Speaker::Client, fault),
        2 => records(rest, Speaker::Server, fault),
        3 => recording(rest),
        4 => keys(rest, fault),
        _ => sealed(rest, fault),
    }
}

fn packet(octets: &[u8], fault: Fault<'_>) {
    let decoded = datagram(octets, Context { keys: &key_sets(), near_s: 1_800_000_000 });
    covers(&decoded, octets, fault);
    let Ok(read) = Packet::parse(octets) else { return };
    let Ok(contents) = read.contents() else { return };
    if matches!(octets[0] & 7, 6 | 7) {
        return;
    }
    let shown = decoded.parts.iter().filter(|part| part.name.starts_with("extension field "));
    let mut shown: Vec<u8> = shown.flat_map(|part| part.octets.clone()).collect();
    let framed: usize = contents.fields.map(|field| field.end() - field.at).sum();
    fault("fields shown", &mut shown);
    assert_eq!(Some(&shown[..]), octets.get(48..48 + framed));
    let is_refused = decoded.parts.iter().any(|part| part.name == "not framed");
    assert!(!is_refused, "framed by one and not by the other");
}

fn records(octets: &[u8], speaker: Speaker, fault: Fault<'_>) {
    let decoded = message(octets, speaker);
    covers(&decoded, octets, fault);
    let whole: usize = noonmark_nts::records(octets)
        .map_while(Result::ok)
        .map(|record| 4 + record.body.len())
        .sum();
    let shown = decoded.parts.iter().filter(|part| part.name.starts_with("record "));
    let mut shown: Vec<u8> = shown.flat_map(|part| part.octets.clone()).collect();
    fault("records shown", &mut shown);
    assert_eq!(Some(&shown[..]), octets.get(..whole));
}

fn recording(octets: &[u8]) {
    let Ok(capture) = capture::read(octets) else { return };
    let keys = key_sets();
    let wanted = Wanted { ports: &[123], ke_port: 4460, keys: &keys, near_s: 0 };
    let mut read = 0;
    let elsewhere = packets(&capture, &wanted, |packet| {
        read += 1;
        assert!(packet.decoded.is_some() != packet.unread.is_some());
        packet.decoded.iter().for_each(is_shown_well);
    });
    assert!(read + elsewhere <= capture.frames.len());
}

/// A file of keys is read as it was written, or refused with its line.
fn keys(octets: &[u8], fault: Fault<'_>) {
    let text = String::from_utf8_lossy(octets);
    match KeySet::read_all(&text) {
        Ok(sets) => {
            let whole = sets.iter().filter_map(|set| {
                Some(SessionKeys {
                    aead: set.cipher.number(),
                    c2s: set.c2s.clone()?,
                    s2c: set.s2c.clone()?,
                })
            });
            let whole: Vec<SessionKeys> = whole.collect();
            let mut written = write_keys(&whole).into_bytes();
            fault("keys written", &mut written);
            let again =
                KeySet::read_all(&String::from_utf8_lossy(&written)).expect("it was written by us");
            assert_eq!(again.len(), whole.len());
            assert!(
                again
                    .iter()
                    .zip(&whole)
                    .all(|(set, keys)| KeySet::try_from(keys).as_ref() == Ok(set))
            );
        }
        Err(error) => assert!((1..=text.lines().count()).contains(&error.line)),
    }
}

/// What is sealed with a known key is opened, and shown in full.
fn sealed(octets: &[u8], fault: Fault<'_>) {
    let mut input = Input::new(octets);
    let nth = input.below(3);
    let (cipher, mode) = (Cipher::ALL[nth], 3 + (input.octet() & 1));
    let padding = input.below(8) * 4;
    let mut header = vec![0x20 | mode];
    header.extend(input.array::<47>());
    let unique = input.at_most(32).to_vec();
    let text = input.at_most(4096);
    let open = Protected {
        header,
        clear: vec![Field::new(0x0104, [unique, vec![0; 32]].concat()[..32].to_vec())],
        nonce: vec![7; cipher.nonce_len()],
        inner: Vec::new(),
        padding,
        after: Vec::new(),
    };
    let packet = open.seal_text(cipher, &vec![nth as u8 + 1; cipher.key_len()], text);
    let decoded = datagram(&packet, Context { keys: &key_sets(), near_s: 0 });
    covers(&decoded, &packet, fault);
    let mut shown: Vec<u8> = decoded.parts.iter().flat_map(inside).collect();
    fault("plaintext shown", &mut shown);
    assert_eq!(shown, text);
}

/// What was decrypted, whole.
fn inside(part: &Part) -> Vec<u8> {
    if part.decrypted { part.octets.clone() } else { part.parts.iter().flat_map(inside).collect() }
}

/// Every octet is shown once, in order.
fn covers(decoded: &Decoded, octets: &[u8], fault: Fault<'_>) {
    let mut shown = Part::leaves(&decoded.parts);
    fault("leaves", &mut shown);
    assert_eq!(shown, octets, "{}", decoded.summary);
    assert_eq!(decoded.length, octets.len());
    is_shown_well(decoded);
}

fn is_shown_well(decoded: &Decoded) {
    let lines = decoded.lines();
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    assert!(lines.iter().chain([&decoded.summary]).all(|line| is_plain(line)), "{lines:#?}");
    assert!(decoded.remarks.iter().all(|remark| !remark.rfc.is_empty() && !remark.what.is_empty()));
}

/// A key for each AEAD: 1, 2 or 3 in every octet.
fn key_sets() -> Vec<KeySet> {
    let set = |(number, cipher): (u8, Cipher)| {
        let key = Some(vec![number; cipher.key_len()]);
        KeySet { cipher, c2s: key.clone(), s2c: key }
    };
    (1..).zip(Cipher::ALL).map(set).collect()
}
