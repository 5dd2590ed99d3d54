//! Packets and records by hand, octet by octet, and ciphers that are not ours.
//!
//! What is built here may be as wrong as a probe wants it; what is read here may be anything, and is never taken for granted.

pub mod cipher;
pub mod field;
pub mod header;
pub mod protected;
pub mod record;

pub use cipher::{Cipher, Keys};
pub use field::Field;
pub use header::Header;
pub use protected::Protected;
pub use record::Record;

/// The 16-bit number in network order at this place.
#[must_use]
pub fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

/// The length of something short, as it stands in a 16-bit field.
///
/// # Panics
/// Above 65535, which no probe builds.
#[must_use]
pub fn len16(len: usize) -> [u8; 2] {
    u16::try_from(len).expect("a length of 16 bits").to_be_bytes()
}
