//! TLS and framing (KE-01 to KE-19).

use std::sync::Arc;

use noonmark_conformance::check::{Check, Failure};
use rustls::client::Resumption;

use super::lab::{KeLab, client_config, client_config_for, ensure, expect_error};
use super::octets::{
    ALPN_NTSKE, COOKIE, Draft, END, GROUPS, KEY_SHARE, NEXT_PROTOCOL, NTPV4, SIGNATURES, SIV_256,
    TLS12, TLS13, client_hello, content_types, message, open_message, records,
    server_hello_extensions,
};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["KE-01"], name: "tls_before_1_3_gets_an_alert", run: tls_version },
    Check { ids: &["KE-02"], name: "alpn_is_ntske_1_to_the_letter", run: alpn },
    Check { ids: &["KE-03"], name: "other_protocols_hear_nothing", run: other_protocols },
    Check {
        ids: &["KE-05"],
        name: "each_session_has_a_key_exchange_and_no_early_data",
        run: early_data,
    },
    Check { ids: &["KE-07"], name: "second_request_is_not_answered", run: one_answer },
    Check { ids: &["KE-08"], name: "close_notify_comes_behind_every_message", run: close_notify },
    Check { ids: &["KE-09"], name: "message_ends_with_80_00_00_00_once", run: end_of_message },
    Check { ids: &["KE-10"], name: "end_of_message_with_a_body_is_error_1", run: end_with_body },
    Check { ids: &["KE-11"], name: "nothing_behind_the_end_is_processed", run: behind_the_end },
    Check { ids: &["KE-12"], name: "record_headers_are_read_bit_by_bit", run: record_header },
    Check { ids: &["KE-13"], name: "bodies_have_any_length", run: body_lengths },
    Check { ids: &["KE-14"], name: "unknown_records_are_passed_over", run: unknown },
    Check { ids: &["KE-15"], name: "unknown_critical_record_is_error_0", run: unknown_critical },
    Check { ids: &["KE-17"], name: "requests_of_1024_octets_are_taken", run: long_requests },
    Check { ids: &["KE-19"], name: "cuts_by_tls_and_tcp_do_not_matter", run: cuts },
];

const MINIMAL: [Draft<'static>; 2] = [NTPV4, SIV_256];

fn tls_version(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    let hello = |versions: &[(u16, &[u8])]| {
        let common = [SIGNATURES, GROUPS, KEY_SHARE, ALPN_NTSKE];
        lab.probe(&client_hello(&[&common, versions].concat()))
    };
    for (versions, what) in [(&[][..], "no version but 1.2"), (&[TLS12], "version 1.2 alone")] {
        let types = content_types(&hello(versions));
        ensure(types == [21], || format!("{what} is answered by records {types:?}, not an alert"))?;
    }
    let agreed = server_hello_extensions(&hello(&[TLS13]))?;
    ensure(agreed.contains(&43), || "control: the hello itself is not understood".to_owned())?;
    lab.control()
}

fn alpn(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let offers: [&[&[u8]]; 3] =
        [&[b"ntske/1"], &[b"ntske/10", b"ntske/1"], &[b"h2", b"ntske/1", b"ntske/10"]];
    for offer in offers {
        let talk = lab.connect_with(&Arc::new(client_config_for(offer)));
        let chosen = talk.client.alpn_protocol();
        let right = chosen == Some(&[0x6e, 0x74, 0x73, 0x6b, 0x65, 0x2f, 0x31][..]);
        ensure(right, || format!("{chosen:02x?} is chosen of {offer:02x?}: {:?}", talk.broken))?;
    }
    Ok(())
}

fn other_protocols(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    let offers: [&[&[u8]]; 4] = [&[], &[b"h2"], &[b"NTSKE/1"], &[b"ntske/1\0", b"http/1.1"]];
    for offer in offers {
        let mut talk = lab.connect_with(&Arc::new(client_config_for(offer)));
        talk.say(&message(&MINIMAL));
        let heard = &talk.heard;
        ensure(heard.is_empty(), || format!("ALPN {offer:02x?} is answered: {heard:02x?}"))?;
        let ended = talk.is_over() || talk.broken.is_some();
        ensure(ended, || format!("ALPN {offer:02x?}: the connection stays open"))?;
    }
    lab.control()
}

fn early_data(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let mut config = client_config_for(&[b"ntske/1"]);
    config.resumption = Resumption::in_memory_sessions(4);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for session in 0..2 {
        let mut talk = lab.connect_with(&config);
        let allowed = talk.client.early_data().is_some() || talk.client.is_early_data_accepted();
        ensure(!allowed, || format!("session {session}: early data is taken"))?;
        talk.say(&message(&MINIMAL));
        let agreed = server_hello_extensions(&talk.stream)?;
        ensure(agreed.contains(&51), || format!("session {session}: no key exchange: {agreed:?}"))?;
        let suite = talk.client.negotiated_cipher_suite().map(|suite| suite.suite());
        let strong = suite.is_some_and(|suite| (0x1301..=0x1303).contains(&u16::from(suite)));
        ensure(strong, || format!("session {session}: suite {suite:?}"))?;
        let answer = talk.answer()?;
        ensure(answer.is_served(), || format!("session {session} is not served"))?;
    }
    Ok(())
}

fn one_answer(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let request = message(&MINIMAL);
    // Both at once; and the second when the first has been answered.
    for parts in [&[[&request[..], &request].concat()][..], &[request.clone(), request.clone()]] {
        let mut talk = lab.connect()?;
        for part in parts {
            talk.say(part);
        }
        let ends = talk.answer()?.count(END);
        ensure(ends == 1, || format!("two requests get {ends} answers"))?;
    }
    Ok(())
}

fn close_notify(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let requests = [message(&MINIMAL), message(&[SIV_256]), message(&[(true, 0x3fff, &[])])];
    for request in requests {
        let mut talk = lab.connect()?;
        talk.say(&request);
        ensure(!talk.heard.is_empty(), || format!("{request:02x?} is not answered"))?;
        ensure(talk.notified, || format!("{request:02x?}: no close_notify behind the answer"))?;
        ensure(talk.is_over(), || format!("{request:02x?}: the connection stays open"))?;
    }
    Ok(())
}

fn end_of_message(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let requests = [
        message(&MINIMAL),
        message(&[SIV_256]),
        message(&[NTPV4, (true, 4, &[0x27, 0x10])]),
        message(&[(true, NEXT_PROTOCOL, &[0x27, 0x10])]),
    ];
    for request in requests {
        let mut talk = lab.connect()?;
        talk.say(&request);
        let heard = talk.heard.clone();
        let tail = &heard[heard.len().saturating_sub(4)..];
        ensure(tail == [0x80, 0, 0, 0], || format!("an answer ends with {tail:02x?}"))?;
        let ends = talk.answer()?.count(END);
        ensure(ends == 1, || format!("{ends} Ends of Message in an answer"))?;
    }
    Ok(())
}

fn end_with_body(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for body in [&[1, 1][..], &[0; 4], &[0; 300]] {
        expect_error(&lab, &open_message(&[NTPV4, SIV_256, (true, END, body)]), 1)?;
    }
    lab.control()
}

fn behind_the_end(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let expected = lab.served(&MINIMAL)?.kinds();
    for more in [&[(true, 0x3fff, &[][..])][..], &[(true, 4, &[0, 17])], &[(true, 2, &[0, 1])]] {
        let answer = lab.ask(&[message(&MINIMAL), open_message(more)].concat())?;
        ensure(answer.is_served() && answer.kinds() == expected, || {
            format!("{more:02x?} behind the end changes the answer: {:?}", answer.kinds())
        })?;
        ensure(answer.aead() == Some(15), || format!("{more:02x?} behind the end is read"))?;
    }
    let half = lab.ask(&[&message(&MINIMAL)[..], &[0xff, 0xff, 0xff]].concat())?;
    ensure(half.is_served(), || "a half header behind the end matters".to_owned())
}

fn record_header(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    // Octets as RFC 8915 §4 figure 5 draws them, not as a function of ours writes them.
    let golden: [u8; 16] = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];
    let mut talk = lab.connect()?;
    talk.say(&golden);
    let first = talk.heard.first_chunk::<4>().copied().unwrap_or_default();
    // The critical bit of the first record has a check of its own.
    let begins_well = [first[0] & 0x7f, first[1], first[2]] == [0, 1, 0];
    ensure(begins_well, || format!("an answer begins with {first:02x?}"))?;
    records(&talk.heard)?;
    // 0x4001 is not kind 1 with some flag: not critical and unknown. Its length has two octets: were only the low one read,
    // the octets behind would be a second Next Protocol.
    let mut long = vec![0x40, 0x01, 1, 2];
    long.extend([0, 0].iter().chain([0x80, 1, 0, 2, 0, 0].iter().cycle().take(256)));
    for unknown in [&[0x40, 0x01, 0, 2, 0, 0][..], &long] {
        let answer = lab.ask(&[unknown, &golden].concat())?;
        ensure(answer.is_served(), || {
            format!("{:02x?} is not passed over: {:02x?}", &unknown[..6], answer.records)
        })?;
    }
    Ok(())
}

fn body_lengths(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for len in [0, 1, 3, 5, 255, 256, 4097, 65535] {
        let answer = lab.ask_for(&[(false, 0x2000, &vec![0xa5; len]), NTPV4, SIV_256])?;
        ensure(answer.is_served(), || {
            format!("a record of {len} octets is in the way: {:02x?}", answer.records)
        })?;
    }
    Ok(())
}

fn unknown(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let expected = lab.served(&MINIMAL)?.kinds();
    // 8 has a check of its own: KX-08.
    for kind in [9, 14, 255, 1000, 1023, 1025, 0x3fff] {
        let stranger: Draft<'_> = (false, kind, &[1, 2]);
        for records in
            [[stranger, NTPV4, SIV_256], [NTPV4, stranger, SIV_256], [NTPV4, SIV_256, stranger]]
        {
            let answer = lab.ask_for(&records)?;
            ensure(answer.is_served() && answer.kinds() == expected, || {
                format!("record {kind} matters: {:02x?}", answer.records)
            })?;
        }
    }
    Ok(())
}

fn unknown_critical(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for kind in [0x3fff, 0x2000, 1025] {
        let stranger: Draft<'_> = (true, kind, &[]);
        for records in [[stranger, NTPV4, SIV_256], [NTPV4, SIV_256, stranger]] {
            expect_error(&lab, &message(&records), 0)?;
            let kinds = lab.ask_for(&records)?.kinds();
            ensure(kinds == [2], || format!("error 0 comes among {kinds:?}"))?;
        }
    }
    lab.control()
}

fn long_requests(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let filled_by = |records: &[Draft<'_>]| {
        let request = message(&[records, &MINIMAL].concat());
        assert_eq!(request.len(), 1024, "this is what the check is about");
        lab.ask(&request)
    };
    // 16 octets of request and one filler, or 252 fillers without a body.
    let few = filled_by(&[(false, 0x2000, &[0; 1004])])?;
    ensure(few.is_served(), || format!("1004 octets of filler: {:02x?}", few.records))?;
    let many = filled_by(&[(false, 0x2000, &[][..]); 252])?;
    ensure(many.is_served(), || format!("252 records of filler: {:02x?}", many.records))?;
    ensure(few.count(COOKIE) == many.count(COOKIE), || "answers differ".to_owned())
}

fn cuts(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let request = message(&MINIMAL);
    // TLS records of one octet, of two halves with a header cut in two, of all at once.
    for len in [1, 7, 9, request.len()] {
        let mut talk = lab.connect()?;
        for part in request.chunks(len) {
            talk.say(part);
        }
        let answer = talk.answer()?;
        ensure(answer.is_served(), || format!("{len} octets per TLS record: not served"))?;
    }
    // Segments of TCP that cut TLS records, from the first octet of the handshake on.
    for len in [1, 5, 100] {
        let mut talk = lab.connect_in_pieces(client_config(), len);
        talk.say(&request);
        let answer = talk.answer()?;
        ensure(answer.is_served(), || format!("{len} octets per segment: not served"))?;
    }
    Ok(())
}
