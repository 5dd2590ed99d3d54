//! AES-SIV-CMAC (RFC 5297) and AES-CMAC (RFC 4493): the authenticated encryption of NTS, one message at a time and
//! many at once.
//!
//! A request under NTS costs a server two messages to open (cookie, authenticator) and two or more to seal (answer,
//! new cookies). CMAC is a chain: each block waits for the one before, so a processor that could work on eight blocks
//! at once idles. Everything here is arranged to give it more than one chain: the header's and the text's inside one
//! message, and those of many messages side by side.
//!
//! Start at [`Siv`]: `seal` and `open` for one message, `seal_many` and `open_many` for many under one key (cookies),
//! [`seal_keyed`] and [`open_keyed`] for many under a key each that is met once (packets of different clients). All work in place and
//! allocate nothing. Key schedules, subkeys and the CMAC of the zero block are computed once, in `new`.
//!
//! What it deliberately does not do: it chooses no nonce, knows no packet and no order of tag and ciphertext (the tag
//! is handed over separately), and it contains no block cipher: AES is the `aes` crate's, through its safe interface, but for one module with
//! the instructions of x86-64, which the crate has no interface for with several keys at once.
//!
//! Covers RFC 4493 §2 and RFC 5297 §2 to §4. Secrets are wiped when dropped, have no `Debug`, and tags are compared
//! in constant time. `no_std`, no `alloc`.

#![no_std]
#![deny(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod aesni;
mod block;
mod cmac;
mod counter;
mod keyed;
mod many;
mod s2v;
mod siv;

pub use block::BlockCipher;
pub use cmac::Cmac;
pub use keyed::{Keyed, open_keyed, seal_keyed};
pub use many::{Job, open_each, seal_each};
pub use siv::{Siv, SivCmac256, SivCmac384, SivCmac512};

/// Octets in a tag, in a synthetic initialisation vector and in a CMAC: one AES block.
pub const TAG_LEN: usize = 16;

/// Headers (associated data and nonce together) one message may have: RFC 5297 §7.
pub const MAX_HEADERS: usize = 126;

/// A key was offered whose length the algorithm does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyLength {
    /// Octets the algorithm's key has.
    pub expected: usize,
    /// Octets that were offered.
    pub found: usize,
}

impl core::fmt::Display for KeyLength {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "key of {} octets where the algorithm has {}", self.found, self.expected)
    }
}

impl core::error::Error for KeyLength {}

/// The tag does not belong to this message under this key. Says no more, on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Forged;

impl core::fmt::Display for Forged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("tag does not match")
    }
}

impl core::error::Error for Forged {}
