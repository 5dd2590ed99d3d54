//! NTP without NTS: header, modes, versions, lengths, kisses (WS-*, KD-*, ER-08, PR-04).

use super::{Bench, Judgement, Needs, Probe, Turn, at, deep, probe};
use crate::octets::field::{self, UNIQUE, UNKNOWN, field as field_octets};
use crate::octets::header::{Header, LEN};
use crate::server::answer::{Answer, shown};
use crate::server::bench::{random, random_number};
use crate::server::judgement::{Objection, ensure};

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("WS-01", Needs::Plain, "0 to 47 octets of a request, and 1 to 3 octets more than a whole one", "silence", lengths),
    probe("WS-02", Needs::Plain, "requests of versions 1 to 4", "answers of the same version, or silence to 1 and 2", versions),
    probe("WS-03", Needs::Plain, "mode 3 of versions 0, 5, 6 and 7", "silence", other_versions),
    probe("WS-04", Needs::Plain, "transmit times of zeros, ones, single bits and random ones", "the same 64 bits as origin", origin),
    probe("WS-05", Needs::Plain, "ordinary requests", "receive not after transmit, no further apart than the flight took", stamps),
    probe("WS-06", Needs::Plain, "requests of versions 3 and 4, with and without fields", "mode 4", mode_4),
    probe("WS-07", Needs::Plain, "poll exponents -6 to 17, 127 and -128", "the same back", poll),
    probe("WS-08", Needs::Plain, "ordinary requests", "strata 1 to 15, or stratum 0 and leap 3 together", synchronised),
    probe("WS-09", Needs::Plain, "ordinary requests", "a negative exponent above -32", precision),
    deep("WS-10", Needs::Plain, "a request every two seconds for a minute", "a dispersion that grows, and shrinks only where the clock was set again", dispersion),
    probe("WS-11", Needs::Plain, "an ordinary request", "at stratum 1 ASCII filled with zeros, above an id that is not zero", reference_id),
    probe("WS-12", Needs::Plain, "ordinary requests", "a reference time not after transmit", reference_time),
    probe("WS-13", Needs::Plain, "modes 0, 2 and 4 in versions 1 to 4, and the server's own answer", "silence", no_ping_pong),
    probe("WS-14", Needs::Plain, "mode 1, with and without MAC", "silence", symmetric_active),
    probe("WS-15", Needs::Plain, "mode 5, with and without MAC", "silence", broadcast),
    probe("WS-16", Needs::Plain, "mode 6: read status, read variables and others; mode 7: monlist, peers and others", "silence", control_modes),
    probe("WS-18", Needs::Plain, "requests without MAC", "answers without MAC", no_mac),
    probe("WS-19", Needs::Plain, "MACs of a key nobody has", "silence or a crypto-NAK, no time", bad_mac),
    deep("WS-20", Needs::Plain, "two thousand requests", "each of the bits below the precision is one as often as zero", noise),
    at(Turn::Last, probe("WS-22", Needs::Plain, "all requests of this run", "no answer longer than its request", never_longer)),
    at(Turn::Last, probe("WS-24", Needs::Plain, "all requests of this run", "answers from the address asked", same_address)),
    at(Turn::Last, probe("WS-25", Needs::Plain, "all requests of this run", "answers from the port asked", same_port)),
    at(Turn::Last, probe("PR-04", Needs::Plain, "all requests of this run in modes other than 3", "answers, if any, from the port asked", own_port)),
    at(Turn::Last, probe("KD-11", Needs::Plain, "all requests of this run", "kisses of stratum 0, leap 3 and four ASCII octets", kiss_shape)),
    deep("KD-12", Needs::Plain, "two hundred requests within two seconds", "few kisses, none longer than the request", few_kisses),
    probe("ER-08", Needs::Plain, "all kinds of poll and precision octets", "time, whatever they are", exponents),
];

/// A plain request of version 4 with a transmit time of its own.
pub fn plain() -> Vec<u8> {
    Header::request(random_number()).octets()
}

/// The same with octets behind the header.
pub fn plain_with(tail: &[u8]) -> Vec<u8> {
    [&plain()[..], tail].concat()
}

/// A request of another version and mode.
pub fn header(version: u8, mode: u8) -> Vec<u8> {
    Header { version, mode, ..Header::request(random_number()) }.octets()
}

/// Octets of a field with a unique identifier of its own.
pub fn unique(len: usize) -> Vec<u8> {
    field_octets(UNIQUE, &random(len))
}

/// Something that can only be a MAC: a low key id and a digest.
pub fn mac(digest: usize) -> Vec<u8> {
    [&[0, 0, 0, 77][..], &random(digest)].concat()
}

/// Fails if anything but silence comes back for any of these.
pub fn all_silent(bench: &mut Bench<'_>, requests: &[(Vec<u8>, String)]) -> Result<(), Objection> {
    for ((_, meaning), answer) in requests.iter().zip(bench.silence(requests)?) {
        ensure(answer.is_none(), || format!("{meaning} is answered: {}", shown(answer.as_ref())))?;
    }
    Ok(())
}

fn lengths(bench: &mut Bench<'_>) -> Judgement {
    let short: Vec<usize> = if bench.manner.deep {
        (0..LEN).collect()
    } else {
        vec![0, 1, 4, 12, 20, 40, 44, 45, 46, 47]
    };
    let long = plain_with(&unique(32));
    let cut = short.iter().map(|len| plain()[..*len].to_vec());
    let odd = [49, 50, 51, 81, 82, 83].map(|len| long[..len].to_vec());
    let requests: Vec<_> = cut
        .chain(odd)
        .map(|octets| {
            let meaning = format!("{} octets", octets.len());
            (octets, meaning)
        })
        .collect();
    all_silent(bench, &requests)?;
    Ok(format!("{} requests of a wrong length got silence", requests.len()))
}

fn versions(bench: &mut Bench<'_>) -> Judgement {
    let mut served = Vec::new();
    for version in 1..=4 {
        let meaning = format!("version {version}");
        // Old versions may be left out; 4 may not, and 3 is what most of the old clients speak.
        let answer = if version >= 3 {
            Some(bench.ask(&header(version, 3), &meaning)?)
        } else {
            bench.try_ask(&header(version, 3), &meaning)?
        };
        let Some(answer) = answer else { continue };
        let found = answer.header.version;
        ensure(found == version, || format!("version {version} is answered by version {found}"))?;
        served.push(version.to_string());
    }
    Ok(format!("versions {} are answered in kind", served.join(", ")))
}

fn other_versions(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for version in [0, 5, 6, 7] {
        requests.push((header(version, 3), format!("version {version}")));
        let mut with_leap = header(version, 3);
        with_leap[0] |= 0xc0;
        requests.push((with_leap, format!("version {version} with leap 3")));
        requests.push((
            [header(version, 3), unique(32)].concat(),
            format!("version {version} with a field"),
        ));
    }
    all_silent(bench, &requests)?;
    Ok(format!("{} requests of other versions got silence", requests.len()))
}

fn origin(bench: &mut Bench<'_>) -> Judgement {
    let step = if bench.manner.deep { 1 } else { 9 };
    let single = (0..64).step_by(step).map(|bit| 1_u64 << bit);
    let mut count = 0;
    for asked in [0, u64::MAX, random_number(), random_number()].into_iter().chain(single) {
        let request = Header::request(asked).octets();
        let answer = bench.ask(&request, &format!("transmit time {asked:016x}"))?;
        let found = answer.header.origin;
        ensure(found == asked, || format!("origin {found:016x} for transmit {asked:016x}"))?;
        count += 1;
    }
    Ok(format!("{count} transmit times came back to the bit"))
}

fn stamps(bench: &mut Bench<'_>) -> Judgement {
    let mut longest = 0.0_f64;
    for _ in 0..8 {
        let answer = bench.time_for(&plain(), "an ordinary request")?;
        let flight = bench
            .last_flight()
            .ok_or_else(|| Objection::unclear("the answer is not written down"))?;
        let held = answer.header.transmit.wrapping_sub(answer.header.receive).cast_signed();
        ensure(held >= 0, || "receive is after transmit".to_owned())?;
        let held_s = held as f64 / 2_f64.powi(32);
        // Clocks read at the two ends of a short time differ by a little more than that time.
        ensure(held_s <= flight.as_secs_f64() + 0.002, || {
            format!(
                "the answer says it was held for {held_s:.6} s, and all the flight took {:.6} s",
                flight.as_secs_f64()
            )
        })?;
        longest = longest.max(held_s);
    }
    Ok(format!("requests were held for at most {:.1} µs, by the server's stamps", longest * 1e6))
}

fn mode_4(bench: &mut Bench<'_>) -> Judgement {
    for (request, meaning) in [
        (header(3, 3), "version 3"),
        (plain(), "version 4"),
        (plain_with(&field_octets(UNKNOWN, &[0x55; 24])), "an unknown field"),
    ] {
        let Some(answer) = bench.try_ask(&request, meaning)? else { continue };
        let mode = answer.header.mode;
        ensure(mode == 4, || format!("{meaning} is answered in mode {mode}"))?;
    }
    Ok("answers have mode 4".to_owned())
}

fn poll(bench: &mut Bench<'_>) -> Judgement {
    let polls = [-6, -1, 0, 3, 4, 6, 10, 17, 18, 36, 127, -128];
    for poll in polls {
        let request = Header { poll, ..Header::request(random_number()) }.octets();
        let found = bench.ask(&request, &format!("poll {poll}"))?.header.poll;
        ensure(found == poll, || format!("poll {found} for poll {poll}"))?;
    }
    Ok(format!("{} poll exponents came back", polls.len()))
}

fn synchronised(bench: &mut Bench<'_>) -> Judgement {
    let answer = bench.ask(&plain(), "an ordinary request")?;
    let Header { stratum, leap, .. } = answer.header;
    match (stratum, leap) {
        (1..=15, 0..=2) => Ok(format!("synchronised at stratum {stratum}, leap {leap}")),
        (0, 3) => Ok("not synchronised: stratum 0 and leap 3".to_owned()),
        _ => Err(Objection::fails(format!("stratum {stratum} with leap {leap}"))),
    }
}

fn precision(bench: &mut Bench<'_>) -> Judgement {
    let precision = bench.ask(&plain(), "an ordinary request")?.header.precision;
    ensure((-31..0).contains(&precision), || format!("precision {precision}"))?;
    Ok(format!("precision 2^{precision} s"))
}

fn dispersion(bench: &mut Bench<'_>) -> Judgement {
    let first = bench.time_for(&plain(), "an ordinary request")?.header;
    let (mut last, mut grew) = (first, false);
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_secs(2));
        let next = bench.time_for(&plain(), "an ordinary request")?.header;
        let shrank =
            next.root_dispersion < last.root_dispersion && next.reference == last.reference;
        ensure(!shrank, || {
            format!(
                "dispersion {} after {}, and the clock was not set between",
                next.root_dispersion, last.root_dispersion
            )
        })?;
        grew |= next.root_dispersion > last.root_dispersion;
        last = next;
    }
    if grew {
        Ok(format!(
            "dispersion went from {} to {} in 2^-16 s",
            first.root_dispersion, last.root_dispersion
        ))
    } else if first.stratum == 1 {
        Err(Objection::unbound("a primary's dispersion need not grow, and it did not"))
    } else {
        Err(Objection::unclear("dispersion did not change in a minute"))
    }
}

fn reference_id(bench: &mut Bench<'_>) -> Judgement {
    let Header { stratum, reference_id, .. } = bench.ask(&plain(), "an ordinary request")?.header;
    let end = reference_id.iter().position(|octet| *octet == 0).unwrap_or(4);
    let ascii = end > 0
        && reference_id[..end].iter().all(u8::is_ascii_graphic)
        && reference_id[end..].iter().all(|octet| *octet == 0);
    match stratum {
        0 => Err(Objection::unbound("the server is not synchronised")),
        1 if ascii => Ok(format!("stratum 1, `{}`", reference_id[..end].escape_ascii())),
        1 => Err(Objection::fails(format!("reference id {reference_id:02x?} at stratum 1"))),
        _ if reference_id != [0; 4] => Ok(format!("stratum {stratum}, {reference_id:02x?}")),
        _ => Err(Objection::fails(format!("no reference id at stratum {stratum}"))),
    }
}

fn reference_time(bench: &mut Bench<'_>) -> Judgement {
    let mut oldest = 0.0_f64;
    for _ in 0..3 {
        let header = bench.time_for(&plain(), "an ordinary request")?.header;
        if header.reference == 0 {
            continue;
        }
        let ago = header.transmit.wrapping_sub(header.reference).cast_signed();
        ensure(ago >= 0, || {
            format!("the clock will be set {:.6} s from now", -(ago as f64) / 2_f64.powi(32))
        })?;
        oldest = oldest.max(ago as f64 / 2_f64.powi(32));
    }
    Ok(format!("the clock was set up to {oldest:.3} s ago"))
}

fn no_ping_pong(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for mode in [0, 2, 4] {
        for version in 1..=4 {
            if (version, mode) != (1, 0) {
                requests.push((header(version, mode), format!("version {version}, mode {mode}")));
            }
        }
        requests
            .push(([header(4, mode), unique(32)].concat(), format!("mode {mode} with a field")));
    }
    let own = bench.ask(&plain(), "an ordinary request")?;
    requests.push((own.octets, "the server's own answer".to_owned()));
    all_silent(bench, &requests)?;
    // Clients of RFC 1059 sent mode 0, so some servers answer it, in mode 4 and in their version alone.
    let old = bench.silence(&[(header(1, 0), "version 1, mode 0".to_owned())])?;
    match old.first().and_then(Option::as_ref) {
        None => Ok(format!("{} requests that could be answers got silence", requests.len() + 1)),
        Some(answer) if answer.header.mode == 4 => Err(Objection::deviates(
            "mode 0 of version 1 is answered, as clients of RFC 1059 expect; all others get silence",
        )),
        Some(answer) => {
            Err(Objection::fails(format!("version 1, mode 0 is answered: {}", answer.shown())))
        }
    }
}

fn symmetric_active(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for version in 1..=4 {
        requests.push((header(version, 1), format!("version {version}, mode 1")));
        requests.push((
            [header(version, 1), mac(16)].concat(),
            format!("version {version}, mode 1 and a MAC"),
        ));
    }
    let answers = bench.silence(&requests)?;
    let mut passive = 0;
    for ((request, meaning), answer) in requests.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        let as_peer = answer.header.mode == 2 && answer.octets.len() <= request.len();
        ensure(as_peer, || format!("{meaning} is answered: {}", answer.shown()))?;
        passive += 1;
    }
    if passive > 0 {
        return Err(Objection::deviates(format!(
            "a stranger in mode 1 is answered in mode 2, {passive} times, and nothing longer"
        )));
    }
    Ok("a stranger in mode 1 got silence".to_owned())
}

fn broadcast(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for version in 1..=4 {
        requests.push((header(version, 5), format!("version {version}, mode 5")));
        requests.push((
            [header(version, 5), mac(16)].concat(),
            format!("version {version}, mode 5 and a MAC"),
        ));
    }
    all_silent(bench, &requests)?;
    Ok("broadcasts got silence".to_owned())
}

/// Requests of modes 6 and 7.
pub fn of_operators(version: u8, longest: usize) -> Vec<(Vec<u8>, String)> {
    let mut requests = Vec::new();
    for (operation, name) in [
        (1, "read status"),
        (2, "read variables"),
        (3, "write variables"),
        (10, "read MRU list"),
        (12, "request a nonce"),
    ] {
        for len in [12, longest] {
            let mut control = vec![version << 3 | 6, operation];
            control.resize(len, 0);
            requests.push((control, format!("mode 6, {name}, {len} octets")));
        }
    }
    for (code, name) in
        [(0x2a, "monlist"), (0, "list of peers"), (1, "peers"), (0x10, "restrictions")]
    {
        for len in [8, longest] {
            let mut private = vec![version << 3 | 7, 0, 3, code];
            private.resize(len, 0);
            requests.push((private, format!("mode 7, {name}, {len} octets")));
        }
    }
    requests
}

fn control_modes(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = of_operators(4, 192);
    requests.push((vec![0x17, 0, 3, 0x2a, 0, 0, 0, 0], "monlist as attackers send it".to_owned()));
    all_silent(bench, &requests)?;
    Ok(format!("{} control and private requests got silence", requests.len()))
}

fn no_mac(bench: &mut Bench<'_>) -> Judgement {
    let unknown = field_octets(UNKNOWN, &[0x55; 44]);
    for (request, meaning) in [
        (header(3, 3), "version 3"),
        (plain(), "version 4"),
        (plain_with(&unknown), "an unknown field"),
        (plain_with(&unique(32)), "a unique identifier"),
    ] {
        let Some(answer) = bench.try_ask(&request, meaning)? else { continue };
        // A MAC has 20 or 24 octets, and every field of an answer more.
        let mac = !answer.rest.is_empty()
            || answer.fields.last().is_some_and(|field| field.body.len() < 24);
        ensure(!mac, || format!("{meaning} is answered by more than fields: {}", answer.shown()))?;
    }
    Ok("no MAC came unasked".to_owned())
}

fn bad_mac(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for (version, digest) in [(3, 16), (3, 20), (4, 16), (4, 20)] {
        let request = [header(version, 3), mac(digest)].concat();
        requests.push((request, format!("version {version}, a MAC of {} octets", digest + 4)));
    }
    let answers = bench.silence(&requests)?;
    let mut naks = 0;
    for ((_, meaning), answer) in requests.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        let is_nak = answer.octets.len() == 52 && answer.rest == [0; 4];
        ensure(is_nak || !answer.gives_time(), || {
            format!("{meaning} gets time as if nothing were behind the header: {}", answer.shown())
        })?;
        naks += usize::from(is_nak);
    }
    Ok(if naks > 0 { format!("{naks} crypto-NAKs") } else { "silence".to_owned() })
}

fn noise(bench: &mut Bench<'_>) -> Judgement {
    let mut ones = [0_u32; 64];
    let mut precision = 0;
    let rounds = 2000;
    for _ in 0..rounds {
        let header = bench.time_for(&plain(), "an ordinary request")?.header;
        precision = header.precision;
        for (bit, ones) in ones.iter_mut().enumerate() {
            *ones += u32::from(header.transmit >> bit & 1 == 1);
        }
    }
    let below = usize::try_from(32 + i32::from(precision)).unwrap_or(0).min(32);
    if below == 0 {
        return Err(Objection::unbound(format!(
            "precision 2^{precision} s leaves no bits to fill"
        )));
    }
    // Six standard deviations of a fair coin: none of 32 bits goes beyond that by chance.
    let bound = 6.0 * (f64::from(rounds) / 4.0).sqrt();
    for (bit, ones) in ones.iter().enumerate().take(below).skip(1) {
        let off = f64::from(*ones) - f64::from(rounds) / 2.0;
        ensure(off.abs() <= bound, || {
            format!("bit {bit} of transmit is one in {ones} of {rounds} answers")
        })?;
    }
    // Servers of interleaved mode tell their receive and transmit times apart by it (chrony and others).
    if ones[0] == 0 || ones[0] == rounds {
        return Err(Objection::deviates(format!(
            "the last bit, 0.23 ns, is always the same; the other bits below 2^{precision} s are even over {rounds} answers"
        )));
    }
    Ok(format!("{below} bits below the precision are even over {rounds} answers"))
}

/// Answers of the run so far for which this does not hold.
fn offenders<'b>(
    bench: &'b Bench<'_>,
    holds: impl Fn(&crate::server::bench::Exchange, std::net::SocketAddr, &[u8]) -> bool,
) -> Vec<(&'b [u8], &'b [u8])> {
    let mut found = Vec::new();
    for exchange in &bench.history {
        for (from, octets) in &exchange.got {
            if !holds(exchange, *from, octets) {
                found.push((&exchange.sent[..], &octets[..]));
            }
        }
    }
    found
}

fn answers(bench: &Bench<'_>) -> usize {
    bench.history.iter().map(|exchange| exchange.got.len()).sum()
}

fn never_longer(bench: &mut Bench<'_>) -> Judgement {
    // A few that are large and odd, besides all that was asked before.
    for first in [0x13_u8, 0x1b, 0x23] {
        let mut request = random(48 + 180);
        request[0] = first;
        bench.gather(&request, "noise behind a header", bench.manner.patience / 10)?;
        bench.gather(&header(first >> 3, 3), "an ordinary request", bench.manner.patience)?;
    }
    let longer = offenders(bench, |exchange, _, octets| octets.len() <= exchange.sent.len());
    if let Some((request, answer)) = longer.first() {
        let said = format!(
            "{} octets for {}: {}",
            answer.len(),
            request.len(),
            Answer::read(answer).shown()
        );
        return Err(Objection::fails(said));
    }
    Ok(format!("none of {} answers was longer than its request", answers(bench)))
}

fn same_address(bench: &mut Bench<'_>) -> Judgement {
    let from_elsewhere = offenders(bench, |exchange, from, _| exchange.to.ip() == from.ip());
    ensure(from_elsewhere.is_empty(), || {
        format!("{} answers came from another address", from_elsewhere.len())
    })?;
    Ok(format!("{} answers came from the address asked", answers(bench)))
}

fn same_port(bench: &mut Bench<'_>) -> Judgement {
    let from_elsewhere = offenders(bench, |exchange, from, _| exchange.to.port() == from.port());
    ensure(from_elsewhere.is_empty(), || {
        format!("{} answers came from another port", from_elsewhere.len())
    })?;
    Ok(format!("{} answers came from the port asked", answers(bench)))
}

fn own_port(bench: &mut Bench<'_>) -> Judgement {
    let of_peers: Vec<_> = bench
        .history
        .iter()
        .filter(|exchange| {
            exchange.sent.first().is_some_and(|first| matches!(first & 7, 1 | 2 | 5))
        })
        .filter(|exchange| !exchange.got.is_empty())
        .collect();
    if of_peers.is_empty() {
        return Err(Objection::unbound("nothing is said in modes 1, 2 and 5"));
    }
    let foreign = of_peers
        .iter()
        .any(|exchange| exchange.got.iter().any(|(from, _)| from.port() != exchange.to.port()));
    ensure(!foreign, || "an answer to mode 1 came from another port".to_owned())?;
    Ok(format!("{} answers to mode 1 came from the port asked", of_peers.len()))
}

fn kiss_shape(bench: &mut Bench<'_>) -> Judgement {
    let mut codes = Vec::new();
    for exchange in &bench.history {
        for (_, octets) in &exchange.got {
            let header = Header::read(octets).unwrap_or_default();
            let is_answer =
                header.mode == 4 && header.stratum == 0 && header.reference_id != [0; 4];
            // What starting servers say is no kiss.
            if !is_answer || header.reference_id == *b"INIT" || header.reference_id == *b"STEP" {
                continue;
            }
            let code = header.reference_id;
            let ascii = code[..3].iter().all(u8::is_ascii_uppercase)
                && (code[3].is_ascii_uppercase() || code[3] == 0);
            ensure(ascii, || format!("a kiss of {code:02x?}"))?;
            ensure(header.leap == 3, || {
                format!("kiss {} with leap {}", code.escape_ascii(), header.leap)
            })?;
            codes.push(code.escape_ascii().to_string());
        }
    }
    codes.sort_unstable();
    let count = codes.len();
    codes.dedup();
    if codes.is_empty() {
        return Err(Objection::unbound("no kiss was seen in this run"));
    }
    Ok(format!("{count} kisses of leap 3: {}", codes.join(", ")))
}

fn few_kisses(bench: &mut Bench<'_>) -> Judgement {
    let (requests, mut kisses) = (200_u32, 0_u32);
    let socket = bench.port()?;
    for _ in 0..requests {
        let answer = bench.ask_from(&socket, bench.target.ntp, &plain(), "one of many")?;
        kisses += u32::from(answer.is_some_and(|answer| answer.header.kiss().is_some()));
    }
    if kisses == 0 {
        return Err(Objection::unbound(format!("no kiss for {requests} requests")));
    }
    ensure(kisses <= requests / 2, || format!("{kisses} kisses for {requests} requests"))?;
    Ok(format!("{kisses} kisses for {requests} requests"))
}

fn exponents(bench: &mut Bench<'_>) -> Judgement {
    let step = if bench.manner.deep { 1 } else { 17 };
    let mut count = 0;
    for octet in (0..=255_u8).step_by(step).chain([63, 64, 65, 127, 128]) {
        let mut request = plain();
        (request[2], request[3]) = (octet, octet);
        bench.time_for(&request, &format!("poll and precision {octet:02x}"))?;
        count += 1;
    }
    for word in [u32::MAX, 1 << 31] {
        let request =
            Header { root_delay: word, root_dispersion: word, ..Header::request(random_number()) };
        bench.time_for(&request.octets(), &format!("root delay and dispersion {word:08x}"))?;
    }
    Ok(format!("{count} pairs of exponents got time"))
}

/// A field nobody knows, `len` octets in all.
pub fn unknown_of(len: usize) -> Vec<u8> {
    field::claiming(UNKNOWN, len, &vec![0x55; len.saturating_sub(4)])
}
