use core::ops::Range;

use noonmark_packet::Field;

use crate::aead::{Aead, TAG_LEN};

/// Where the parts of an NTS Authenticator field lie in the datagram (RFC 8915 §5.6): two lengths, the nonce padded to
/// four octets, the ciphertext padded to four octets, additional padding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Authenticator {
    /// Where the field begins: all octets before it are the associated data.
    pub at: u16,
    pub nonce: Part,
    pub ciphertext: Part,
    /// Octets of padded nonce and additional padding together.
    pub nonce_room: u16,
}

/// A run of octets in a datagram, remembered across stages that borrow the datagram anew.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Part {
    start: u16,
    len: u16,
}

impl Part {
    /// `None` past 65535 octets, which no datagram has.
    pub fn new(start: usize, len: usize) -> Option<Self> {
        Some(Self { start: start.try_into().ok()?, len: len.try_into().ok()? })
    }

    pub fn range(self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.len)
    }

    pub fn len(self) -> usize {
        usize::from(self.len)
    }

    /// Its octets; empty when this is not the datagram it was found in.
    pub fn of(self, datagram: &[u8]) -> &[u8] {
        datagram.get(self.range()).unwrap_or_default()
    }
}

impl Authenticator {
    /// Finds the parts; `None` when the lengths inside contradict the field's, the nonce is empty or there is no tag.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let (&[n0, n1, c0, c1], rest) = field.body.split_first_chunk()?;
        let nonce_len = usize::from(u16::from_be_bytes([n0, n1]));
        let ciphertext_len = usize::from(u16::from_be_bytes([c0, c1]));
        let padded_nonce = nonce_len.next_multiple_of(4);
        let padding = rest
            .len()
            .checked_sub(padded_nonce)?
            .checked_sub(ciphertext_len.next_multiple_of(4))?;
        if nonce_len == 0 || ciphertext_len < TAG_LEN {
            return None;
        }
        let nonce_at = field.at + HEADER_LEN;
        Some(Self {
            at: field.at.try_into().ok()?,
            nonce: Part::new(nonce_at, nonce_len)?,
            ciphertext: Part::new(nonce_at + padded_nonce, ciphertext_len)?,
            nonce_room: (padded_nonce + padding).try_into().ok()?,
        })
    }

    /// The datagram as associated data, nonce, text and tag, ready to be opened in place.
    pub fn split<'d>(&self, aead: Aead, datagram: &'d mut [u8]) -> Option<Sealed<'d>> {
        let (ad, rest) = datagram.split_at_mut_checked(usize::from(self.at))?;
        let nonce = self.nonce.range();
        let ciphertext = self.ciphertext.range();
        let (before, rest) = rest.split_at_mut_checked(ciphertext.start.checked_sub(ad.len())?)?;
        let nonce =
            before.get(nonce.start.checked_sub(ad.len())?..nonce.end.checked_sub(ad.len())?)?;
        let (text, tag) = split_ciphertext(aead, rest.get_mut(..ciphertext.len())?)?;
        Some(Sealed { ad, nonce, text, tag })
    }
}

/// A message in its datagram: associated data, nonce, text, tag.
pub(crate) struct Sealed<'d> {
    pub ad: &'d [u8],
    pub nonce: &'d [u8],
    pub text: &'d mut [u8],
    pub tag: &'d mut [u8; TAG_LEN],
}

/// AES-SIV puts its tag first (RFC 5297 §2.6), AES-GCM-SIV last (RFC 8452 §4).
fn split_ciphertext(aead: Aead, ciphertext: &mut [u8]) -> Option<(&mut [u8], &mut [u8; TAG_LEN])> {
    match aead {
        Aead::SivCmac256 | Aead::SivCmac512 => {
            ciphertext.split_first_chunk_mut().map(|(tag, text)| (text, tag))
        }
        Aead::Aes128GcmSiv => ciphertext.split_last_chunk_mut(),
    }
}

/// Octets of the body of an authenticator we make: our nonce length, a plaintext of `text_len`, no additional padding.
pub(crate) const fn body_len(aead: Aead, text_len: usize) -> usize {
    LENGTHS_LEN + aead.nonce_len().next_multiple_of(4) + (text_len + TAG_LEN).next_multiple_of(4)
}

/// An authenticator's body, just reserved, as its parts, the two lengths written.
pub(crate) fn lay_out(aead: Aead, text_len: usize, body: &mut [u8]) -> Option<Body<'_>> {
    let (lengths, rest) = body.split_first_chunk_mut::<LENGTHS_LEN>()?;
    let [n0, n1] = u16::try_from(aead.nonce_len()).ok()?.to_be_bytes();
    let [c0, c1] = u16::try_from(text_len + TAG_LEN).ok()?.to_be_bytes();
    *lengths = [n0, n1, c0, c1];
    // All our nonces are multiples of four octets, so no padding follows them.
    let (nonce, rest) = rest.split_at_mut_checked(aead.nonce_len())?;
    let (text, tag) = split_ciphertext(aead, rest.get_mut(..text_len + TAG_LEN)?)?;
    Some(Body { nonce, text, tag })
}

/// The parts of an authenticator's body that are still to be written.
pub(crate) struct Body<'b> {
    pub nonce: &'b mut [u8],
    pub text: &'b mut [u8],
    pub tag: &'b mut [u8; TAG_LEN],
}

/// Octets of type and length of the field, and of the two lengths at the start of its body.
const HEADER_LEN: usize = 4 + LENGTHS_LEN;
const LENGTHS_LEN: usize = 4;
