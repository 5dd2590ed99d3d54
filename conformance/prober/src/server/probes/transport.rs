//! TLS and framing of key establishment (KE-01 to KE-21).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;

use super::{Bench, Judgement, Needs, Probe, Turn, at, probe};
use crate::evidence::hex;
use crate::octets::record::{self, END, Record, join, message};
use crate::server::establishment::minimal;
use crate::server::hello::{
    self, GROUPS, KEY_SHARE, NTSKE, POINTS, SIGNATURES, TLS12, TLS13, client_hello,
};
use crate::server::judgement::{Objection, ensure};
use crate::server::talk::config;

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("KE-01", Needs::Ke, "ClientHellos that offer TLS 1.2 alone", "an alert or the end, no ServerHello", tls_version),
    probe("KE-02", Needs::Ke, "`ntske/1` in ALPN, alone and among others", "`ntske/1`, octet for octet", alpn),
    probe("KE-03", Needs::Ke, "no ALPN, `h2`, `NTSKE/1`", "the end of the connection, no NTS-KE message", other_protocols),
    probe("KE-04", Needs::Ke, "a connection to TCP port 4460", "key establishment", default_port),
    probe("KE-05", Needs::Ke, "two sessions that offer resumption and early data", "no early data, a key share and a suite of TLS 1.3 in each", early_data),
    probe("KE-07", Needs::Ke, "two requests on one connection", "one response", one_answer),
    probe("KE-08", Needs::Ke, "good and bad requests", "close_notify behind each response", close_notify),
    probe("KE-09", Needs::Ke, "good and bad requests", "one End of Message, 80 00 00 00, at the end", end_of_message),
    probe("KE-10", Needs::Ke, "End of Message with 2, 4 and 300 octets", "Error 1", end_with_body),
    probe("KE-11", Needs::Ke, "records behind End of Message", "the same response as without them", behind_the_end),
    probe("KE-12", Needs::Ke, "headers of records bit by bit", "type and length as RFC 8915 figure 5 has them", record_header),
    probe("KE-13", Needs::Ke, "unknown records of 0, 1, 3, 255 and 900 octets; up to 65535 with --deep", "keys and cookies", body_lengths),
    probe("KE-14", Needs::Ke, "unknown records that are not critical, before, between and behind known ones", "the same response as without them", unknown),
    probe("KE-15", Needs::Ke, "unknown critical records", "Error 0 and nothing else", unknown_critical),
    probe("KE-17", Needs::Ke, "requests of exactly 1024 octets", "keys and cookies", long_requests),
    probe("KE-19", Needs::Ke, "a request cut into TLS records and TCP segments of few octets", "keys and cookies", cuts),
    at(Turn::Slow, probe("KE-20", Needs::Ke, "a request without its end, held open, and one that is half closed", "Error 1 before the connection ends", incomplete)),
    at(Turn::Slow, probe("KE-21", Needs::Ke, "connections that say nothing", "the end within 10 s, and others served meanwhile", bounded)),
];

fn tls_version(bench: &mut Bench<'_>) -> Judgement {
    let hello = |versions: &[hello::Extension<'_>]| {
        client_hello(&[&[SIGNATURES, GROUPS, POINTS, KEY_SHARE, NTSKE][..], versions].concat())
    };
    for (versions, meaning) in [
        (&[][..], "a hello that knows of no version but 1.2"),
        (&[TLS12], "a hello for version 1.2 alone"),
    ] {
        let heard = bench.raw(&hello(versions), meaning)?;
        ensure(!hello::has_more_than_alerts(&heard), || {
            format!("{meaning} is answered: {}", hex(&heard[..heard.len().min(48)]))
        })?;
    }
    let agreed = bench.raw(&hello(&[TLS13]), "control: the same hello for version 1.3")?;
    if !hello::is_server_hello(&agreed) {
        return Err(Objection::unclear("the hello is not understood with version 1.3 either"));
    }
    bench.ke_control()?;
    Ok("TLS 1.2 is refused, 1.3 is not".to_owned())
}

fn alpn(bench: &mut Bench<'_>) -> Judgement {
    let offers: [&[&[u8]]; 3] = [&[b"ntske/1"], &[b"ntske/10", b"ntske/1"], &[b"h2", b"ntske/1"]];
    let roots = Arc::clone(&bench.ke()?.roots);
    for offer in offers {
        let talk = bench.connect_with(&Arc::new(config(&roots, offer)), usize::MAX)?;
        let chosen = talk.tls.alpn_protocol().map(<[u8]>::to_vec);
        bench.finish(&talk, &[], "");
        let shown = || {
            offer
                .iter()
                .map(|protocol| protocol.escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        ensure(chosen.as_deref() == Some(b"ntske/1"), || {
            let chosen = chosen
                .as_deref()
                .map_or_else(|| "nothing".to_owned(), |chosen| chosen.escape_ascii().to_string());
            format!("of {} {chosen} is chosen", shown())
        })?;
    }
    Ok("ntske/1 is chosen wherever it stands".to_owned())
}

fn other_protocols(bench: &mut Bench<'_>) -> Judgement {
    bench.ke_control()?;
    let roots = Arc::clone(&bench.ke()?.roots);
    let offers: [&[&[u8]]; 4] = [&[], &[b"h2"], &[b"NTSKE/1"], &[b"ntske/1\0", b"http/1.1"]];
    let request = message(&minimal());
    for offer in offers {
        let mut talk = bench.connect_with(&Arc::new(config(&roots, offer)), usize::MAX)?;
        talk.say(&request);
        talk.hear_out(bench.manner.patience);
        let meaning = format!(
            "ALPN {:?}",
            offer.iter().map(|protocol| protocol.escape_ascii().to_string()).collect::<Vec<_>>()
        );
        bench.finish(&talk, &request, &meaning);
        ensure(talk.heard.is_empty(), || {
            format!("{meaning} is answered: {}", hex(&talk.heard[..talk.heard.len().min(48)]))
        })?;
    }
    bench.ke_control()?;
    Ok("without ntske/1 no NTS-KE message is sent".to_owned())
}

fn default_port(bench: &mut Bench<'_>) -> Judgement {
    let port = bench.ke()?.address.port();
    if port != 4460 {
        return Err(Objection::unbound(format!("key establishment was looked for at port {port}")));
    }
    bench.ke_control()?;
    Ok("port 4460".to_owned())
}

fn early_data(bench: &mut Bench<'_>) -> Judgement {
    let mut settings = config(&bench.ke()?.roots, &[b"ntske/1"]);
    settings.resumption = Resumption::in_memory_sessions(4);
    settings.enable_early_data = true;
    let settings = Arc::new(settings);
    let request = message(&minimal());
    let mut resumed = 0;
    for session in 0..2 {
        let mut talk = bench.connect_with(&settings, usize::MAX)?;
        let allowed = talk.tls.early_data().is_some() || talk.tls.is_early_data_accepted();
        talk.say(&request);
        let response = bench.response(talk, &request, "a session that offers early data");
        ensure(!allowed, || format!("session {session}: a ticket allows early data"))?;
        let agreed = hello::server_hello_extensions(&response.talk.stream).unwrap_or_default();
        ensure(agreed.contains(&51), || {
            format!("session {session}: no key share, extensions {agreed:?}")
        })?;
        let suite = response.talk.tls.negotiated_cipher_suite().map(|suite| suite.suite());
        ensure(suite.is_some_and(|suite| (0x1301..=0x1303).contains(&u16::from(suite))), || {
            format!("suite {suite:?}")
        })?;
        if !response.is_served() {
            return Err(Objection::unclear(format!(
                "session {session} is not served: {}",
                response.shown()
            )));
        }
        resumed += usize::from(agreed.contains(&41));
    }
    Ok(format!("no early data; {resumed} of 2 sessions resumed, each with a key exchange"))
}

fn one_answer(bench: &mut Bench<'_>) -> Judgement {
    let request = message(&minimal());
    let both = [&request[..], &request].concat();
    // Both at once; and the second when the first has been answered.
    let at_once = bench.establish(&both, "two requests at once")?;
    let ends = at_once.count(END);
    ensure(ends <= 1, || format!("two requests at once get {ends} responses"))?;
    let mut talk = bench.connect()?;
    talk.say(&request);
    let patience = bench.manner.patience;
    talk.hear(patience * 3, |talk| {
        talk.ended || talk.notified || record::message_len(&talk.heard).is_some()
    });
    talk.say(&request);
    talk.hear(patience, |talk| talk.ended);
    bench.finish(&talk, &both, "one request, then another");
    let ends = record::cut(&talk.heard).0.iter().filter(|record| record.kind == END).count();
    ensure(ends == 1, || format!("two requests get {ends} responses"))?;
    Ok("one response for two requests".to_owned())
}

/// Requests of all kinds that are answered.
fn answered() -> [(Vec<Record>, &'static str); 3] {
    [
        (minimal(), "an ordinary request"),
        (vec![Record::aeads(&[15])], "a request without Next Protocol"),
        (vec![Record::protocols(&[0]), Record::aeads(&[10000])], "an AEAD nobody has"),
    ]
}

fn close_notify(bench: &mut Bench<'_>) -> Judgement {
    for (records, meaning) in answered() {
        let response = bench.establish_by(&records, meaning)?;
        if response.talk.heard.is_empty() {
            continue;
        }
        ensure(response.talk.notified, || {
            let how = if response.talk.ended { "ends without it" } else { "stays open" };
            format!("{meaning}: no close_notify, the connection {how}")
        })?;
    }
    bench.ke_control()?;
    Ok("close_notify comes behind every response".to_owned())
}

fn end_of_message(bench: &mut Bench<'_>) -> Judgement {
    for (records, meaning) in answered() {
        let response = bench.establish_by(&records, meaning)?;
        let heard = &response.talk.heard;
        if heard.is_empty() {
            continue;
        }
        let tail = &heard[heard.len().saturating_sub(4)..];
        ensure(tail == [0x80, 0, 0, 0], || {
            format!("{meaning}: the response ends with {}", hex(tail))
        })?;
        let ends = response.count(END);
        ensure(ends == 1, || format!("{meaning}: {ends} Ends of Message"))?;
    }
    bench.ke_control()?;
    Ok("every response ends with 80 00 00 00, once".to_owned())
}

fn end_with_body(bench: &mut Bench<'_>) -> Judgement {
    for body in [&[1, 1][..], &[0; 4], &[0; 300]] {
        let mut records = minimal();
        records.push(Record::new(true, END, body));
        let response = bench
            .establish(&join(&records), &format!("End of Message with {} octets", body.len()))?;
        if response.is_served() {
            // Known of ntpd-rs; whoever sends it gets what an empty one would have got.
            return Err(Objection::deviates(
                "End of Message may have a body, which is passed over",
            ));
        }
        ensure(response.error() == Some(1), || {
            format!("End of Message with {} octets: {}", body.len(), response.shown())
        })?;
    }
    bench.ke_control()?;
    Ok("Error 1".to_owned())
}

fn behind_the_end(bench: &mut Bench<'_>) -> Judgement {
    let expected = bench.served(&minimal(), "an ordinary request")?.kinds();
    for (more, meaning) in [
        (Record::new(true, 0x3fff, []), "an unknown critical record"),
        (Record::aeads(&[17]), "another AEAD record"),
        (Record::new(true, record::ERROR, [0, 1]), "an Error record"),
    ] {
        let octets = [message(&minimal()), more.octets()].concat();
        let response = bench.establish(&octets, &format!("{meaning} behind End of Message"))?;
        // Refusing it is as good as passing it over, as long as it is not read: what it says would bring other errors or AEADs.
        if !response.is_served() && response.error().is_none() {
            continue;
        }
        ensure(
            response.is_served() && response.kinds() == expected && response.aead() == Some(15),
            || {
                format!(
                    "{meaning} behind End of Message changes the response: {}",
                    response.shown()
                )
            },
        )?;
    }
    bench.ke_control()?;
    Ok("nothing behind End of Message is processed".to_owned())
}

fn record_header(bench: &mut Bench<'_>) -> Judgement {
    // Octets as RFC 8915 §4 figure 5 draws them.
    let golden: [u8; 16] = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];
    let response = bench.establish(&golden, "the minimal request")?;
    let first = response.talk.heard.first_chunk::<3>().copied().unwrap_or_default();
    ensure([first[0] & 0x7f, first[1], first[2]] == [0, 1, 0], || {
        format!("a response begins with {}", hex(&first))
    })?;
    ensure(response.rest.is_empty(), || {
        format!("{} octets of the response make no record", response.rest.len())
    })?;
    // 0x4001 is not type 1 with some flag. Were only the low octet of its length read, the octets behind would be a second
    // Next Protocol.
    let mut long = vec![0x40, 0x01, 1, 2];
    long.extend([0, 0].iter().chain([0x80, 1, 0, 2, 0, 0].iter().cycle().take(256)));
    for unknown in [&[0x40, 0x01, 0, 2, 0, 0][..], &long] {
        let meaning = format!("an unknown record {}", hex(&unknown[..4]));
        let response = bench.establish(&[unknown, &golden].concat(), &meaning)?;
        ensure(response.is_served(), || {
            format!("{meaning} is not passed over: {}", response.shown())
        })?;
    }
    Ok("headers are read bit by bit".to_owned())
}

fn body_lengths(bench: &mut Bench<'_>) -> Judgement {
    // A server must take 1024 octets in all (KE-17); what is longer it may refuse, and then in order.
    let lens: &[usize] = if bench.manner.deep {
        &[0, 1, 3, 5, 255, 256, 900, 4097, 65535]
    } else {
        &[0, 1, 3, 5, 255, 256, 900]
    };
    let mut refused = Vec::new();
    for &len in lens {
        let mut records = vec![Record::new(false, 0x2000, vec![0xa5; len])];
        records.extend(minimal());
        let response =
            bench.establish_by(&records, &format!("an unknown record of {len} octets"))?;
        if !response.is_served() {
            ensure(len > 1000, || {
                format!("an unknown record of {len} octets is in the way: {}", response.shown())
            })?;
            refused.push(len);
        }
    }
    bench.ke_control()?;
    if refused.is_empty() {
        Ok(format!("bodies of {lens:?} octets are taken"))
    } else {
        Err(Objection::deviates(format!(
            "bodies of {refused:?} octets are refused, beyond the 1024 that must be taken"
        )))
    }
}

fn unknown(bench: &mut Bench<'_>) -> Judgement {
    let expected = bench.served(&minimal(), "an ordinary request")?.kinds();
    // 8 to 14 mean something in drafts; 8 has a clause of its own.
    let kinds: &[u16] = if bench.manner.deep {
        &[9, 14, 255, 1000, 1023, 1025, 0x3fff, 0x7fff]
    } else {
        &[255, 1023, 1025, 0x3fff]
    };
    for &kind in kinds {
        for place in 0..3 {
            let mut records = minimal();
            records.insert(place, Record::new(false, kind, [1, 2]));
            let response =
                bench.establish_by(&records, &format!("record {kind} at place {place}"))?;
            ensure(response.is_served() && response.kinds() == expected, || {
                format!("record {kind} matters: {}", response.shown())
            })?;
        }
    }
    Ok(format!("records of types {kinds:?} are passed over"))
}

fn unknown_critical(bench: &mut Bench<'_>) -> Judgement {
    for kind in [0x3fff, 0x2000, 1025] {
        for place in [0, 2] {
            let mut records = minimal();
            records.insert(place, Record::new(true, kind, []));
            let meaning = format!("critical record {kind} at place {place}");
            let response = bench.refused(&message(&records), 0, &meaning)?;
            ensure(response.kinds() == [record::ERROR], || {
                format!("{meaning}: {}", response.shown())
            })?;
        }
    }
    Ok("Error 0 and nothing else".to_owned())
}

fn long_requests(bench: &mut Bench<'_>) -> Judgement {
    for (filler, meaning) in [
        (
            vec![Record::new(false, 0x2000, vec![0; 1004])],
            "1024 octets, most of them in one record",
        ),
        (vec![Record::new(false, 0x2000, []); 252], "1024 octets in 254 records"),
    ] {
        let octets = message(&[filler, minimal()].concat());
        let response = bench.establish(&octets, meaning)?;
        if !response.is_served() {
            bench.ke_control()?;
            return Err(Objection::fails(format!("{meaning}: {}", response.shown())));
        }
    }
    Ok("requests of 1024 octets are served".to_owned())
}

fn cuts(bench: &mut Bench<'_>) -> Judgement {
    let request = message(&minimal());
    // TLS records of one octet, of two halves with a header cut in two, of all at once.
    for len in [1, 7, 9, request.len()] {
        let mut talk = bench.connect()?;
        for part in request.chunks(len) {
            talk.say(part);
            // Else a busy server finds them all at once, as if they had not been cut.
            std::thread::sleep(Duration::from_millis(if len == 1 { 15 } else { 80 }));
        }
        let response = bench.response(talk, &request, &format!("{len} octets in each TLS record"));
        ensure(response.is_served(), || {
            format!("{len} octets in each TLS record: {}", response.shown())
        })?;
    }
    // Segments of TCP that cut TLS records, from the first octet of the handshake on.
    let settings = bench.ordinary()?;
    for len in [5, 100] {
        let mut talk = bench.connect_with(&settings, len)?;
        talk.say(&request);
        let response = bench.response(talk, &request, &format!("{len} octets in each TCP segment"));
        ensure(response.is_served(), || {
            format!("{len} octets in each TCP segment: {}", response.shown())
        })?;
    }
    Ok("it does not matter how the request is cut".to_owned())
}

/// Longer than this no server should wait for the rest of a request.
const LONGEST_WAIT: Duration = Duration::from_secs(16);

fn incomplete(bench: &mut Bench<'_>) -> Judgement {
    let partial = join(&minimal());
    let refused = |bench: &mut Bench<'_>, half_closed: bool| {
        let mut talk = bench.connect()?;
        talk.say(&partial);
        if half_closed {
            talk.half_close();
        }
        let began = Instant::now();
        talk.hear(LONGEST_WAIT, |talk| talk.ended || talk.notified);
        let meaning = if half_closed {
            "a request without its end, half closed"
        } else {
            "a request without its end"
        };
        bench.finish(&talk, &partial, meaning);
        let (records, _) = record::cut(&talk.heard);
        let code = records.iter().find(|record| record.kind == record::ERROR).map(Record::numbers);
        Ok::<_, Objection>((code == Some(vec![1]), talk.ended || talk.notified, began.elapsed()))
    };
    let (said_half, _, _) = refused(bench, true)?;
    let (said, ended, after) = refused(bench, false)?;
    bench.ke_control()?;
    if said {
        let half = if said_half {
            "at once where it is half closed"
        } else {
            "not where it is half closed"
        };
        return Ok(format!("Error 1 after {:.1} s, {half}", after.as_secs_f64()));
    }
    let how = if ended {
        format!("ends after {:.1} s", after.as_secs_f64())
    } else {
        "stays open".to_owned()
    };
    Err(Objection::fails(format!(
        "a request without its end: the connection {how}, without Error 1"
    )))
}

fn bounded(bench: &mut Bench<'_>) -> Judgement {
    use std::io::Read as _;
    let to = bench.ke()?.address;
    let unclear =
        |error: std::io::Error| Objection::unclear(format!("no connection to {to}: {error}"));
    let mut idle =
        std::net::TcpStream::connect_timeout(&to, bench.manner.patience * 2).map_err(unclear)?;
    let began = Instant::now();
    // Somebody else is served while one connection says nothing.
    bench.ke_control()?;
    let served_after = began.elapsed();
    let mut octets = [0; 512];
    let ended = loop {
        let left = LONGEST_WAIT.saturating_sub(began.elapsed());
        if left.is_zero() {
            break false;
        }
        match idle.set_read_timeout(Some(left)).and_then(|()| idle.read(&mut octets)) {
            // An alert may come first.
            Ok(1..) => {}
            Ok(0) => break true,
            Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    let after = began.elapsed().as_secs_f64();
    bench.ke_control()?;
    ensure(ended, || format!("a connection that says nothing is open after {after:.1} s"))?;
    ensure(after <= 11.0, || format!("a connection that says nothing is held for {after:.1} s"))?;
    Ok(format!("held for {after:.1} s; others served after {:.1} s", served_after.as_secs_f64()))
}
