//! A server as a test wants it: every part of its answers can be bent.

use noonmark_nts::{Aead, Agreement, SessionKeys, UNIQUE_LEN};
use noonmark_packet::{FieldKind, Header, Leap, Mode, Packet, PacketWriter, ReferenceId, Version};
use noonmark_units::{PollExponent, Precision, Short, Span, Timestamp};

/// What the server puts behind the header.
pub struct Answer {
    pub header: Header,
    /// Echoed unless a test says otherwise.
    pub unique: Option<Vec<u8>>,
    /// Fields in the clear before the authenticator.
    pub clear: Vec<(FieldKind, Vec<u8>)>,
    /// The authenticator: key and cookies. `None` leaves it out.
    pub sealed: Option<(SessionKeys, Vec<Vec<u8>>)>,
    /// Fields after the authenticator.
    pub after: Vec<(FieldKind, Vec<u8>)>,
}

impl Answer {
    /// The honest answer to a plain request: ahead by `offset`, without any delay of its own.
    pub fn plain(request: &[u8], received: Timestamp, offset: Span) -> Self {
        let packet = Packet::parse(request).expect("a request");
        let stamp = received + offset;
        Self {
            header: Header {
                leap: Leap::None,
                version: Version::V4,
                mode: Mode::Server,
                stratum: 2,
                poll: PollExponent(6),
                precision: Precision(-20),
                root_delay: Short::from_bits(1 << 10),
                root_dispersion: Short::from_bits(1 << 8),
                reference_id: ReferenceId([192, 0, 2, 1]),
                reference_time: stamp - Span::from_seconds(10),
                origin: packet.transmit(),
                receive: stamp,
                transmit: stamp,
            },
            unique: unique_of(request).map(<[u8]>::to_vec),
            clear: Vec::new(),
            sealed: None,
            after: Vec::new(),
        }
    }

    /// The honest answer to a protected request, with `cookies` under `keys`.
    pub fn sealed(
        request: &[u8],
        received: Timestamp,
        keys: &SessionKeys,
        cookies: Vec<Vec<u8>>,
    ) -> Self {
        Self { sealed: Some((keys.clone(), cookies)), ..Self::plain(request, received, Span::ZERO) }
    }

    pub fn octets(&self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let mut writer = PacketWriter::new(&mut buffer, &self.header).expect("room");
        if let Some(unique) = &self.unique {
            writer.field(FieldKind::UNIQUE_IDENTIFIER, unique).expect("room");
        }
        for (kind, body) in &self.clear {
            writer.field(*kind, body).expect("room");
        }
        if let Some((keys, cookies)) = &self.sealed {
            write_authenticator(&mut writer, keys, cookies);
        }
        for (kind, body) in &self.after {
            writer.field(*kind, body).expect("room");
        }
        let len = writer.len();
        buffer.truncate(len);
        buffer
    }
}

fn write_authenticator(writer: &mut PacketWriter<'_>, keys: &SessionKeys, cookies: &[Vec<u8>]) {
    let mut text = Vec::new();
    for cookie in cookies {
        text.extend(FieldKind::NTS_COOKIE.0.to_be_bytes());
        text.extend(u16::try_from(4 + cookie.len()).expect("short").to_be_bytes());
        text.extend(cookie);
    }
    let aead = keys.aead();
    let nonce = vec![0x5a; aead.nonce_len()];
    let body_len = 4 + nonce.len() + text.len() + 16;
    writer
        .field_over(FieldKind::NTS_AUTHENTICATOR, body_len, |before, body| {
            let tag = keys.s2c_key().seal(before, &nonce, &mut text).expect("a good nonce");
            let mut octets = Vec::new();
            octets.extend(u16::try_from(nonce.len()).expect("short").to_be_bytes());
            octets.extend(u16::try_from(text.len() + 16).expect("short").to_be_bytes());
            octets.extend(&nonce);
            match aead {
                Aead::Aes128GcmSiv => octets.extend(text.iter().chain(&tag)),
                _ => octets.extend(tag.iter().chain(&text)),
            }
            body.copy_from_slice(&octets);
        })
        .expect("room");
}

/// The body of the only field of this kind.
pub fn field(request: &[u8], kind: FieldKind) -> Option<&[u8]> {
    let mut found = fields(request).into_iter().filter(|(of, _)| *of == kind).map(|(_, body)| body);
    let first = found.next();
    assert_eq!(found.next(), None, "one field of each kind");
    first
}

pub fn fields(request: &[u8]) -> Vec<(FieldKind, &[u8])> {
    let contents = Packet::parse(request).expect("a packet").contents().expect("well framed");
    contents.fields.map(|field| (field.kind, field.body)).collect()
}

pub fn unique_of(request: &[u8]) -> Option<&[u8]> {
    field(request, FieldKind::UNIQUE_IDENTIFIER)
        .inspect(|unique| assert_eq!(unique.len(), UNIQUE_LEN))
}

/// Keys that differ with `seed`.
pub fn keys(aead: Aead, seed: u8) -> SessionKeys {
    SessionKeys::new(aead, &vec![seed; aead.key_len()], &vec![!seed; aead.key_len()])
        .expect("right length")
}

/// `count` cookies of `len` octets that differ from each other and with `seed`.
pub fn cookies(count: u8, len: usize, seed: u8) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let mut cookie = vec![seed; len];
            cookie[0] = number;
            cookie
        })
        .collect()
}

/// What key establishment would agree.
pub fn agreement(
    keys: SessionKeys,
    alternative: Option<SessionKeys>,
    cookies: Vec<Vec<u8>>,
) -> Agreement {
    Agreement {
        keys,
        alternative,
        cookies,
        server: None,
        port: 123,
        compliant_export: false,
        certificates: Vec::new(),
    }
}
