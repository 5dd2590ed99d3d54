//! What is asked for and what is answered (KE-30 to KE-66, KE-73).

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use noonmark_conformance::check::{Check, Failure};
use noonmark_nts::{Aead, NtpServer};

use super::fault::SECOND_SERVER;
use super::lab::{Answer, KeLab, ensure, expect_error};
use super::octets::{
    AEAD, ASK_COMPLIANT, COMPLIANT_EXPORT, COOKIE, Draft, ERROR, GCM_SIV, NEXT_PROTOCOL, NTPV4,
    PORT, Record, SERVER, SIV_256, SIV_512, WARNING, message,
};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["KE-30"], name: "next_protocol_comes_once_and_critical", run: next_protocol },
    Check { ids: &["KE-31"], name: "no_protocol_at_all_is_error_1", run: no_protocol },
    Check { ids: &["KE-32"], name: "protocols_of_odd_length_are_error_1", run: odd_protocols },
    Check { ids: &["KE-33"], name: "protocols_answered_were_offered", run: offered_protocols },
    Check { ids: &["KE-34"], name: "no_shared_protocol_is_said_so", run: no_shared_protocol },
    Check { ids: &["KE-35"], name: "unknown_protocols_are_passed_over", run: unknown_protocols },
    Check { ids: &["KE-36"], name: "error_is_critical_and_has_two_octets", run: error_record },
    Check { ids: &["KE-38"], name: "records_of_servers_are_error_1", run: server_records },
    Check { ids: &["KE-43"], name: "no_warning_is_malformed", run: warning_record },
    Check { ids: &["KE-45"], name: "aead_record_must_come_once", run: aead_once },
    Check { ids: &["KE-46"], name: "one_aead_at_least_is_asked_one_at_most_answered", run: aeads },
    Check { ids: &["KE-47"], name: "no_shared_aead_is_said_so", run: no_shared_aead },
    Check { ids: &["KE-48"], name: "aead_15_is_there_wherever_it_stands", run: aead_15 },
    Check { ids: &["KE-49"], name: "aead_answered_was_offered", run: offered_aead },
    Check { ids: &["KE-50"], name: "aead_record_may_be_critical_or_not", run: aead_critical },
    Check { ids: &["KE-51"], name: "any_order_of_aeads_is_served", run: aead_order },
    Check { ids: &["KE-52"], name: "one_cookie_comes_at_least", run: some_cookie },
    Check { ids: &["KE-53"], name: "eight_cookies_come", run: eight_cookies },
    Check { ids: &["KE-54"], name: "cookies_are_not_critical", run: cookies_not_critical },
    Check { ids: &["KE-57"], name: "cookies_have_one_length_peers_take", run: cookie_length },
    Check { ids: &["KE-58"], name: "no_cookie_comes_twice", run: cookies_differ },
    Check { ids: &["KE-59"], name: "ntp_server_is_an_address_or_a_name", run: server_names },
    Check { ids: &["KE-62"], name: "second_ntp_server_is_error_1", run: one_server },
    Check { ids: &["KE-63"], name: "ntp_server_asked_for_is_granted", run: server_granted },
    Check { ids: &["KE-64"], name: "ntp_server_has_the_family_of_the_session", run: server_family },
    Check { ids: &["KE-65"], name: "server_and_port_may_be_critical", run: server_critical },
    Check { ids: &["KE-66"], name: "port_has_two_octets_and_goes_without_saying", run: ports },
    Check { ids: &["KE-73"], name: "record_1024_comes_back_with_aead_30_only", run: record_1024 },
];

const MINIMAL: [Draft<'static>; 2] = [NTPV4, SIV_256];

/// An AEAD nobody has, alone.
const FOREIGN_AEAD: Draft<'static> = (true, AEAD, &[0x27, 0x10]);

/// Good answers of each kind: with keys, and without.
fn good_answers(lab: &KeLab) -> Result<Vec<Answer>, Failure> {
    let offers = [&MINIMAL[..], &[NTPV4, SIV_512], &[NTPV4, GCM_SIV], &[NTPV4, FOREIGN_AEAD]];
    offers.into_iter().map(|offer| lab.ask_for(offer)).collect()
}

fn next_protocol(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for answer in good_answers(&lab)? {
        let found: Vec<_> = answer.of_kind(NEXT_PROTOCOL).collect();
        let once = matches!(found[..], [record] if record.critical);
        ensure(once, || format!("Next Protocol in an answer: {found:02x?}"))?;
    }
    expect_error(&lab, &message(&[SIV_256]), 1)?;
    expect_error(&lab, &message(&[NTPV4, NTPV4, SIV_256]), 1)?;
    expect_error(&lab, &message(&[NTPV4, SIV_256, (true, NEXT_PROTOCOL, &[0x80, 0])]), 1)
}

fn no_protocol(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    expect_error(&lab, &message(&[(true, NEXT_PROTOCOL, &[]), SIV_256]), 1)
}

fn odd_protocols(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    for body in [&[0][..], &[0, 0, 0], &[0, 0, 0x80, 0, 1]] {
        expect_error(&lab, &message(&[(true, NEXT_PROTOCOL, body), SIV_256]), 1)?;
    }
    Ok(())
}

fn offered_protocols(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for (offer, body) in [(&[0][..], &[0, 0][..]), (&[0, 0x8000], &[0, 0, 0x80, 0])] {
        let chosen = lab.ask_for(&[(true, NEXT_PROTOCOL, body), SIV_256])?.protocols();
        let offered = !chosen.is_empty() && chosen.iter().all(|id| offer.contains(id));
        ensure(offered, || format!("of protocols {offer:?} {chosen:?} are chosen"))?;
    }
    Ok(())
}

fn no_shared_protocol(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    let foreign: Draft<'_> = (true, NEXT_PROTOCOL, &[0x27, 0x10]);
    for request in [&[foreign][..], &[foreign, SIV_256]] {
        let answer = lab.ask_for(request)?;
        let said = matches!(&answer.of_kind(NEXT_PROTOCOL).collect::<Vec<_>>()[..],
            [record] if record.body.is_empty());
        ensure(said && answer.error().is_none() && answer.count(COOKIE) == 0, || {
            format!("protocol 10000 alone is answered by {:02x?}", answer.records)
        })?;
    }
    Ok(())
}

fn unknown_protocols(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for body in [&[0, 9, 0, 0, 0x9c, 0x40][..], &[0x80, 1, 0, 0], &[0xff, 0xff, 0, 1, 0, 0]] {
        let answer = lab.ask_for(&[(true, NEXT_PROTOCOL, body), SIV_256])?;
        ensure(answer.is_served(), || {
            format!("of protocols {body:02x?} NTPv4 is not chosen: {:02x?}", answer.records)
        })?;
    }
    Ok(())
}

fn error_record(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let keyless = KeLab { keys: None, ..lab.clone() };
    let answers = [
        lab.ask_for(&[(true, 0x3fff, &[]), NTPV4, SIV_256])?,
        lab.ask_for(&[SIV_256])?,
        keyless.ask_for(&MINIMAL)?,
    ];
    let errors: Vec<_> = answers.iter().flat_map(|answer| answer.of_kind(ERROR)).collect();
    ensure(!errors.is_empty(), || "nothing is answered by an error".to_owned())?;
    let formed = errors.iter().all(|error| error.critical && error.body.len() == 2);
    ensure(formed, || format!("errors: {errors:02x?}"))
}

fn server_records(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    for critical in [false, true] {
        for (kind, body) in [(ERROR, &[0, 1][..]), (WARNING, &[0, 1]), (COOKIE, &[1; 100])] {
            expect_error(&lab, &message(&[NTPV4, SIV_256, (critical, kind, body)]), 1)?;
        }
    }
    Ok(())
}

fn warning_record(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let mut answers = good_answers(&lab)?;
    answers.push(lab.ask_for(&[SIV_256])?);
    for answer in &answers {
        ensure(!answer.records.is_empty(), || "no answer".to_owned())?;
        let formed =
            answer.of_kind(WARNING).all(|record| record.critical && record.body.len() == 2);
        ensure(formed, || format!("a warning in {:02x?}", answer.records))?;
    }
    Ok(())
}

fn aead_once(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    expect_error(&lab, &message(&[NTPV4]), 1)?;
    expect_error(&lab, &message(&[NTPV4, SIV_256, SIV_256]), 1)?;
    expect_error(&lab, &message(&[NTPV4, SIV_256, (false, AEAD, &[0, 30])]), 1)?;
    for answer in good_answers(&lab)? {
        let count = answer.count(AEAD);
        ensure(count == 1, || format!("{count} AEAD records in {:02x?}", answer.records))?;
    }
    Ok(())
}

fn aeads(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    expect_error(&lab, &message(&[NTPV4, (true, AEAD, &[])]), 1)?;
    for answer in [lab.served(&MINIMAL)?, lab.served(&[NTPV4, (true, AEAD, &[0, 30, 0, 15])])?] {
        let chosen: Vec<u16> = answer.of_kind(AEAD).flat_map(Record::numbers).collect();
        ensure(chosen.len() <= 1, || format!("AEADs {chosen:?} are chosen"))?;
    }
    Ok(())
}

fn no_shared_aead(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    for body in [&[0x27, 0x10][..], &[0, 16, 0, 31], &[0, 0]] {
        let answer = lab.ask_for(&[NTPV4, (true, AEAD, body)])?;
        let said = matches!(&answer.of_kind(AEAD).collect::<Vec<_>>()[..],
            [record] if record.body.is_empty());
        ensure(said && answer.error().is_none() && answer.count(COOKIE) == 0, || {
            format!("AEADs {body:02x?} are answered by {:02x?}", answer.records)
        })?;
    }
    Ok(())
}

fn aead_15(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for body in [&[0, 15][..], &[0x27, 0x10, 0, 15], &[0, 30, 0, 15], &[0, 17, 0, 15, 0x27, 0x10]] {
        let answer = lab.ask_for(&[NTPV4, (true, AEAD, body)])?;
        ensure(answer.is_served(), || {
            format!("AEADs {body:02x?} are answered by {:02x?}", answer.records)
        })?;
    }
    Ok(())
}

fn offered_aead(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for offer in [&[15][..], &[17], &[30], &[10000, 17], &[17, 30], &[30, 10000]] {
        let body: Vec<u8> = offer.iter().flat_map(|id: &u16| id.to_be_bytes()).collect();
        let chosen = lab.ask_for(&[NTPV4, (true, AEAD, &body)])?.aead();
        let offered = chosen.is_some_and(|chosen| offer.contains(&chosen));
        ensure(offered, || format!("of AEADs {offer:?} {chosen:?} is chosen"))?;
    }
    Ok(())
}

fn aead_critical(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for critical in [true, false] {
        lab.served(&[NTPV4, (critical, AEAD, &[0, 15])])?;
    }
    Ok(())
}

fn aead_order(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for body in [&[0, 15, 0, 17][..], &[0, 17, 0, 15], &[0, 30, 0, 17], &[0, 17, 0, 30, 0, 15]] {
        lab.served(&[NTPV4, (true, AEAD, body)])?;
    }
    Ok(())
}

/// Answers with cookies, one for each AEAD.
fn with_cookies(lab: &KeLab) -> Result<Vec<Answer>, Failure> {
    [SIV_256, SIV_512, GCM_SIV].into_iter().map(|aead| lab.served(&[NTPV4, aead])).collect()
}

fn some_cookie(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    // Not even a server told to give none gives none.
    for cookies in [0, 1, 8] {
        lab.policy.cookies = cookies;
        for answer in with_cookies(&lab)? {
            let count = answer.count(COOKIE);
            ensure(count >= 1, || format!("{count} cookies with AEAD {:?}", answer.aead()))?;
        }
    }
    Ok(())
}

fn eight_cookies(lab: &mut Lab) -> Result<(), Failure> {
    for answer in with_cookies(&KeLab::new(lab))? {
        let count = answer.count(COOKIE);
        ensure(count == 8, || format!("{count} cookies with AEAD {:?}", answer.aead()))?;
    }
    Ok(())
}

fn cookies_not_critical(lab: &mut Lab) -> Result<(), Failure> {
    for answer in with_cookies(&KeLab::new(lab))? {
        let critical = answer.of_kind(COOKIE).filter(|cookie| cookie.critical).count();
        ensure(critical == 0, || format!("{critical} cookies are critical"))?;
    }
    Ok(())
}

/// Chrony refuses cookies whose length is not a multiple of 4, NTPsec those above 192 octets or of changing length.
fn cookie_length(lab: &mut Lab) -> Result<(), Failure> {
    for answer in with_cookies(&KeLab::new(lab))? {
        let lens: HashSet<usize> = answer.cookies().iter().map(|cookie| cookie.len()).collect();
        let fits = lens.iter().all(|len| len.is_multiple_of(4) && (1..=192).contains(len));
        ensure(fits && lens.len() == 1, || format!("AEAD {:?}: {lens:?} octets", answer.aead()))?;
    }
    Ok(())
}

fn cookies_differ(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    let mut seen: HashSet<[u8; 16]> = HashSet::new();
    for session in 0..lab.many(4, 10_000, 1_000_000) {
        let answer = lab.served(&MINIMAL)?;
        for cookie in answer.cookies() {
            // Nonces are the octets behind the key id; cookies of different nonces differ, and 16 octets of each are enough to keep.
            let nonce = cookie.get(4..20).and_then(|nonce| nonce.try_into().ok());
            let nonce = nonce.ok_or_else(|| format!("a cookie of {} octets", cookie.len()))?;
            ensure(seen.insert(nonce), || format!("session {session} gives a cookie again"))?;
        }
    }
    Ok(())
}

fn server_names(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    lab.control()?;
    let long = [b'a'; 254];
    let bad: [&[u8]; 9] = [
        b"",
        b"fe80::1%eth0",
        "z\u{fc}rich.example".as_bytes(),
        b"time.example\0",
        b"time example",
        b"192.0.2.300",
        b"::1::2",
        b"time..example",
        &long,
    ];
    for name in bad {
        expect_error(&lab, &message(&[NTPV4, SIV_256, (false, SERVER, name)]), 1)?;
    }
    for name in ["192.0.2.1", "2001:db8::7", "time.example", "xn--zrich-kva.example"] {
        lab.policy.ntp_servers = vec![NtpServer::parse(name.as_bytes()).expect("a good name")];
        let answer = lab.served(&[NTPV4, SIV_256, (false, SERVER, name.as_bytes())])?;
        let record = answer.of_kind(SERVER).next().ok_or_else(|| format!("{name} is not named"))?;
        ensure(is_host(&record.body), || format!("NTP server {:02x?}", record.body))?;
    }
    Ok(())
}

/// RFC 8915 §4.1.7: a dotted address, an IPv6 address without a zone, or a name of ASCII labels.
fn is_host(body: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(body) else { return false };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    text.parse::<Ipv4Addr>().is_ok()
        || text.parse::<Ipv6Addr>().is_ok()
        || text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}

fn one_server(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    let names = ["a.example", "b.example"];
    lab.policy.ntp_servers = names.map(|name| NtpServer::Name(name.to_owned())).to_vec();
    let named = |name: &'static str| (false, SERVER, name.as_bytes());
    for (first, second) in [(names[0], names[1]), (names[0], names[0])] {
        let request = message(&[NTPV4, SIV_256, named(first), named(second)]);
        expect_error(&lab, &request, 1)?;
    }
    for request in [&MINIMAL[..], &[NTPV4, SIV_256, named(names[1])]] {
        let count = lab.served(request)?.count(SERVER);
        ensure(count <= 1, || format!("{count} NTP servers are named"))?;
    }
    Ok(())
}

fn server_granted(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    let names = ["first.example", SECOND_SERVER, "third.example"];
    lab.policy.ntp_servers = names.map(|name| NtpServer::Name(name.to_owned())).to_vec();
    for name in names {
        let answer = lab.served(&[NTPV4, SIV_256, (false, SERVER, name.as_bytes())])?;
        let granted = answer.of_kind(SERVER).next().map(|record| &record.body[..]);
        ensure(granted == Some(name.as_bytes()), || {
            format!("{name} is asked for, {granted:02x?} is answered")
        })?;
    }
    Ok(())
}

fn server_family(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    let addresses = ["192.0.2.1", "2001:db8::7"];
    for (peer, expected) in [("198.51.100.9", addresses[0]), ("2001:db8:9::9", addresses[1])] {
        lab.peer = peer.parse().expect("an address");
        for order in [addresses, [addresses[1], addresses[0]]] {
            let servers = order.map(|address| NtpServer::Address(address.parse().expect("one")));
            lab.policy.ntp_servers = servers.to_vec();
            let answer = lab.served(&MINIMAL)?;
            let named = answer.of_kind(SERVER).next().map(|record| &record.body[..]);
            ensure(named == Some(expected.as_bytes()), || {
                format!("a client at {peer} is sent to {named:02x?}")
            })?;
        }
    }
    Ok(())
}

fn server_critical(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for critical in [false, true] {
        for record in [(critical, SERVER, &b"time.example"[..]), (critical, PORT, &[0x2b, 0x67])] {
            let answer = lab.ask_for(&[NTPV4, SIV_256, record])?;
            ensure(answer.is_served(), || {
                format!("{record:02x?} is answered by {:02x?}", answer.records)
            })?;
        }
    }
    Ok(())
}

fn ports(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    for body in [&[][..], &[0], &[0, 123, 0], &[0, 0, 0, 123]] {
        expect_error(&lab, &message(&[NTPV4, SIV_256, (false, PORT, body)]), 1)?;
    }
    for port in [123_u16, 11123, 65535] {
        lab.policy.ntp_port = port;
        let answer = lab.served(&MINIMAL)?;
        let named: Vec<_> = answer.of_kind(PORT).map(|record| &record.body[..]).collect();
        let right = named == [&port.to_be_bytes()[..]] || (port == 123 && named.is_empty());
        ensure(right, || format!("port {port} is named {named:02x?}"))?;
    }
    Ok(())
}

fn record_1024(lab: &mut Lab) -> Result<(), Failure> {
    let mut lab = KeLab::new(lab);
    let both: Draft<'_> = (true, AEAD, &[0, 30, 0, 15]);
    for preference in
        [[Aead::SivCmac256, Aead::Aes128GcmSiv], [Aead::Aes128GcmSiv, Aead::SivCmac256]]
    {
        lab.policy.aeads = preference.to_vec();
        for offer in [GCM_SIV, SIV_256, both] {
            for asked in [false, true] {
                let request = [&[NTPV4, offer][..], if asked { &[ASK_COMPLIANT] } else { &[] }];
                let answer = lab.served(&request.concat())?;
                let found: Vec<_> = answer.of_kind(COMPLIANT_EXPORT).collect();
                let expected = usize::from(asked && answer.aead() == Some(30));
                ensure(found.len() == expected, || {
                    format!("{offer:02x?}, 1024 asked: {asked}; answered: {found:02x?}")
                })?;
                let formed = found.iter().all(|record| !record.critical && record.body.is_empty());
                ensure(formed, || format!("record 1024 is {found:02x?}"))?;
            }
        }
    }
    Ok(())
}
