use noonmark_nts::{MAX_COOKIES, Request, UNIQUE_LEN, classify};
use noonmark_packet::{
    Contents, DecodeError, FieldKind, HEADER_LEN, Packet, PacketWriter, Trailer,
};

use crate::Fault;

/// Target `packet`: `octets` are a datagram.
///
/// # Panics
/// If it is read and refused at once, if what was read does not cover it, or if it does not write back the same.
pub fn packet(octets: &[u8]) {
    packet_through(octets, &|_, _| {});
}

/// [`packet`] with `fault` applied to what is written back.
///
/// # Panics
/// As [`packet`].
pub fn packet_through(octets: &[u8], fault: Fault<'_>) {
    let packet = match Packet::parse(octets) {
        Ok(packet) => packet,
        Err(error) => {
            assert_eq!(error, DecodeError::Truncated { len: octets.len() });
            assert!(octets.len() < HEADER_LEN);
            return;
        }
    };
    let line = packet.to_string();
    assert!(line.starts_with("NTPv") && line.chars().all(|c| !c.is_control()), "{line:?}");
    assert_eq!(packet.header().to_octets()[..], octets[..HEADER_LEN]);
    assert_eq!(packet.kiss().is_some(), octets[1] == 0 && octets[12..16] != [0; 4]);
    if let Ok(contents) = packet.contents() {
        assert!(octets.len().is_multiple_of(4));
        let mut again = write(&packet, &contents, octets.len());
        fault("packet written back", &mut again);
        assert_eq!(again, octets);
    }
    what_is_asked_for_lies_in_its_fields(&packet, fault);
}

/// What a server finds of NTS are whole fields of the packet, or parts of its authenticator; otherwise it says which rule is broken.
fn what_is_asked_for_lies_in_its_fields(packet: &Packet<'_>, fault: Fault<'_>) {
    let octets = packet.datagram();
    let (unique, protected) = match classify(packet) {
        Ok(Request::Plain { unique }) => (unique, None),
        Ok(Request::Protected(fields)) => (Some(fields.unique()), Some(fields)),
        Err(violation) => {
            let said = violation.to_string();
            assert!(said.ends_with(&format!("({})", violation.clause())), "{said}");
            assert!(!violation.name().is_empty());
            return;
        }
    };
    let fields = packet.contents().expect("it was looked through").fields;
    let is_field = |kind, body: &[u8]| {
        let mut same = fields.filter(|field| field.kind == kind);
        same.any(|field| field.body == body)
    };
    if let Some(unique) = unique {
        let mut unique = unique.octets(octets).to_vec();
        fault("unique identifier found", &mut unique);
        assert!(unique.len() >= UNIQUE_LEN && is_field(FieldKind::UNIQUE_IDENTIFIER, &unique));
    }
    if let Some(protected) = protected {
        assert!(!fields.is_empty());
        assert!(is_field(FieldKind::NTS_COOKIE, protected.cookie(octets)));
        assert!((1..=MAX_COOKIES).contains(&protected.cookies_wanted()));
        let nonce = protected.nonce(octets);
        let mut authenticators = fields.filter(|field| field.kind == FieldKind::NTS_AUTHENTICATOR);
        let body = authenticators.next().expect("there is one").body;
        assert_eq!(body.get(4..4 + nonce.len()), Some(nonce));
    }
}

/// Writes what was read into exactly `room` octets.
fn write(packet: &Packet<'_>, contents: &Contents<'_>, room: usize) -> Vec<u8> {
    let mut buffer = vec![0xaa; room];
    let mut writer = PacketWriter::new(&mut buffer, &packet.header()).expect("it had a header");
    let mut at = HEADER_LEN;
    for field in contents.fields {
        assert_eq!(field.at, at);
        writer.field(field.kind, field.body).expect("it fitted before");
        at = field.end();
        assert_eq!(at, writer.len());
    }
    let written = match contents.trailer {
        Trailer::None => writer.finish(),
        Trailer::CryptoNak => writer.crypto_nak().expect("it fitted before"),
        Trailer::Mac(mac) => writer.mac(&mac).expect("it fitted before"),
    };
    written.to_vec()
}
