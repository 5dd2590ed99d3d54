use noonmark_packet::{
    DecodeError, FieldKind, HEADER_LEN, Header, Packet, PacketWriter, Trailer, field_header,
    walk_encrypted,
};
use noonmark_units::Timestamp;

use crate::{Fault, Input};

/// Target `fields`: `octets` are first the plaintext of an authenticator, then a plan of fields to write.
///
/// # Panics
/// If the walk of a plaintext loses or invents octets, or if fields written are not the fields read.
pub fn fields(octets: &[u8]) {
    fields_through(octets, &|_, _| {});
}

/// [`fields`] with `fault` applied to whatever was written before it is read.
///
/// # Panics
/// As [`fields`].
pub fn fields_through(octets: &[u8], fault: Fault<'_>) {
    walk_covers_the_plaintext(octets, fault);
    let plan = plan(octets);
    written_encrypted_fields_read_back(&plan, fault);
    written_fields_read_back(&plan, fault);
}

fn walk_covers_the_plaintext(plaintext: &[u8], fault: Fault<'_>) {
    let mut again = Vec::new();
    let mut stopped = None;
    for field in walk_encrypted(plaintext) {
        assert_eq!(stopped, None, "the walk went on after an error");
        match field {
            Ok(field) => {
                assert_eq!(field.at, again.len());
                again.extend(field_header(field.kind, field.body.len()).expect("it fitted before"));
                again.extend_from_slice(field.body);
                assert_eq!(field.end(), again.len());
            }
            Err(DecodeError::FieldLength { at, .. } | DecodeError::TrailerLength { at, .. }) => {
                stopped = Some(at);
            }
            Err(error) => panic!("{error}"),
        }
    }
    let walked = stopped.unwrap_or(plaintext.len());
    fault("plaintext written back", &mut again);
    assert_eq!(Some(&again[..]), plaintext.get(..walked));
}

/// Up to 64 fields: two octets of kind, one of length in words, then the body.
fn plan(octets: &[u8]) -> Vec<(FieldKind, Vec<u8>)> {
    let mut input = Input::new(octets);
    let mut plan = Vec::new();
    while !input.is_empty() && plan.len() < 64 {
        let kind = FieldKind(input.number());
        let len = 4 * input.below(64);
        let mut body = input.at_most(len).to_vec();
        body.resize(len, 0);
        plan.push((kind, body));
    }
    plan
}

fn written_encrypted_fields_read_back(plan: &[(FieldKind, Vec<u8>)], fault: Fault<'_>) {
    let mut plaintext = Vec::new();
    for (kind, body) in plan {
        plaintext.extend(field_header(*kind, body.len()).expect("short"));
        plaintext.extend_from_slice(body);
    }
    fault("encrypted fields", &mut plaintext);
    let read: Result<Vec<_>, _> = walk_encrypted(&plaintext)
        .map(|field| field.map(|field| (field.kind, field.body.to_vec())))
        .collect();
    assert_eq!(read.as_deref(), Ok(plan));
}

/// In the clear a field has 16 octets or more, the last one 28: the bodies come back with zeros added.
fn written_fields_read_back(plan: &[(FieldKind, Vec<u8>)], fault: Fault<'_>) {
    let mut buffer = vec![0xaa; 1 << 16];
    let header = Header::client(Timestamp::from_bits(1));
    let mut writer = PacketWriter::new(&mut buffer, &header).expect("room");
    let mut expected = Vec::new();
    for (nth, (kind, body)) in plan.iter().enumerate() {
        let is_last = nth + 1 == plan.len();
        if is_last { writer.last_field(*kind, body) } else { writer.field(*kind, body) }
            .expect("room");
        let mut body = body.clone();
        body.resize(body.len().max(if is_last { 24 } else { 12 }), 0);
        expected.push((*kind, body));
    }
    let mut datagram = writer.finish().to_vec();
    fault("fields in the clear", &mut datagram);
    let packet = Packet::parse(&datagram).expect("a header");
    assert_eq!(packet.datagram()[..HEADER_LEN], header.to_octets());
    let contents = packet.contents().expect("well framed");
    assert_eq!(contents.trailer, Trailer::None);
    let read: Vec<_> = contents.fields.map(|field| (field.kind, field.body.to_vec())).collect();
    assert_eq!(read, expected);
}
