//! The client's side of key establishment (KE-01 to KE-73, KX).

use noonmark_conformance::check::{Check, Failure};
use noonmark_nts::{Aead, KeError, KeRequest, NtpServer};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, date_time_ymd};

use super::bench::ensure;
use super::keys::{Town, agreed, refused};
use crate::Lab;
use crate::ke::octets::{
    AEAD, COMPLIANT_EXPORT, COOKIE, Draft, END, ERROR, NEXT_PROTOCOL, PORT, SERVER, WARNING,
    message, open_message, records,
};

pub const CHECKS: &[Check<Lab>] = &[
    Check {
        ids: &["KE-01", "KE-05"],
        name: "client_offers_tls_1_3_alone_without_early_data",
        run: hello,
    },
    Check { ids: &["KE-02", "KE-03"], name: "client_wants_ntske_1_and_nothing_else", run: alpn },
    Check {
        ids: &["KE-06"],
        name: "certificate_is_judged_by_name_time_and_authority",
        run: certificates,
    },
    Check {
        ids: &["KE-07", "KE-08", "KX-08"],
        name: "client_asks_once_and_says_close_notify",
        run: one_request,
    },
    Check { ids: &["KE-09"], name: "response_needs_its_end", run: end },
    Check { ids: &["KE-11"], name: "what_follows_the_end_is_not_read", run: behind_the_end },
    Check {
        ids: &["KE-12", "KE-31", "KE-45"],
        name: "request_is_laid_out_to_the_octet",
        run: request,
    },
    Check {
        ids: &["KE-13", "KE-14"],
        name: "unknown_records_of_any_length_are_passed_over_by_the_client",
        run: unknown,
    },
    Check {
        ids: &["KE-16"],
        name: "unknown_critical_record_in_a_response_is_an_error",
        run: unknown_critical,
    },
    Check { ids: &["KE-18"], name: "responses_of_65536_octets_are_taken", run: long_response },
    Check { ids: &["KE-19"], name: "cuts_of_a_response_do_not_matter", run: cuts },
    Check { ids: &["KE-30"], name: "response_has_one_protocol_record", run: one_protocol },
    Check { ids: &["KE-33"], name: "protocol_not_offered_is_refused", run: protocol },
    Check { ids: &["KE-34"], name: "nothing_shared_is_a_clean_failure", run: nothing_shared },
    Check { ids: &["KE-36"], name: "error_of_a_wrong_length_is_a_failure", run: error_length },
    Check { ids: &["KE-37"], name: "client_sends_no_error", run: no_error },
    Check { ids: &["KE-39"], name: "error_anywhere_discards_all", run: error_anywhere },
    Check { ids: &["KE-43", "KE-44"], name: "any_warning_is_an_error", run: warning },
    Check { ids: &["KE-46"], name: "two_aeads_in_a_response_are_refused", run: two_aeads },
    Check { ids: &["KE-49"], name: "aead_not_offered_is_refused", run: aead },
    Check {
        ids: &["KE-50", "KE-54"],
        name: "critical_bits_on_aead_and_cookies_do_not_matter",
        run: critical_bits,
    },
    Check { ids: &["KE-52"], name: "response_without_a_cookie_is_refused", run: no_cookie },
    Check { ids: &["KE-55"], name: "client_sends_no_cookie", run: sends_no_cookie },
    Check { ids: &["KE-59"], name: "server_names_that_are_none_are_refused", run: server_names },
    Check {
        ids: &["KE-60", "KE-61"],
        name: "server_named_is_whole_and_absent_is_the_same",
        run: server_named,
    },
    Check { ids: &["KE-62"], name: "two_servers_in_a_response_are_refused", run: two_servers },
    Check { ids: &["KE-65"], name: "client_leaves_server_and_port_uncritical", run: uncritical },
    Check { ids: &["KE-66", "KE-04"], name: "port_has_two_octets_and_is_123_if_absent", run: port },
    Check { ids: &["KE-73"], name: "record_1024_goes_with_aead_30", run: compliant },
    Check {
        ids: &["KX-01", "KX-02", "KX-03", "KX-04", "KX-05", "KX-06"],
        name: "client_exports_both_contexts_of_aead_30",
        run: export,
    },
];

const NTPV4: Draft<'static> = (true, NEXT_PROTOCOL, &[0, 0]);
const SIV: Draft<'static> = (true, AEAD, &[0, 15]);
const GCM: Draft<'static> = (true, AEAD, &[0, 30]);
const GIVEN: Draft<'static> = (false, COOKIE, &[7; 100]);
const GOOD: [Draft<'static>; 3] = [NTPV4, SIV, GIVEN];

fn siv() -> KeRequest {
    KeRequest::offering(&[Aead::SivCmac256])
}

/// An ordinary response with one record more in each of its places is refused.
fn refused_anywhere(lab: &Lab, town: &Town, record: Draft<'_>, what: &str) -> Result<(), Failure> {
    for at in 0..=GOOD.len() {
        let mut reply = GOOD.to_vec();
        reply.insert(at, record);
        refused(town.agree(lab, &siv(), &reply), &format!("{what} in place {at}"))?;
    }
    control(lab, town)
}

fn control(lab: &Lab, town: &Town) -> Result<(), Failure> {
    agreed(town.agree(lab, &siv(), &GOOD), "control").map(drop)
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

fn hello(lab: &mut Lab) -> Result<(), Failure> {
    let hello = Town::new().exchange(lab, &siv(), &message(&GOOD)).hello;
    // supported_versions: one of them, 1.3.
    let versions = contains(&hello, &[0, 43, 0, 3, 2, 3, 4]);
    ensure(versions, || format!("not TLS 1.3 alone: {hello:02x?}"))?;
    for (kind, what) in [(42, "early_data"), (41, "pre_shared_key")] {
        let offered = extensions(&hello).contains(&kind);
        ensure(!offered, || format!("{what} is offered"))?;
    }
    Ok(())
}

/// Kinds of the extensions of a ClientHello in one TLS record.
fn extensions(hello: &[u8]) -> Vec<u16> {
    let number =
        |at: usize| hello.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]));
    // Record 5, handshake 4, version 2, random 32.
    let session = 43;
    let suites = session + 1 + usize::from(hello.get(session).copied().unwrap_or(0));
    let methods = suites + 2 + usize::from(number(suites));
    let mut at = methods + 1 + usize::from(hello.get(methods).copied().unwrap_or(0)) + 2;
    let mut kinds = Vec::new();
    while at + 4 <= hello.len() {
        kinds.push(number(at));
        at += 4 + usize::from(number(at + 2));
    }
    kinds
}

fn alpn(lab: &mut Lab) -> Result<(), Failure> {
    let mut town = Town::new();
    let hello = town.exchange(lab, &siv(), &message(&GOOD)).hello;
    ensure(contains(&hello, b"\x00\x10\x00\x0a\x00\x08\x07ntske/1"), || {
        "ALPN is another".to_owned()
    })?;
    for alpn in [&[][..], &[b"h2".to_vec()]] {
        town.alpn = alpn.to_vec();
        let exchange = town.exchange(lab, &siv(), &message(&GOOD));
        ensure(exchange.request.is_empty(), || format!("asked under {alpn:?}"))?;
        refused(exchange.outcome, "a server without ntske/1")?;
    }
    Ok(())
}

fn certificates(lab: &mut Lab) -> Result<(), Failure> {
    type Change = fn(&mut CertificateParams);
    let rows: [(&str, &str, Change, bool); 9] = [
        ("localhost", "localhost", |_| (), true),
        ("localhost", "other.example", |_| (), false),
        ("192.0.2.1", "192.0.2.1", |_| (), true),
        ("192.0.2.1", "192.0.2.2", |_| (), false),
        ("localhost", "localhost", |params| params.not_after = date_time_ymd(2026, 11, 20), false),
        ("localhost", "localhost", |params| params.not_before = date_time_ymd(2026, 11, 25), false),
        (
            "localhost",
            "localhost",
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            false,
        ),
        (
            "localhost",
            "localhost",
            |params| {
                params.subject_alt_names.clear();
                params.distinguished_name.push(DnType::CommonName, "localhost");
            },
            false,
        ),
        ("*.zone.example", "nts.zone.example", |_| (), true),
    ];
    for (number, (certified, asked, change, is_good)) in rows.into_iter().enumerate() {
        let mut town = Town::new();
        town.certify(certified, change);
        let exchange = town.exchange_with(lab, asked, &siv(), &message(&GOOD));
        let what = format!("row {number}: a certificate for {certified}, asked for {asked}");
        if is_good {
            agreed(exchange.outcome, &what)?;
        } else {
            ensure(exchange.request.is_empty(), || format!("{what}: asked"))?;
            refused(exchange.outcome, &what)?;
        }
    }
    // Another authority's certificate.
    let (town, mut stranger) = (Town::new(), Town::new());
    stranger.certify("localhost", |_| ());
    let exchange = stranger.trusting(&town).exchange(lab, &siv(), &message(&GOOD));
    let error = refused(exchange.outcome, "an unknown authority")?;
    ensure(error.name() == "certificate", || format!("{error}"))
}

fn one_request(lab: &mut Lab) -> Result<(), Failure> {
    let exchange = Town::new().exchange(lab, &siv(), &message(&GOOD));
    let ends = records(&exchange.request)?.iter().filter(|record| record.kind == END).count();
    ensure(ends == 1, || format!("{ends} requests"))?;
    ensure(exchange.notified, || "no close_notify".to_owned())?;
    agreed(exchange.outcome, "control").map(drop)
}

fn end(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    refused(
        town.exchange(lab, &siv(), &open_message(&GOOD)).outcome,
        "a response without its end",
    )?;
    let request = town.exchange(lab, &siv(), &message(&GOOD)).request;
    ensure(request.ends_with(&[0x80, 0, 0, 0]), || format!("{request:02x?}"))
}

fn behind_the_end(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let behind = open_message(&[(true, 0x3fff, &[1]), (false, COOKIE, &[9; 100])]);
    let reply = [message(&GOOD), behind].concat();
    match town.exchange(lab, &siv(), &reply).outcome {
        Ok(agreement) => {
            let count = agreement.cookies.len();
            ensure(count == 1, || format!("{count} cookies, one of them from behind the end"))
        }
        Err(_) => Ok(()),
    }
}

fn request(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let asked =
        |offer: &[Aead]| town.exchange(lab, &KeRequest::offering(offer), &message(&GOOD)).request;
    let both = records(&asked(&[Aead::Aes128GcmSiv, Aead::SivCmac256]))?;
    let rows: Vec<_> =
        both.iter().map(|record| (record.critical, record.kind, &record.body[..])).collect();
    let expected: [Draft<'_>; 4] = [
        (true, NEXT_PROTOCOL, &[0, 0]),
        (true, AEAD, &[0, 30, 0, 15]),
        (false, COMPLIANT_EXPORT, &[]),
        (true, END, &[]),
    ];
    // What a faulty client puts before it is looked at by other checks.
    ensure(rows.ends_with(&expected), || format!("{rows:02x?}"))
}

fn unknown(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    for body in [&[][..], &[1], &[1, 2, 3], &[0; 5000], &[7; 65_000]] {
        for at in 0..=GOOD.len() {
            let mut reply = GOOD.to_vec();
            reply.insert(at, (false, 999, body));
            let agreement = agreed(town.agree(lab, &siv(), &reply), "an unknown record")?;
            ensure(agreement.cookies == [vec![7; 100]], || "other cookies".to_owned())?;
        }
    }
    Ok(())
}

fn unknown_critical(lab: &mut Lab) -> Result<(), Failure> {
    refused_anywhere(lab, &Town::new(), (true, 0x3fff, &[1, 2]), "an unknown critical record")
}

fn long_response(lab: &mut Lab) -> Result<(), Failure> {
    let mut reply = GOOD.to_vec();
    let padding = vec![0; 65_536 - message(&GOOD).len() - 8];
    let (first, second) = padding.split_at(40_000);
    reply.extend([(false, 999, first), (false, 998, second)]);
    let octets = message(&reply);
    ensure(octets.len() == 65_536, || format!("{} octets", octets.len()))?;
    agreed(Town::new().exchange(lab, &siv(), &octets).outcome, "65536 octets").map(drop)
}

fn cuts(lab: &mut Lab) -> Result<(), Failure> {
    let mut town = Town::new();
    // The least rustls lets a record have, over a transport that delivers single octets.
    town.fragment = 32;
    control(lab, &town)
}

fn one_protocol(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    refused(town.agree(lab, &siv(), &[NTPV4, NTPV4, SIV, GIVEN]), "two protocol records")?;
    refused(town.agree(lab, &siv(), &[SIV, GIVEN]), "no protocol record")?;
    refused(
        town.agree(lab, &siv(), &[(false, NEXT_PROTOCOL, &[0, 0]), SIV, GIVEN]),
        "an uncritical one",
    )?;
    control(lab, &town)
}

fn protocol(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let other = (true, NEXT_PROTOCOL, &[0x80, 0][..]);
    refused(town.agree(lab, &siv(), &[other, SIV, GIVEN]), "protocol 0x8000")?;
    control(lab, &town)
}

fn nothing_shared(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let no_protocol = town.agree(lab, &siv(), &[(true, NEXT_PROTOCOL, &[])]);
    let error = refused(no_protocol, "no protocol")?;
    ensure(error == KeError::NoSharedProtocol, || format!("{error}"))?;
    let error = refused(town.agree(lab, &siv(), &[NTPV4, (true, AEAD, &[])]), "no AEAD")?;
    ensure(error == KeError::NoSharedAead, || format!("{error}"))
}

fn error_length(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    for body in [&[][..], &[1], &[0, 0, 1]] {
        refused_anywhere(lab, &town, (true, ERROR, body), "an Error of a wrong length")?;
    }
    Ok(())
}

fn no_error(lab: &mut Lab) -> Result<(), Failure> {
    sends_nothing_of(lab, &[ERROR, WARNING])
}

fn sends_no_cookie(lab: &mut Lab) -> Result<(), Failure> {
    sends_nothing_of(lab, &[COOKIE])
}

fn sends_nothing_of(lab: &Lab, kinds: &[u16]) -> Result<(), Failure> {
    let town = Town::new();
    for reply in [message(&GOOD), message(&[(true, 0x3fff, &[1, 2])]), vec![0xff; 100]] {
        let sent = records(&town.exchange(lab, &siv(), &reply).request)?;
        let found = sent.iter().find(|record| kinds.contains(&record.kind));
        ensure(found.is_none(), || format!("{found:?} is sent"))?;
    }
    Ok(())
}

fn error_anywhere(lab: &mut Lab) -> Result<(), Failure> {
    for code in [0_u8, 1, 2, 77] {
        refused_anywhere(lab, &Town::new(), (true, ERROR, &[0, code]), "an Error record")?;
    }
    Ok(())
}

fn warning(lab: &mut Lab) -> Result<(), Failure> {
    for body in [&[0, 0][..], &[0x80, 1], &[], &[1]] {
        refused_anywhere(lab, &Town::new(), (true, WARNING, body), "a Warning")?;
    }
    Ok(())
}

fn two_aeads(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let asked = KeRequest::offering(&[Aead::SivCmac256, Aead::SivCmac512]);
    let both = (true, AEAD, &[0, 15, 0, 17][..]);
    refused(town.agree(lab, &asked, &[NTPV4, both, GIVEN]), "two AEADs")?;
    control(lab, &town)
}

fn aead(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    for other in [[0, 17], [0, 30], [0, 16]] {
        refused(town.agree(lab, &siv(), &[NTPV4, (true, AEAD, &other), GIVEN]), "another AEAD")?;
    }
    control(lab, &town)
}

fn critical_bits(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    for aead_bit in [false, true] {
        for cookie_bit in [false, true] {
            let reply = [NTPV4, (aead_bit, AEAD, &[0, 15][..]), (cookie_bit, COOKIE, &[7; 100])];
            agreed(town.agree(lab, &siv(), &reply), "either bit")?;
        }
    }
    Ok(())
}

fn no_cookie(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    refused(town.agree(lab, &siv(), &[NTPV4, SIV]), "no cookie")?;
    control(lab, &town)
}

fn server_names(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let long = [b'a'; 256];
    for name in [
        &b"fe80::1%eth0"[..],
        "zeit.exämple".as_bytes(),
        b"time\0.example",
        b"time example",
        &long,
        b"",
        b"192.0.2.1.5",
    ] {
        let reply = [NTPV4, SIV, GIVEN, (false, SERVER, name)];
        refused(town.agree(lab, &siv(), &reply), &String::from_utf8_lossy(name))?;
    }
    control(lab, &town)
}

fn server_named(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let named = |name: &'static [u8]| {
        let reply = [NTPV4, SIV, GIVEN, (false, SERVER, name)];
        agreed(town.agree(lab, &siv(), &reply), "a server").map(|agreement| agreement.server)
    };
    // A name is whole: looked up with a trailing dot, never in a search list.
    let name = NtpServer::Name("time.example".to_owned());
    ensure(named(b"time.example")? == Some(name), || "another name".to_owned())?;
    let address = NtpServer::Address([192, 0, 2, 1].into());
    ensure(named(b"192.0.2.1")? == Some(address), || "another address".to_owned())?;
    let absent = agreed(town.agree(lab, &siv(), &GOOD), "no server")?.server;
    ensure(absent.is_none(), || format!("{absent:?}"))
}

fn two_servers(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let server = (false, SERVER, &b"192.0.2.1"[..]);
    refused(town.agree(lab, &siv(), &[NTPV4, SIV, GIVEN, server, server]), "two servers")?;
    control(lab, &town)
}

fn uncritical(lab: &mut Lab) -> Result<(), Failure> {
    let asked = KeRequest {
        server: Some(NtpServer::Name("time.example".to_owned())),
        port: Some(1123),
        ..siv()
    };
    let sent = records(&Town::new().exchange(lab, &asked, &message(&GOOD)).request)?;
    for kind in [SERVER, PORT] {
        let record = sent.iter().find(|record| record.kind == kind).ok_or("a record is missing")?;
        ensure(!record.critical, || format!("record {kind} is critical"))?;
    }
    Ok(())
}

fn port(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    for body in [&[][..], &[1], &[0, 0, 123], &[0, 0]] {
        let reply = [NTPV4, SIV, GIVEN, (false, PORT, body)];
        refused(town.agree(lab, &siv(), &reply), &format!("port {body:?}"))?;
    }
    let port =
        |reply: &[Draft<'_>]| agreed(town.agree(lab, &siv(), reply), "a port").map(|a| a.port);
    let named = port(&[NTPV4, SIV, GIVEN, (false, PORT, &[0x2b, 0x6b])])?;
    let absent = port(&GOOD)?;
    ensure((named, absent) == (11_115, 123), || format!("{named}, {absent}"))
}

fn compliant(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    for (offer, expected) in [
        (&[Aead::Aes128GcmSiv][..], true),
        (&[Aead::SivCmac256], false),
        (&[Aead::Aes128GcmSiv, Aead::SivCmac256], true),
    ] {
        let sent = town.exchange(lab, &KeRequest::offering(offer), &message(&GOOD)).request;
        let found: Vec<_> =
            records(&sent)?.into_iter().filter(|record| record.kind == COMPLIANT_EXPORT).collect();
        let right = found.iter().all(|record| !record.critical && record.body.is_empty());
        ensure(right && found.len() == usize::from(expected), || format!("{offer:?}: {found:?}"))?;
    }
    // Echoed where AEAD 30 is not chosen, it is not what was asked.
    let both = KeRequest::offering(&[Aead::Aes128GcmSiv, Aead::SivCmac256]);
    let echo = (false, COMPLIANT_EXPORT, &[][..]);
    refused(town.agree(lab, &both, &[NTPV4, SIV, GIVEN, echo]), "1024 with AEAD 15").map(drop)
}

fn export(lab: &mut Lab) -> Result<(), Failure> {
    let town = Town::new();
    let asked = KeRequest::offering(&[Aead::Aes128GcmSiv]);
    let echo = (false, COMPLIANT_EXPORT, &[][..]);
    let plain = agreed(town.agree(lab, &asked, &[NTPV4, GCM, GIVEN]), "AEAD 30")?;
    let strict = agreed(town.agree(lab, &asked, &[NTPV4, GCM, GIVEN, echo]), "AEAD 30 with 1024")?;
    ensure(strict.compliant_export && !plain.compliant_export, || "1024 is misread".to_owned())?;
    for agreement in [&plain, &strict] {
        let other = agreement.alternative.as_ref().ok_or("no keys of the other context")?;
        let all = [agreement.keys.c2s(), agreement.keys.s2c(), other.c2s(), other.s2c()];
        let distinct = all.iter().enumerate().all(|(at, key)| !all[..at].contains(key));
        ensure(distinct && all.iter().all(|key| key.len() == 16), || "keys repeat".to_owned())?;
    }
    let siv = agreed(town.agree(lab, &siv(), &GOOD), "AEAD 15")?;
    ensure(siv.alternative.is_none() && siv.keys.c2s().len() == 32, || "AEAD 15".to_owned())
}
