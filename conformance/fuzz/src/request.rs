use noonmark_nts::{Aead, SessionKeys};
use noonmark_packet::{FieldKind, Header, PacketWriter, walk_encrypted};
use noonmark_units::Timestamp;

use crate::Input;
use crate::cookie::{EPOCHS, FIRST, seal};

/// A request under NTS with good keys, made by a plan, and perhaps damaged afterwards.
#[derive(Clone)]
pub(crate) struct Crafted {
    pub datagram: Vec<u8>,
    pub session: SessionKeys,
    pub unique: Vec<u8>,
    /// No rule is broken and nothing was damaged: it must be answered.
    pub is_sound: bool,
    /// Something its tag covers was damaged: it must not be answered with authentic octets.
    pub is_forged: bool,
    /// Which bit of the answer to damage.
    pub bit: usize,
}

/// A sound request with AEAD 15 and two placeholders.
pub(crate) fn honest() -> Crafted {
    Crafted::planned(&mut Input::new(&[0, 3, 2]))
}

impl Crafted {
    pub fn planned(plan: &mut Input<'_>) -> Self {
        let aead = *Aead::ALL.get(plan.below(Aead::ALL.len())).expect("there are algorithms");
        let epoch = FIRST + u32::from(plan.octet()) % EPOCHS;
        let placeholders = plan.below(12);
        let oddity = plan.octet();
        let bit = usize::from(plan.number());
        let session = session(aead);
        let cookie = seal(epoch, &session, [epoch as u8; 16]);
        let is = |mask: u8| oddity & mask != 0;

        let header = Header::client(Timestamp::from_bits(u64::from_be_bytes(plan.array())));
        let mut buffer = vec![0; 8192];
        let mut writer = PacketWriter::new(&mut buffer, &header).expect("room");
        let unique = vec![0x77; if is(1) { 16 + 4 * plan.below(16) } else { 32 }];
        if is(2) {
            writer.field(FieldKind(0xf0ab), &[0; 24]).expect("room");
        }
        if is(4) {
            writer.field(FieldKind::NTS_COOKIE, &cookie).expect("room");
            writer.field(FieldKind::UNIQUE_IDENTIFIER, &unique).expect("room");
        } else {
            writer.field(FieldKind::UNIQUE_IDENTIFIER, &unique).expect("room");
            writer.field(FieldKind::NTS_COOKIE, &cookie).expect("room");
        }
        let placeholder_len = if is(8) { 4 * plan.below(64) } else { cookie.len() };
        for _ in 0..placeholders {
            writer
                .field_with(FieldKind::NTS_COOKIE_PLACEHOLDER, placeholder_len, |_| {})
                .expect("room");
        }
        let encrypted_len = plan.below(64);
        let plaintext = if is(16) { plan.at_most(encrypted_len) } else { &[] };
        // AES-SIV takes a nonce of any length, AES-GCM-SIV only its own.
        let nonce_len = match aead {
            Aead::SivCmac256 | Aead::SivCmac512 if is(32) => 1 + plan.below(32),
            _ => aead.nonce_len(),
        };
        let padding = if is(64) { 4 * plan.below(16) } else { 0 };
        let nonce = &[0x99; 40][..nonce_len];
        let covered = writer.len();
        let nonce_room = nonce_len.next_multiple_of(4);
        let body_len = 4 + nonce_room + (plaintext.len() + 16).next_multiple_of(4) + padding;
        let key = session.c2s_key();
        writer
            .field_over(FieldKind::NTS_AUTHENTICATOR, body_len, |before, body| {
                let mut text = plaintext.to_vec();
                let tag = key.seal(before, nonce, &mut text).expect("a nonce of a good length");
                let sealed = match aead {
                    Aead::SivCmac256 | Aead::SivCmac512 => [&tag[..], &text].concat(),
                    Aead::Aes128GcmSiv => [&text[..], &tag].concat(),
                };
                body[..2].copy_from_slice(&(nonce_len as u16).to_be_bytes());
                body[2..4].copy_from_slice(&(sealed.len() as u16).to_be_bytes());
                body[4..4 + nonce_len].copy_from_slice(nonce);
                body[4 + nonce_room..4 + nonce_room + sealed.len()].copy_from_slice(&sealed);
            })
            .expect("room");
        if is(128) {
            writer.last_field(FieldKind(0xf0ab), &[0; 40]).expect("room");
        }
        let mut datagram = writer.finish().to_vec();

        let good_plaintext = walk_encrypted(plaintext).all(|field| {
            field.is_ok_and(|field| {
                field.kind != FieldKind::NTS_COOKIE_PLACEHOLDER || field.body.len() == cookie.len()
            })
        });
        let is_well_made = unique.len() >= 32
            && (placeholders == 0 || placeholder_len == cookie.len())
            && nonce_room + padding >= aead.nonce_len()
            && good_plaintext
            && datagram.len() <= 1500;
        let (damaged, is_forged) = damage(&mut datagram, covered, nonce_len, plaintext.len(), plan);
        let is_sound = is_well_made && !damaged;
        Self { datagram, session, unique, is_sound, is_forged, bit }
    }
}

/// Changes up to three octets and perhaps cuts the end off; whether anything changed, and whether that was something
/// the tag covers.
fn damage(
    datagram: &mut Vec<u8>,
    covered: usize,
    nonce_len: usize,
    text_len: usize,
    plan: &mut Input<'_>,
) -> (bool, bool) {
    let before = datagram.clone();
    for _ in 0..plan.below(4) {
        let at = usize::from(plan.number()) % datagram.len();
        datagram[at] ^= plan.octet();
    }
    let nonce_at = covered + 8;
    let text_at = nonce_at + nonce_len.next_multiple_of(4);
    let parts = [0..covered, nonce_at..nonce_at + nonce_len, text_at..text_at + text_len + 16];
    let is_forged = parts.into_iter().any(|part| datagram.get(part.clone()) != before.get(part));
    let cut = 4 * plan.below(32);
    datagram.truncate(datagram.len().saturating_sub(cut));
    let is_cut_off = datagram.len() < text_at + text_len + 16;
    (*datagram != before, is_forged || is_cut_off)
}

/// The keys of the one session of each algorithm.
fn session(aead: Aead) -> SessionKeys {
    let key =
        |first: u8| (0..aead.key_len()).map(|at| first.wrapping_add(at as u8)).collect::<Vec<_>>();
    SessionKeys::new(aead, &key(1), &key(101)).expect("keys of the right length")
}
