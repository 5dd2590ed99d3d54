//! What is written is what is read, for any packet; and no octets at all make a reader panic.

use noonmark_packet::{
    Field, FieldKind, HEADER_LEN, Header, Mac, Packet, PacketWriter, ReferenceId, Trailer, Version,
    field_header, walk_encrypted,
};
use noonmark_units::{PollExponent, Precision, Short, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

/// A packet as values: what a writer gets and a reader must give back.
#[derive(Clone, Debug)]
struct Sent {
    header: Header,
    fields: Vec<(u16, Vec<u8>)>,
    closing: Closing,
}

#[derive(Clone, Debug)]
enum Closing {
    None,
    CryptoNak,
    Mac(u32, Vec<u8>),
}

impl Sent {
    fn write<'a>(&self, buffer: &'a mut [u8]) -> &'a mut [u8] {
        let mut writer = PacketWriter::new(buffer, &self.header).expect("room");
        for (kind, body) in &self.fields {
            writer.field(FieldKind(*kind), body).expect("room");
        }
        match &self.closing {
            Closing::None => writer.finish(),
            Closing::CryptoNak => writer.crypto_nak().expect("room"),
            Closing::Mac(key_id, digest) => {
                writer.mac(&Mac { key_id: *key_id, digest }).expect("a digest that fits")
            }
        }
    }
}

/// The property: `damage` stands where a codec could be wrong, and does nothing in the honest test.
fn written_packets_read_back(sent: &Sent, damage: impl Fn(&mut [u8])) -> Result<(), TestCaseError> {
    let mut buffer = [0xaa; 4096];
    let octets = sent.write(&mut buffer);
    damage(octets);
    let packet = Packet::parse(octets).expect("a header");
    prop_assert_eq!(packet.header(), sent.header);
    prop_assert_eq!(packet.datagram().len() % 4, 0);
    let contents = packet.contents().map_err(|error| TestCaseError::fail(error.to_string()))?;
    let read: Vec<_> =
        contents.fields.map(|Field { kind, body, .. }| (kind.0, body.to_vec())).collect();
    prop_assert_eq!(&read, &sent.fields);
    match (&sent.closing, contents.trailer) {
        (Closing::None, Trailer::None) | (Closing::CryptoNak, Trailer::CryptoNak) => {}
        (Closing::Mac(key_id, digest), Trailer::Mac(mac)) => {
            prop_assert_eq!((*key_id, &digest[..]), (mac.key_id, mac.digest));
        }
        (sent, read) => prop_assert!(false, "{sent:?} was read as {read:?}"),
    }
    Ok(())
}

fn headers() -> impl Strategy<Value = Header> {
    any::<([u8; 16], [u8; 16], [u8; 16])>().prop_map(|parts| {
        let mut octets = [0; HEADER_LEN];
        octets[..16].copy_from_slice(&parts.0);
        octets[16..32].copy_from_slice(&parts.1);
        octets[32..].copy_from_slice(&parts.2);
        Header::from_octets(&octets)
    })
}

/// Bodies of whole words, so that padding does not change them; the last field long enough for what follows it.
fn fields(closing: &Closing) -> BoxedStrategy<Vec<(u16, Vec<u8>)>> {
    let field = |least_words: usize| {
        (any::<u16>(), vec(any::<[u8; 4]>(), least_words..40))
            .prop_map(|(kind, words)| (kind, words.concat()))
    };
    let last_words = match closing {
        Closing::None => 6,
        Closing::CryptoNak => 5,
        Closing::Mac(..) => 3,
    };
    let some = (vec(field(3), 0..5), field(last_words)).prop_map(|(mut fields, last)| {
        fields.push(last);
        fields
    });
    prop_oneof![1 => Just(Vec::new()), 4 => some].boxed()
}

fn version_4() -> impl Strategy<Value = Sent> {
    let digest = prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 20)];
    let closing = prop_oneof![
        Just(Closing::None),
        Just(Closing::CryptoNak),
        (any::<u32>(), digest).prop_map(|(key_id, digest)| Closing::Mac(key_id, digest)),
    ];
    (headers(), closing).prop_flat_map(|(mut header, closing)| {
        header.version = Version::V4;
        fields(&closing).prop_map(move |fields| Sent { header, fields, closing: closing.clone() })
    })
}

fn before_version_4() -> impl Strategy<Value = Sent> {
    let mac = (any::<u32>(), vec(any::<[u8; 4]>(), 4..=16));
    let closing = prop_oneof![
        Just(Closing::None),
        Just(Closing::CryptoNak),
        mac.prop_map(|(key_id, digest)| Closing::Mac(key_id, digest.concat())),
    ];
    (headers(), 1u8..=3, closing).prop_map(|(mut header, version, closing)| {
        header.version = Version::new(version).expect("three bits");
        Sent { header, fields: Vec::new(), closing }
    })
}

proptest! {
    #[test]
    fn a_packet_of_version_4_reads_back(sent in version_4()) {
        written_packets_read_back(&sent, |_| {})?;
    }

    #[test]
    fn a_packet_of_an_older_version_reads_back(sent in before_version_4()) {
        written_packets_read_back(&sent, |_| {})?;
    }

    /// Any octets: no panic, one line of text, and what was accepted covers the datagram exactly.
    #[test]
    fn any_octets_are_read_or_refused(octets in vec(any::<u8>(), 0..300), version_4: bool) {
        let mut octets = octets;
        if let (true, Some(first)) = (version_4, octets.first_mut()) {
            *first = *first & 0xc7 | 0x20;
        }
        let Ok(packet) = Packet::parse(&octets) else {
            prop_assert!(octets.len() < HEADER_LEN);
            return Ok(());
        };
        let text = packet.to_string();
        prop_assert!(!text.contains('\n') && text.starts_with("NTPv"), "{text}");
        let Ok(contents) = packet.contents() else { return Ok(()) };
        let fields_end = contents.fields.last().map_or(HEADER_LEN, |last| last.end());
        let trailer = match contents.trailer {
            Trailer::None => 0,
            Trailer::CryptoNak => 4,
            Trailer::Mac(mac) => 4 + mac.digest.len(),
        };
        prop_assert_eq!(fields_end + trailer, octets.len());
    }

    #[test]
    fn encrypted_fields_read_back(fields in vec((any::<u16>(), vec(any::<[u8; 4]>(), 0..30)), 0..6)) {
        let mut plaintext = Vec::new();
        for (kind, words) in &fields {
            let body = words.concat();
            plaintext.extend(field_header(FieldKind(*kind), body.len()).expect("short"));
            plaintext.extend(body);
        }
        let read: Result<Vec<_>, _> = walk_encrypted(&plaintext)
            .map(|field| field.map(|field| (field.kind.0, field.body.to_vec())))
            .collect();
        let sent: Vec<_> = fields.into_iter().map(|(kind, words)| (kind, words.concat())).collect();
        prop_assert_eq!(read.expect("well framed"), sent);
    }
}

/// The property above must see a codec that is wrong. Each damage stands for a mistake somebody could make.
#[test]
fn the_round_trip_property_sees_a_wrong_codec() {
    let swapped_stamps: fn(&mut [u8]) = |octets| {
        let (origin, receive) = octets[24..40].split_at_mut(8);
        origin.swap_with_slice(receive);
    };
    let length_without_header: fn(&mut [u8]) = |octets| {
        if let Some([high, low]) = octets.get_mut(50..52).and_then(|len| len.first_chunk_mut()) {
            [*high, *low] = (u16::from_be_bytes([*high, *low]).wrapping_sub(4)).to_be_bytes();
        }
    };
    let lost_last_octet: fn(&mut [u8]) = |octets| {
        if let Some(last) = octets.last_mut() {
            *last = 0xaa;
        }
    };
    for damage in [swapped_stamps, length_without_header, lost_last_octet] {
        let result = TestRunner::deterministic()
            .run(&version_4(), |sent| written_packets_read_back(&sent, damage));
        assert!(matches!(result, Err(TestError::Fail(..))), "{result:?}");
    }
}

#[test]
fn a_field_that_does_not_fit_leaves_no_trace() {
    let mut buffer = [0xaa; 100];
    let header = Header::client(Timestamp::from_bits(1));
    let mut writer = PacketWriter::new(&mut buffer, &header).expect("room");
    writer.last_field(FieldKind(1), b"short").expect("room");
    assert_eq!(writer.len(), 48 + 28);
    let before = writer.written().to_vec();
    let refused = writer.field_with(FieldKind(2), 21, |_| panic!("there is no body to fill"));
    assert_eq!(
        refused.expect_err("28 octets do not fit").to_string(),
        "28 octets do not fit into 24"
    );
    let refused = writer.field_with(FieldKind(2), 65_529, |_| panic!("there is no body to fill"));
    assert_eq!(
        refused.expect_err("too long").to_string(),
        "65529 octets are too many for an extension field"
    );
    assert_eq!(writer.written(), before);
    let octets = writer.finish();
    assert_eq!(octets, before);
    assert_eq!(octets[48..57], *b"\0\x01\0\x1cshort");
    assert_eq!(octets[57..], [0; 19]); // padding is zero whatever the buffer held
    assert!(PacketWriter::new(&mut [0; 47], &header).is_err());
}

#[test]
fn a_mac_that_would_be_read_as_something_else_is_refused() {
    let check = |version: Version, len: usize, written: bool| {
        let mut buffer = [0; 200];
        let header = Header { version, ..Header::client(Timestamp::from_bits(1)) };
        let writer = PacketWriter::new(&mut buffer, &header).expect("room");
        let mac = writer.mac(&Mac { key_id: 1, digest: &[7; 64][..len] });
        assert_eq!(mac.is_ok(), written, "{version} {len}");
    };
    check(Version::V4, 16, true);
    check(Version::V4, 20, true);
    check(Version::V4, 24, false);
    check(Version::V4, 12, false);
    check(Version::V3, 16, true);
    check(Version::V3, 32, true);
    check(Version::V3, 64, true);
    check(Version::V3, 18, false);
    check(Version::V3, 12, false);
}

/// All values of the four numbers of one octet or less can be read and written, and none is refused.
#[test]
fn all_256_values_of_every_small_field_survive() {
    for value in 0..=255u8 {
        let header = Header {
            stratum: value,
            poll: PollExponent(value.cast_signed()),
            precision: Precision(value.cast_signed()),
            root_delay: Short::from_bits(u32::from(value) << 24),
            reference_id: ReferenceId([value; 4]),
            ..Header::client(Timestamp::UNSET)
        };
        let octets = header.to_octets();
        let packet = Packet::parse(&octets).expect("48 octets");
        assert_eq!(packet.header(), header);
        assert_eq!(
            (packet.stratum(), packet.poll(), packet.precision()),
            (value, header.poll, header.precision)
        );
        assert!(!packet.to_string().is_empty());
    }
}
