//! Messages, hellos and records by hand, octet by octet.

use noonmark_conformance::check::Failure;

/// Kinds of records (RFC 8915 §4.1, and chrony's 1024).
pub const END: u16 = 0;
pub const NEXT_PROTOCOL: u16 = 1;
pub const ERROR: u16 = 2;
pub const WARNING: u16 = 3;
pub const AEAD: u16 = 4;
pub const COOKIE: u16 = 5;
pub const SERVER: u16 = 6;
pub const PORT: u16 = 7;
pub const KEEP_ALIVE: u16 = 8;
pub const COMPLIANT_EXPORT: u16 = 1024;

/// A record to be sent: critical bit, kind, body.
pub type Draft<'a> = (bool, u16, &'a [u8]);

/// What an ordinary client asks for: NTPv4 and AEAD 15.
pub const NTPV4: Draft<'static> = (true, NEXT_PROTOCOL, &[0, 0]);
pub const SIV_256: Draft<'static> = (true, AEAD, &[0, 15]);
pub const SIV_512: Draft<'static> = (true, AEAD, &[0, 17]);
pub const GCM_SIV: Draft<'static> = (true, AEAD, &[0, 30]);
pub const ASK_COMPLIANT: Draft<'static> = (false, COMPLIANT_EXPORT, &[]);

/// A record as it was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    pub critical: bool,
    pub kind: u16,
    pub body: Vec<u8>,
}

impl Record {
    /// Whether the body is read by a server, or passed over by the critical bit.
    pub fn is_known(&self) -> bool {
        self.kind <= PORT || self.kind == COMPLIANT_EXPORT
    }

    /// The body as 16-bit numbers, an odd octet left out.
    pub fn numbers(&self) -> Vec<u16> {
        self.body.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
    }

    pub fn set_numbers(&mut self, numbers: &[u16]) {
        self.body = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    }
}

/// A message of these records, End of Message behind them.
pub fn message(records: &[Draft<'_>]) -> Vec<u8> {
    let mut octets = open_message(records);
    octets.extend([0x80, 0, 0, 0]);
    octets
}

/// The same without End of Message.
pub fn open_message(records: &[Draft<'_>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for &(critical, kind, body) in records {
        put(&mut octets, critical, kind, body);
    }
    octets
}

/// Records as octets again.
pub fn join(records: &[Record]) -> Vec<u8> {
    let mut octets = Vec::new();
    for Record { critical, kind, body } in records {
        put(&mut octets, *critical, *kind, body);
    }
    octets
}

fn put(octets: &mut Vec<u8>, critical: bool, kind: u16, body: &[u8]) {
    let len = u16::try_from(body.len()).expect("a body fits its length");
    octets.extend((kind | if critical { 0x8000 } else { 0 }).to_be_bytes());
    octets.extend(len.to_be_bytes());
    octets.extend(body);
}

/// Cuts octets into records; what is left over at the end comes behind.
pub fn cut(mut octets: &[u8]) -> (Vec<Record>, &[u8]) {
    let mut records = Vec::new();
    while let Some((&[kind_high, kind_low, len_high, len_low], rest)) = octets.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let Some((body, rest)) = rest.split_at_checked(len) else { break };
        let word = u16::from_be_bytes([kind_high, kind_low]);
        records.push(Record {
            critical: word & 0x8000 != 0,
            kind: word & 0x7fff,
            body: body.to_vec(),
        });
        octets = rest;
    }
    (records, octets)
}

/// The records of a message that must be whole.
pub fn records(octets: &[u8]) -> Result<Vec<Record>, Failure> {
    match cut(octets) {
        (records, []) => Ok(records),
        (_, rest) => Err(format!("{} octets make no record: {rest:02x?}", rest.len())),
    }
}

/// Octets up to and with the first End of Message, if there is one.
pub fn message_len(octets: &[u8]) -> Option<usize> {
    let records = cut(octets).0;
    let end = records.iter().position(|record| record.kind == END)?;
    Some(records[..=end].iter().map(|record| 4 + record.body.len()).sum())
}

/// A ClientHello (RFC 8446 §4.1.2) with these extensions, in a TLS record: ECDHE-ECDSA-AES128-GCM-SHA256 for TLS 1.2 and
/// TLS_AES_128_GCM_SHA256 for 1.3.
pub fn client_hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &with_len(body)].concat())
        .collect();
    let body = [
        &[3, 3][..],
        &[0x5a; 32],
        &[0],
        &with_len(&[0xc0, 0x2b, 0x13, 0x01]),
        &[1, 0],
        &with_len(&extensions),
    ];
    handshake(1, &body.concat())
}

/// A ServerHello that agrees on TLS 1.2, in a TLS record.
pub fn server_hello_of_tls12() -> Vec<u8> {
    handshake(2, &[&[3, 3][..], &[0xa5; 32], &[0, 0xc0, 0x2b, 0]].concat())
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, len @ ..] = u32::try_from(body.len()).expect("short").to_be_bytes();
    let message = [&[kind][..], &len, body].concat();
    [&[0x16, 3, 1][..], &with_len(&message)].concat()
}

fn with_len(octets: &[u8]) -> Vec<u8> {
    let len = u16::try_from(octets.len()).expect("short");
    [&len.to_be_bytes()[..], octets].concat()
}

/// Extensions that every hello here has: the signature and the group of our throw-away identity, and a key share.
pub const SIGNATURES: (u16, &[u8]) = (13, &[0, 2, 4, 3]);
pub const GROUPS: (u16, &[u8]) = (10, &[0, 2, 0, 29]);
pub const KEY_SHARE: (u16, &[u8]) = (
    51,
    &[
        0, 36, 0, 29, 0, 32, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
        9, 9, 9, 9, 9, 9, 9, 9, 9,
    ],
);
pub const ALPN_NTSKE: (u16, &[u8]) = (16, b"\x00\x08\x07ntske/1");
/// supported_versions: 1.3 alone, 1.2 alone.
pub const TLS13: (u16, &[u8]) = (43, &[2, 3, 4]);
pub const TLS12: (u16, &[u8]) = (43, &[2, 3, 3]);

/// Content types of the TLS records in a stream: 21 alert, 22 handshake, 23 protected.
pub fn content_types(mut octets: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((&[kind, _, _, high, low], rest)) = octets.split_first_chunk() {
        types.push(kind);
        let len = usize::from(u16::from_be_bytes([high, low]));
        octets = rest.get(len..).unwrap_or_default();
    }
    types
}

/// Extensions of the ServerHello a server's stream begins with.
pub fn server_hello_extensions(stream: &[u8]) -> Result<Vec<u16>, Failure> {
    let broken = || format!("no ServerHello: {:02x?}", &stream[..stream.len().min(16)]);
    // Record header 5, handshake header 4, version 2, random 32, then the session id; behind it suite 2 and compression 1.
    let session_id = usize::from(*stream.get(43).ok_or_else(broken)?);
    if (stream.first(), stream.get(5)) != (Some(&22), Some(&2)) {
        return Err(broken());
    }
    let after = stream.get(44 + session_id + 3..).ok_or_else(broken)?;
    let (len, mut rest) = after.split_first_chunk::<2>().ok_or_else(broken)?;
    rest = rest.get(..usize::from(u16::from_be_bytes(*len))).ok_or_else(broken)?;
    let mut kinds = Vec::new();
    while let Some((&[kind_high, kind_low, len_high, len_low], tail)) = rest.split_first_chunk() {
        kinds.push(u16::from_be_bytes([kind_high, kind_low]));
        rest = tail.get(usize::from(u16::from_be_bytes([len_high, len_low]))..).unwrap_or_default();
    }
    Ok(kinds)
}
