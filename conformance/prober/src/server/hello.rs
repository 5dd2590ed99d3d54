//! ClientHellos by hand, and what a server says to them, for what a TLS library would not say.

use crate::octets::{len16, u16_at};

/// An extension of a hello: its type and its body.
pub type Extension<'a> = (u16, &'a [u8]);

/// Signatures: ECDSA with P-256 and P-384, RSA-PSS, Ed25519, RSA with PKCS 1.
pub const SIGNATURES: Extension<'static> = (13, &[0, 12, 4, 3, 5, 3, 8, 4, 8, 5, 8, 7, 4, 1]);
/// Groups: X25519 alone.
pub const GROUPS: Extension<'static> = (10, &[0, 2, 0, 29]);
/// Point formats: uncompressed, for TLS 1.2.
pub const POINTS: Extension<'static> = (11, &[1, 0]);
/// A share for X25519: any 32 octets are a public key.
pub const KEY_SHARE: Extension<'static> = (
    51,
    &[
        0, 36, 0, 29, 0, 32, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
        9, 9, 9, 9, 9, 9, 9, 9, 9,
    ],
);
/// ALPN: `ntske/1`.
pub const NTSKE: Extension<'static> = (16, b"\x00\x08\x07ntske/1");
/// supported_versions: 1.3 alone.
pub const TLS13: Extension<'static> = (43, &[2, 3, 4]);
/// supported_versions: 1.2 alone.
pub const TLS12: Extension<'static> = (43, &[2, 3, 3]);

/// A ClientHello (RFC 8446 §4.1.2) with these extensions, in a TLS record: suites of TLS 1.2 with ECDHE and those of TLS 1.3.
#[must_use]
pub fn client_hello(extensions: &[Extension<'_>]) -> Vec<u8> {
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &with_len(body)].concat())
        .collect();
    let suites =
        [0x13, 0x01, 0x13, 0x02, 0x13, 0x03, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30];
    let body =
        [&[3, 3][..], &[0x5a; 32], &[0], &with_len(&suites), &[1, 0], &with_len(&extensions)]
            .concat();
    let [_, len @ ..] = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let message = [&[1][..], &len, &body].concat();
    [&[0x16, 3, 1][..], &with_len(&message)].concat()
}

fn with_len(octets: &[u8]) -> Vec<u8> {
    [&len16(octets.len())[..], octets].concat()
}

/// Whether a server's stream begins with a ServerHello.
#[must_use]
pub fn is_server_hello(stream: &[u8]) -> bool {
    (stream.first(), stream.get(5)) == (Some(&22), Some(&2))
}

/// Whether a server's stream has anything in it but alerts.
#[must_use]
pub fn has_more_than_alerts(mut stream: &[u8]) -> bool {
    while let Some((&[kind, ..], len)) = stream.first_chunk::<5>().zip(u16_at(stream, 3)) {
        if kind != 21 {
            return true;
        }
        stream = stream.get(5 + usize::from(len)..).unwrap_or_default();
    }
    false
}

/// Extensions of the ServerHello a stream begins with; `None` if it begins otherwise.
#[must_use]
pub fn server_hello_extensions(stream: &[u8]) -> Option<Vec<u16>> {
    // Record header 5, handshake header 4, version 2, random 32, then the session id; behind it suite 2 and compression 1.
    let session_id = usize::from(*stream.get(43)?);
    if !is_server_hello(stream) {
        return None;
    }
    let after = stream.get(44 + session_id + 3..)?;
    let len = u16_at(after, 0)?;
    let mut rest = after.get(2..2 + usize::from(len))?;
    let mut kinds = Vec::new();
    while let (Some(kind), Some(len)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        kinds.push(kind);
        rest = rest.get(4 + usize::from(len)..).unwrap_or_default();
    }
    Some(kinds)
}
