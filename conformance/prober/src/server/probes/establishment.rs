//! What is asked for and what is answered in key establishment (KE-30 to KE-66, KE-73).

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Bench, Judgement, Needs, Probe, probe};
use crate::evidence::hex;
use crate::octets::record::{
    AEAD, COMPLIANT_EXPORT, COOKIE, ERROR, NEXT_PROTOCOL, PORT, Record, SERVER, WARNING, message,
};
use crate::server::establishment::{Response, minimal};
use crate::server::judgement::{Objection, ensure};

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("KE-30", Needs::Ke, "requests with one, no and two Next Protocol records", "one, critical, in the response; Error 1 to none and two", next_protocol),
    probe("KE-31", Needs::Ke, "an empty Next Protocol record", "Error 1", no_protocol),
    probe("KE-32", Needs::Ke, "Next Protocol records of 1, 3 and 5 octets", "Error 1", odd_protocols),
    probe("KE-33", Needs::Ke, "protocols {0} and {0, 32768}", "0, and nothing that was not offered", offered_protocols),
    probe("KE-34", Needs::Ke, "protocol 10000 alone", "an empty Next Protocol record, no cookies", no_shared_protocol),
    probe("KE-35", Needs::Ke, "NTPv4 among unknown protocols", "NTPv4", unknown_protocols),
    probe("KE-36", Needs::Ke, "requests that must be refused", "Error records that are critical and have 2 octets", error_record),
    probe("KE-38", Needs::Ke, "Error, Warning and New Cookie records in a request", "Error 1", server_records),
    probe("KE-43", Needs::Ke, "good and bad requests", "Warning records, if any, that are critical and have 2 octets", warning_record),
    probe("KE-45", Needs::Ke, "no AEAD record, and two", "Error 1; one in each response", aead_once),
    probe("KE-46", Needs::Ke, "an empty AEAD record, and one of two algorithms", "Error 1; one algorithm at most", aeads),
    probe("KE-47", Needs::Ke, "AEADs nobody has", "an empty AEAD record, no cookies", no_shared_aead),
    probe("KE-48", Needs::Ke, "AEAD 15 alone, first and last of several", "an AEAD, and cookies", aead_15),
    probe("KE-49", Needs::Ke, "{15}, {17}, {30}, {10000, 17}, {17, 30}", "an AEAD of those offered, or none", offered_aead),
    probe("KE-50", Needs::Ke, "AEAD records with and without critical bit", "keys and cookies", aead_critical),
    probe("KE-51", Needs::Ke, "AEADs in several orders", "keys and cookies in any case", aead_order),
    probe("KE-52", Needs::Ke, "ordinary requests with each AEAD", "one cookie or more", some_cookie),
    probe("KE-53", Needs::Ke, "ordinary requests with each AEAD", "eight cookies", eight_cookies),
    probe("KE-54", Needs::Ke, "ordinary requests with each AEAD", "New Cookie records that are not critical", cookies_not_critical),
    probe("KE-57", Needs::Ke, "ordinary requests with each AEAD", "cookies of one length, a multiple of 4, of at most 192 octets", cookie_length),
    probe("KE-58", Needs::Ke, "several sessions", "cookies that all differ", cookies_differ),
    probe("KE-59", Needs::Ke, "server names that are none, and good ones", "Error 1 or no notice; in responses an address or an ASCII name", server_names),
    probe("KE-62", Needs::Ke, "two Server Negotiation records", "Error 1 or no notice; one at most in responses", one_server),
    probe("KE-63", Needs::Ke, "the server itself as a wish", "that server, or none named", server_granted),
    probe("KE-64", Needs::Ke, "an ordinary request", "a server of the session's address family, a name, or none named", server_family),
    probe("KE-65", Needs::Ke, "critical Server and Port records", "keys and cookies", server_critical),
    probe("KE-66", Needs::Ke, "Port records of 0, 1, 3 and 4 octets", "Error 1; a port of 2 octets, not zero, or none in responses", ports),
    probe("KE-73", Needs::Ke, "AEADs {30}, {15} and {30, 15}, with and without record 1024", "record 1024 exactly where it was asked for and 30 is chosen", record_1024),
];

/// Good answers of each kind: with keys, and without.
fn good_answers(bench: &mut Bench<'_>) -> Result<Vec<Response>, Objection> {
    let mut found = Vec::new();
    for aead in [15, 17, 30, 10000] {
        found.push(bench.establish_by(
            &[Record::protocols(&[0]), Record::aeads(&[aead])],
            &format!("AEAD {aead}"),
        )?);
    }
    if !found[0].is_served() {
        bench.ke_control()?;
    }
    Ok(found)
}

fn next_protocol(bench: &mut Bench<'_>) -> Judgement {
    for response in good_answers(bench)? {
        let found: Vec<_> = response.of_kind(NEXT_PROTOCOL).collect();
        if response.error().is_none() {
            ensure(matches!(found[..], [record] if record.critical), || {
                format!("Next Protocol in {}", response.shown())
            })?;
        }
    }
    let [ntpv4, aead] = [Record::protocols(&[0]), Record::aeads(&[15])];
    for (records, meaning) in [
        (vec![aead.clone()], "no Next Protocol"),
        (vec![ntpv4.clone(), ntpv4.clone(), aead.clone()], "the same Next Protocol twice"),
        (vec![ntpv4, aead, Record::protocols(&[0x8000])], "two Next Protocols"),
    ] {
        bench.refused(&message(&records), 1, meaning)?;
    }
    Ok("one Next Protocol record each way".to_owned())
}

fn no_protocol(bench: &mut Bench<'_>) -> Judgement {
    bench.refused(
        &message(&[Record::protocols(&[]), Record::aeads(&[15])]),
        1,
        "an empty Next Protocol record",
    )?;
    Ok("Error 1".to_owned())
}

fn odd_protocols(bench: &mut Bench<'_>) -> Judgement {
    for body in [&[0][..], &[0, 0, 0], &[0, 0, 0x80, 0, 1]] {
        let records = [Record::new(true, NEXT_PROTOCOL, body), Record::aeads(&[15])];
        bench.refused(
            &message(&records),
            1,
            &format!("a Next Protocol record of {} octets", body.len()),
        )?;
    }
    Ok("Error 1".to_owned())
}

fn offered_protocols(bench: &mut Bench<'_>) -> Judgement {
    for offer in [&[0][..], &[0, 0x8000]] {
        let response = bench.establish_by(
            &[Record::protocols(offer), Record::aeads(&[15])],
            &format!("protocols {offer:?}"),
        )?;
        let chosen = response.protocols();
        ensure(!chosen.is_empty() && chosen.iter().all(|id| offer.contains(id)), || {
            format!("of protocols {offer:?} {chosen:?} are chosen: {}", response.shown())
        })?;
    }
    Ok("only protocols that were offered".to_owned())
}

fn no_shared_protocol(bench: &mut Bench<'_>) -> Judgement {
    bench.ke_control()?;
    let foreign = Record::protocols(&[10000]);
    for request in [vec![foreign.clone()], vec![foreign, Record::aeads(&[15])]] {
        let response = bench.establish_by(&request, "protocol 10000 alone")?;
        let said = matches!(&response.of_kind(NEXT_PROTOCOL).collect::<Vec<_>>()[..], [record] if record.body.is_empty());
        ensure(said && response.error().is_none() && response.cookies().is_empty(), || {
            format!("protocol 10000 alone: {}", response.shown())
        })?;
    }
    Ok("an empty Next Protocol record, no cookies".to_owned())
}

fn unknown_protocols(bench: &mut Bench<'_>) -> Judgement {
    for offer in [&[9, 0, 40000][..], &[0x8001, 0], &[0xffff, 1, 0]] {
        bench.served(
            &[Record::protocols(offer), Record::aeads(&[15])],
            &format!("protocols {offer:?}"),
        )?;
    }
    Ok("NTPv4 is found among unknown protocols".to_owned())
}

fn error_record(bench: &mut Bench<'_>) -> Judgement {
    let mut critical = minimal();
    critical.insert(0, Record::new(true, 0x3fff, []));
    let mut seen = 0;
    for (request, meaning) in
        [(critical, "an unknown critical record"), (vec![Record::aeads(&[15])], "no Next Protocol")]
    {
        let response = bench.establish_by(&request, meaning)?;
        for error in response.of_kind(ERROR) {
            ensure(error.critical && error.body.len() == 2, || {
                format!("{meaning}: {}", response.shown())
            })?;
            seen += 1;
        }
    }
    bench.ke_control()?;
    ensure(seen > 0, || "nothing is answered by an Error record".to_owned())?;
    Ok(format!("{seen} Error records, critical, of 2 octets"))
}

fn server_records(bench: &mut Bench<'_>) -> Judgement {
    let mut taken = Vec::new();
    for critical in [false, true] {
        for (kind, body, name) in [
            (ERROR, vec![0, 1], "Error"),
            (WARNING, vec![0, 1], "Warning"),
            (COOKIE, vec![1; 100], "New Cookie"),
        ] {
            let mut records = minimal();
            records.push(Record::new(critical, kind, body));
            let response = bench
                .establish_by(&records, &format!("{name} in a request, critical {critical}"))?;
            if response.error() != Some(1) {
                taken.push(format!("{name}: {}", response.shown()));
            }
        }
    }
    bench.ke_control()?;
    ensure(taken.is_empty(), || taken.join("; "))?;
    Ok("Error 1 to records only servers send".to_owned())
}

fn warning_record(bench: &mut Bench<'_>) -> Judgement {
    let mut answers = good_answers(bench)?;
    answers.push(bench.establish_by(&[Record::aeads(&[15])], "no Next Protocol")?);
    let mut seen = 0;
    for response in &answers {
        for warning in response.of_kind(WARNING) {
            ensure(warning.critical && warning.body.len() == 2, || {
                format!("a warning of {} octets: {}", warning.body.len(), response.shown())
            })?;
            seen += 1;
        }
    }
    Ok(format!("{seen} warnings, none malformed"))
}

fn aead_once(bench: &mut Bench<'_>) -> Judgement {
    let [ntpv4, siv] = [Record::protocols(&[0]), Record::aeads(&[15])];
    for (records, meaning) in [
        (vec![ntpv4.clone()], "no AEAD record"),
        (vec![ntpv4.clone(), siv.clone(), siv.clone()], "the same AEAD record twice"),
        (vec![ntpv4, siv, Record::new(false, AEAD, [0, 30])], "two AEAD records"),
    ] {
        bench.refused(&message(&records), 1, meaning)?;
    }
    for response in good_answers(bench)?.iter().filter(|response| response.error().is_none()) {
        let count = response.count(AEAD);
        ensure(count == 1, || format!("{count} AEAD records in {}", response.shown()))?;
    }
    Ok("one AEAD record each way".to_owned())
}

fn aeads(bench: &mut Bench<'_>) -> Judgement {
    for offer in [&[15][..], &[30, 15]] {
        let response = bench.served(
            &[Record::protocols(&[0]), Record::aeads(offer)],
            &format!("AEADs {offer:?}"),
        )?;
        let chosen: Vec<u16> = response.of_kind(AEAD).flat_map(Record::numbers).collect();
        ensure(chosen.len() <= 1, || format!("AEADs {chosen:?} are chosen"))?;
    }
    let empty = bench
        .establish_by(&[Record::protocols(&[0]), Record::aeads(&[])], "an empty AEAD record")?;
    ensure(!empty.is_served() && empty.cookies().is_empty(), || {
        format!("an empty AEAD record: {}", empty.shown())
    })?;
    if empty.error() != Some(1) {
        return Err(Objection::deviates(format!(
            "an empty AEAD record is no error but shares nothing: {}",
            empty.shown()
        )));
    }
    Ok("at least one is asked, at most one answered".to_owned())
}

fn no_shared_aead(bench: &mut Bench<'_>) -> Judgement {
    bench.ke_control()?;
    for offer in [&[10000][..], &[16384, 10001], &[0]] {
        let response = bench.establish_by(
            &[Record::protocols(&[0]), Record::aeads(offer)],
            &format!("AEADs {offer:?}"),
        )?;
        let said = matches!(&response.of_kind(AEAD).collect::<Vec<_>>()[..], [record] if record.body.is_empty());
        ensure(said && response.error().is_none() && response.cookies().is_empty(), || {
            format!("AEADs {offer:?}: {}", response.shown())
        })?;
    }
    Ok("an empty AEAD record, no cookies".to_owned())
}

fn aead_15(bench: &mut Bench<'_>) -> Judgement {
    for offer in [&[15][..], &[10000, 15], &[30, 15], &[17, 15, 10000]] {
        bench.served(
            &[Record::protocols(&[0]), Record::aeads(offer)],
            &format!("AEADs {offer:?}"),
        )?;
    }
    Ok("AEAD 15 is found wherever it stands".to_owned())
}

fn offered_aead(bench: &mut Bench<'_>) -> Judgement {
    let mut chosen_of = Vec::new();
    for offer in [&[15][..], &[17], &[30], &[10000, 17], &[17, 30], &[30, 10000]] {
        let response = bench.establish_by(
            &[Record::protocols(&[0]), Record::aeads(offer)],
            &format!("AEADs {offer:?}"),
        )?;
        let Some(chosen) = response.aead() else { continue };
        ensure(offer.contains(&chosen), || format!("of AEADs {offer:?} {chosen} is chosen"))?;
        chosen_of.push(format!("{chosen} of {offer:?}"));
    }
    bench.ke_control()?;
    Ok(chosen_of.join(", "))
}

fn aead_critical(bench: &mut Bench<'_>) -> Judgement {
    for critical in [true, false] {
        let records = [Record::protocols(&[0]), Record::new(critical, AEAD, [0, 15])];
        bench.served(&records, &format!("an AEAD record, critical {critical}"))?;
    }
    Ok("either is served".to_owned())
}

fn aead_order(bench: &mut Bench<'_>) -> Judgement {
    let mut chosen = Vec::new();
    for offer in [&[15, 17][..], &[17, 15], &[30, 15], &[15, 30]] {
        let response = bench.served(
            &[Record::protocols(&[0]), Record::aeads(offer)],
            &format!("AEADs {offer:?}"),
        )?;
        chosen.push(format!("{} of {offer:?}", response.aead().unwrap_or_default()));
    }
    Ok(chosen.join(", "))
}

/// Answers with cookies, one for each AEAD the server has.
fn with_keys(bench: &mut Bench<'_>) -> Result<Vec<Response>, Objection> {
    let mut found = good_answers(bench)?;
    found.retain(Response::is_served);
    if found.is_empty() {
        return Err(Objection::fails("no AEAD is served"));
    }
    Ok(found)
}

fn some_cookie(bench: &mut Bench<'_>) -> Judgement {
    for response in with_keys(bench)? {
        ensure(!response.cookies().is_empty(), || {
            format!("no cookie with AEAD {:?}", response.aead())
        })?;
    }
    Ok("cookies come with every AEAD".to_owned())
}

fn eight_cookies(bench: &mut Bench<'_>) -> Judgement {
    for response in with_keys(bench)? {
        let count = response.count(COOKIE);
        ensure(count == 8, || {
            format!("{count} cookies with AEAD {}", response.aead().unwrap_or_default())
        })?;
    }
    Ok("eight cookies".to_owned())
}

fn cookies_not_critical(bench: &mut Bench<'_>) -> Judgement {
    for response in with_keys(bench)? {
        let critical = response.of_kind(COOKIE).filter(|cookie| cookie.critical).count();
        ensure(critical == 0, || format!("{critical} cookies are critical"))?;
    }
    Ok("no cookie is critical".to_owned())
}

fn cookie_length(bench: &mut Bench<'_>) -> Judgement {
    let mut lens_by_aead = Vec::new();
    for response in with_keys(bench)? {
        let aead = response.aead().unwrap_or_default();
        let lens: HashSet<usize> = response.cookies().iter().map(Vec::len).collect();
        let fits = lens.iter().all(|len| len.is_multiple_of(4) && (1..=192).contains(len));
        ensure(fits && lens.len() == 1, || format!("AEAD {aead}: cookies of {lens:?} octets"))?;
        lens_by_aead.push(format!("{aead}: {}", lens.iter().next().copied().unwrap_or_default()));
    }
    Ok(format!("octets of a cookie by AEAD: {}", lens_by_aead.join(", ")))
}

fn cookies_differ(bench: &mut Bench<'_>) -> Judgement {
    let sessions = if bench.manner.deep { 200 } else { 4 };
    let mut seen = HashSet::new();
    for session in 0..sessions {
        for cookie in bench.served(&minimal(), "an ordinary request")?.cookies() {
            ensure(seen.insert(cookie), || format!("session {session} gives a cookie again"))?;
        }
    }
    Ok(format!("{} cookies, all different", seen.len()))
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
        || (text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label))
}

/// The response to an ordinary request with this wish.
fn wish(
    bench: &mut Bench<'_>,
    critical: bool,
    kind: u16,
    body: &[u8],
    meaning: &str,
) -> Result<Response, Objection> {
    let mut records = minimal();
    records.push(Record::new(critical, kind, body));
    bench.establish_by(&records, meaning)
}

/// Passing a wish over is what a server does that gives no choice; refusing some that are malformed and taking others has no such
/// reason.
fn all_or_none(refused: &[&str], taken: &[&str], what: &str) -> Judgement {
    match (refused, taken) {
        (_, []) => Ok(format!("Error 1 to {what}")),
        ([], _) => Err(Objection::deviates(format!("{what} are passed over like all wishes"))),
        _ => Err(Objection::fails(format!(
            "taken: {}; refused: {}",
            taken.join(", "),
            refused.join(", ")
        ))),
    }
}

fn server_names(bench: &mut Bench<'_>) -> Judgement {
    let long = [b'a'; 254];
    let bad: [(&[u8], &str); 7] = [
        (b"", "an empty name"),
        (b"fe80::1%eth0", "an address with a zone"),
        ("z\u{fc}rich.example".as_bytes(), "a name that is not ASCII"),
        (b"time.example\0", "a name with NUL"),
        (b"time example", "a name with a space"),
        (b"time..example", "an empty label"),
        (&long, "a label of 254 octets"),
    ];
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    for (name, meaning) in bad {
        let response = wish(bench, false, SERVER, name, meaning)?;
        if response.error() == Some(1) { refused.push(meaning) } else { taken.push(meaning) }
    }
    for name in ["192.0.2.1", "2001:db8::7", "time.example", "xn--zrich-kva.example"] {
        let response =
            wish(bench, false, SERVER, name.as_bytes(), &format!("the wish for {name}"))?;
        ensure(response.is_served(), || format!("the wish for {name}: {}", response.shown()))?;
        for record in response.of_kind(SERVER) {
            ensure(is_host(&record.body), || format!("NTP server {}", hex(&record.body)))?;
        }
    }
    all_or_none(&refused, &taken, "names that are none")
}

fn one_server(bench: &mut Bench<'_>) -> Judgement {
    let mut refused = Vec::new();
    let mut taken = Vec::new();
    for (first, second, meaning) in [
        ("a.example", "b.example", "two servers"),
        ("a.example", "a.example", "the same server twice"),
    ] {
        let mut records = minimal();
        records.push(Record::new(false, SERVER, first.as_bytes()));
        records.push(Record::new(false, SERVER, second.as_bytes()));
        let response = bench.establish_by(&records, meaning)?;
        if response.error() == Some(1) {
            refused.push(meaning);
        } else {
            taken.push(meaning);
        }
        let count = response.count(SERVER);
        ensure(count <= 1, || format!("{meaning}: {count} NTP servers are named"))?;
    }
    let count = bench.served(&minimal(), "an ordinary request")?.count(SERVER);
    ensure(count <= 1, || format!("{count} NTP servers are named"))?;
    all_or_none(&refused, &taken, "two Server records")
}

fn server_granted(bench: &mut Bench<'_>) -> Judgement {
    // The server under test is one it can give; so is each that it names itself.
    let named = bench.served(&minimal(), "an ordinary request")?;
    let own = bench.ke()?.address.ip().to_string();
    let wished =
        named.of_kind(SERVER).next().map_or(own.clone().into_bytes(), |record| record.body.clone());
    let response = wish(bench, false, SERVER, &wished, "the wish for a server that it has")?;
    ensure(response.is_served(), || format!("the wish is not served: {}", response.shown()))?;
    let granted = response.of_kind(SERVER).next().map(|record| record.body.clone());
    match granted {
        Some(granted) if granted == wished => Ok(format!("{} is granted", wished.escape_ascii())),
        // Without the record the server of the key exchange is meant (KE-61).
        None if wished == own.as_bytes() => {
            Ok("no server is named, so the one wished for is meant".to_owned())
        }
        other => Err(Objection::fails(format!(
            "{} is wished for, {other:02x?} answered",
            wished.escape_ascii()
        ))),
    }
}

fn server_family(bench: &mut Bench<'_>) -> Judgement {
    let is_v4 = bench.ke()?.address.is_ipv4();
    let response = bench.served(&minimal(), "an ordinary request")?;
    let Some(record) = response.of_kind(SERVER).next() else {
        return Ok("no server is named".to_owned());
    };
    let text = String::from_utf8_lossy(&record.body).into_owned();
    match text.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_ipv4() != is_v4 => {
            Err(Objection::fails(format!("{text} is of another family than the session")))
        }
        _ => Ok(format!("{text} is named")),
    }
}

fn server_critical(bench: &mut Bench<'_>) -> Judgement {
    for (kind, body, name) in
        [(SERVER, &b"time.example"[..], "Server"), (PORT, &[0x2b, 0x67], "Port")]
    {
        for critical in [false, true] {
            let meaning = format!("{name}, critical {critical}");
            let response = wish(bench, critical, kind, body, &meaning)?;
            ensure(response.is_served(), || format!("{meaning}: {}", response.shown()))?;
        }
    }
    Ok("Server and Port are known, critical or not".to_owned())
}

fn ports(bench: &mut Bench<'_>) -> Judgement {
    let (mut refused, mut taken) = (Vec::new(), Vec::new());
    for (body, meaning) in [
        (&[][..], "an empty port"),
        (&[0], "a port of 1 octet"),
        (&[0, 123, 0], "one of 3"),
        (&[0, 0, 0, 123], "one of 4"),
    ] {
        let response = wish(bench, false, PORT, body, meaning)?;
        if response.error() == Some(1) { refused.push(meaning) } else { taken.push(meaning) }
    }
    let response = bench.served(&minimal(), "an ordinary request")?;
    let named: Vec<_> = response.of_kind(PORT).collect();
    ensure(named.len() <= 1, || format!("{} ports are named", named.len()))?;
    if let Some(record) = named.first() {
        ensure(record.body.len() == 2 && record.body != [0, 0], || {
            format!("port {}", hex(&record.body))
        })?;
    }
    all_or_none(&refused, &taken, "ports that are not of 2 octets")
}

fn record_1024(bench: &mut Bench<'_>) -> Judgement {
    let mut seen = 0;
    for offer in [&[30][..], &[15], &[30, 15]] {
        for asked in [false, true] {
            let mut records = vec![Record::protocols(&[0]), Record::aeads(offer)];
            if asked {
                records.push(Record::new(false, COMPLIANT_EXPORT, []));
            }
            let meaning = format!("AEADs {offer:?}, record 1024 {asked}");
            let response = bench.establish_by(&records, &meaning)?;
            let found: Vec<_> = response.of_kind(COMPLIANT_EXPORT).collect();
            let due = asked && response.aead() == Some(30);
            ensure(due || found.is_empty(), || format!("{meaning}: {}", response.shown()))?;
            ensure(found.iter().all(|record| !record.critical && record.body.is_empty()), || {
                format!("record 1024 is malformed: {}", response.shown())
            })?;
            // A server that exports as the RFC says in any case need not agree on it.
            seen += usize::from(due && found.len() == 1);
        }
    }
    bench.ke_control()?;
    if seen == 0 {
        return Err(Objection::unbound("record 1024 is never agreed on"));
    }
    Ok(format!("record 1024 comes back {seen} times, where it was asked for and AEAD 30 chosen"))
}
