//! NTP datagrams, from octets to names and back.
//!
//! [`Packet::parse`] borrows a datagram of at least [`HEADER_LEN`] octets and gives every header field by its RFC name;
//! it copies nothing. [`Packet::contents`] then checks all that follows the header, once, and returns the extension
//! fields and the trailer (nothing, a MAC or a crypto-NAK). [`PacketWriter`] builds a packet in a buffer the caller
//! owns. A [`Packet`] prints itself on one line.
//!
//! What follows the header is framed by version:
//!
//! | version | octets after the header |
//! |---|---|
//! | 4 | extension fields of 16 octets or more, then nothing, a MAC of 20 or 24 octets, or a crypto-NAK of 4 zero octets; without a trailer the last field has 28 octets or more |
//! | 1, 2, 3 | nothing, a crypto-NAK, or a MAC of 20 to 68 octets; never extension fields |
//! | 0, 5, 6, 7 | not known; refused |
//!
//! Lengths that fit none of these are errors, never guesses. What a field or a kiss code *means* is left to others: this
//! crate does not know which request an answer belongs to, decrypts nothing (see [`walk_encrypted`] for the plaintext
//! of an NTS authenticator), checks no MAC, and has no opinion on which packets deserve an answer. It reads no clock.
//! No `std`, no allocation, no `unsafe`; no input can make it panic.
//!
//! Covered: RFC 5905 §7.3 (header), §7.4 (kiss codes), §7.5 as replaced by RFC 7822 (extension fields and MAC),
//! RFC 1305 and before in so far as their header is the same, RFC 8915 §5 and RFC 9748 (field types).
#![no_std]
#![forbid(unsafe_code)]

mod contents;
mod error;
mod field;
mod header;
mod kiss;
mod leap;
mod mode;
mod packet;
mod reference;
mod text;
mod version;
mod writer;

pub use contents::{Contents, Mac, Trailer};
pub use error::{DecodeError, EncodeError};
pub use field::{EncryptedFields, Field, FieldKind, Fields, field_header, walk_encrypted};
pub use header::{HEADER_LEN, Header};
pub use kiss::KissCode;
pub use leap::Leap;
pub use mode::Mode;
pub use packet::Packet;
pub use reference::{ReferenceId, ReferenceIdText};
pub use version::Version;
pub use writer::PacketWriter;
