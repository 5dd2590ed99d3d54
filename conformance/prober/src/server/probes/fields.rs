//! Extension fields and what may be taken for one (EF-*).

use std::time::Duration;

use super::wire::{all_silent, header, mac, plain_with, unique, unknown_of};
use super::{Bench, Judgement, Needs, Probe, Turn, at, probe};
use crate::octets::field::{
    AUTHENTICATOR, COMPLEMENT, COOKIE, EXPERIMENTAL, Field, UNIQUE, UNKNOWN, claiming, cut, field,
};
use crate::octets::header::Header;
use crate::octets::protected::authenticator;
use crate::server::answer::{Answer, shown};
use crate::server::bench::{random, random_number};
use crate::server::judgement::{Objection, ensure};

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("EF-01", Needs::Plain, "requests with one and two unknown fields and no MAC", "time", without_mac),
    probe("EF-02", Needs::Plain, "fields that claim 0, 1, 3, 5, 17, 18, 29, 30 and 31 octets", "silence", odd_lengths),
    probe("EF-03", Needs::Plain, "fields that claim more octets than there are", "silence", past_the_end),
    probe("EF-04", Needs::Plain, "a field of 4, 8 or 12 octets before one that has an identifier inside", "no answer that shows the identifier", below_16),
    probe("EF-05", Needs::Plain, "one field of 16, 20 or 24 octets and no MAC", "nothing that takes it for a field", lone_field),
    probe("EF-06", Needs::Plain, "several fields, the last of 28 octets or of fewer", "time, or nothing that takes them for fields", last_field),
    probe("EF-07", Needs::Plain, "4, 8, 12, 20, 24, 28, 32, 36 and 40 octets behind the header", "a field from 28 on, no time to 4, 8 and 12, no echo to 20 and 24", what_is_left),
    probe("EF-08", Needs::Plain, "MACs of 32 to 68 octets with an unknown key and no field", "no time", long_mac),
    probe("EF-09", Needs::Nts, "NTS and a MAC behind it", "no time", two_macs),
    probe("EF-10", Needs::Plain, "a field of 28 octets of unknown types", "time", unknown),
    probe("EF-11", Needs::Plain, "unknown fields, alone and beside an identifier", "answers without them", not_echoed),
    probe("EF-12", Needs::Plain, "64 fields, and one of 1400 octets", "answered or dropped, and the next request served at once", many_and_large),
    probe("EF-13", Needs::Plain, "versions 1 to 3 with an identifier behind the header", "nothing that takes it for a field", before_version_4),
    probe("EF-14", Needs::Plain, "a lone field 0x0204, as Autokey had it", "neither NTS nor NTSN", autokey),
    at(Turn::Last, probe("EF-15", Needs::Plain, "all requests of this run", "answers without fields of 0xF000 and above", experimental)),
    probe("EF-16", Needs::Nts, "encrypted fields of 4, 8 and 12 octets", "time", short_encrypted),
    probe("EF-17", Needs::Plain, "two identifiers; under NTS two authenticators", "silence", twice),
    probe("EF-18", Needs::Plain, "a checksum complement of 28 octets, alone and under NTS", "time", complement),
];

fn without_mac(bench: &mut Bench<'_>) -> Judgement {
    for (tail, meaning) in [
        (unknown_of(48), "one field of 48 octets"),
        ([unknown_of(16), unknown_of(68)].concat(), "two fields, 16 and 68 octets"),
    ] {
        answered_or_deviates(bench, &plain_with(&tail), meaning)?;
    }
    Ok("fields without a MAC are served".to_owned())
}

/// Time must come; a server that drops all unknown fields on plain NTP is known to (NTPsec), and harms nobody.
fn answered_or_deviates(
    bench: &mut Bench<'_>,
    request: &[u8],
    meaning: &str,
) -> Result<Answer, Objection> {
    if let Some(answer) = bench.try_ask(request, meaning)? {
        ensure(answer.header.kiss().is_none(), || {
            format!("no time for {meaning}: {}", answer.shown())
        })?;
        return Ok(answer);
    }
    let another = field(0x0002, &[0x55; 60]);
    if bench.try_ask(&plain_with(&another), "any field at all")?.is_none() {
        return Err(Objection::deviates(format!(
            "{meaning} gets silence, as does every plain request with fields; those without are served"
        )));
    }
    Err(Objection::fails(format!("{meaning} gets silence, other fields do not")))
}

fn odd_lengths(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for claimed in [0, 1, 3, 5, 17, 18, 29, 30, 31] {
        let odd = claiming(UNKNOWN, claimed, &[0x55; 28]);
        requests.push((plain_with(&odd), format!("a field that claims {claimed} octets")));
        requests.push((
            plain_with(&[odd, unique(32)].concat()),
            format!("one that claims {claimed}, then an identifier"),
        ));
    }
    all_silent(bench, &requests)?;
    Ok(format!("{} requests with impossible lengths got silence", requests.len()))
}

fn past_the_end(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for claimed in [0xfffc, 0x8000, 104, 56] {
        requests.push((
            plain_with(&claiming(UNKNOWN, claimed, &[0x55; 48])),
            format!("52 octets that claim {claimed}"),
        ));
        let second = [unknown_of(16), claiming(UNKNOWN, claimed, &[0x55; 32])].concat();
        requests.push((plain_with(&second), format!("a second field that claims {claimed}")));
    }
    all_silent(bench, &requests)?;
    Ok(format!("{} requests with fields past the end got silence", requests.len()))
}

/// Answers in which the server shows that it took something for a field.
fn framed(answer: Option<&Answer>) -> bool {
    answer.is_some_and(|answer| !answer.fields.is_empty())
}

fn below_16(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = Vec::new();
    for short in [4, 8, 12] {
        // Whoever reads the short field as one of 16 octets finds an identifier inside the second.
        let inside = [vec![0x55; 12 - short], unique(32)].concat();
        let request = plain_with(&[unknown_of(short), field(UNKNOWN, &inside)].concat());
        requests.push((request, format!("a field of {short} octets, then another")));
    }
    for ((_, meaning), answer) in requests.iter().zip(bench.silence(&requests)?) {
        ensure(!framed(answer.as_ref()), || format!("{meaning}: {}", shown(answer.as_ref())))?;
    }
    Ok("short fields frame nothing".to_owned())
}

fn lone_field(bench: &mut Bench<'_>) -> Judgement {
    let unknown = [16, 20, 24]
        .map(|len| (plain_with(&unknown_of(len)), format!("one field of {len} octets")));
    let mut taken = Vec::new();
    for ((_, meaning), answer) in unknown.iter().zip(bench.silence(&unknown)?) {
        if answer.as_ref().is_some_and(Answer::gives_time) {
            taken.push(meaning.clone());
        }
    }
    if taken.is_empty() {
        return Ok("fields of 16, 20 and 24 octets alone get no time".to_owned());
    }
    // Passing over whatever stands there is not the same as taking it for a field.
    let identifiers = [12, 16, 20]
        .map(|len| (plain_with(&unique(len)), format!("an identifier of {len} octets")));
    let echoed = bench.silence(&identifiers)?.iter().any(|answer| framed(answer.as_ref()));
    let garbage =
        bench.silence(&[(plain_with(&[0xff; 16]), "16 octets that are no field".to_owned())])?;
    let passes_over = garbage.iter().flatten().any(Answer::gives_time);
    if !echoed && passes_over {
        return Err(Objection::deviates(
            "short tails are passed over, whatever they are, and nothing of them comes back",
        ));
    }
    Err(Objection::fails(format!("taken for fields: {}", taken.join(", "))))
}

fn last_field(bench: &mut Bench<'_>) -> Judgement {
    let of = |lens: &[usize]| {
        plain_with(&lens.iter().flat_map(|len| unknown_of(*len)).collect::<Vec<_>>())
    };
    let not_framed: Vec<_> = [&[28, 16][..], &[16, 16], &[28, 20], &[28, 24], &[44, 28, 16]]
        .iter()
        .map(|lens| (of(lens), format!("fields of {lens:?} octets")))
        .collect();
    let mut taken = Vec::new();
    for ((_, meaning), answer) in not_framed.iter().zip(bench.silence(&not_framed)?) {
        if answer.as_ref().is_some_and(Answer::gives_time) {
            taken.push(meaning.clone());
        }
    }
    for lens in [&[16, 28][..], &[16, 16, 28], &[20, 24, 28], &[28, 44]] {
        answered_or_deviates(bench, &of(lens), &format!("fields of {lens:?} octets"))?;
    }
    if taken.is_empty() {
        return Ok("a last field of 28 octets is taken, a shorter one is not".to_owned());
    }
    let garbage = [of(&[28]), vec![0xff; 16]].concat();
    let garbage =
        bench.silence(&[(garbage, "a field, then 16 octets that are none".to_owned())])?;
    if garbage.iter().flatten().any(Answer::gives_time) {
        return Err(Objection::deviates("whatever stands behind the fields is passed over"));
    }
    Err(Objection::fails(format!("taken though the last is too short: {}", taken.join(", "))))
}

fn what_is_left(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = vec![(plain_with(&[0; 4]), "4 octets of zeros".to_owned())];
    for len in [8, 12] {
        requests.push((plain_with(&vec![0; len]), format!("{len} octets of zeros")));
        requests
            .push((plain_with(&unknown_of(len)), format!("{len} octets that claim to be a field")));
    }
    let mut passed = 0;
    for ((_, meaning), answer) in requests.iter().zip(bench.silence(&requests)?) {
        let Some(answer) = answer else { continue };
        ensure(answer.octets.len() <= LONGEST_BARE, || format!("{meaning}: {}", answer.shown()))?;
        passed += usize::from(answer.gives_time());
    }
    // 20 and 24 octets are a MAC, even if they could be an identifier: nothing of them comes back.
    let macs = [20, 24].map(|len| {
        (plain_with(&unique(len - 4)), format!("{len} octets that could be an identifier"))
    });
    for ((_, meaning), answer) in macs.iter().zip(bench.silence(&macs)?) {
        let echoed = answer.as_ref().is_some_and(|answer| answer.has(UNIQUE));
        ensure(!echoed, || format!("{meaning} come back: {}", shown(answer.as_ref())))?;
    }
    for len in [28, 32, 36, 40] {
        answered_or_deviates(
            bench,
            &plain_with(&unknown_of(len)),
            &format!("a field of {len} octets"),
        )?;
    }
    if passed > 0 {
        return Err(Objection::deviates(format!(
            "{passed} of {} tails that are neither field nor MAC are passed over",
            requests.len()
        )));
    }
    Ok("from 28 octets on it is a field, 20 and 24 are a MAC, anything less gets no time"
        .to_owned())
}

/// A header, and a crypto-NAK behind it.
const LONGEST_BARE: usize = 52;

fn long_mac(bench: &mut Bench<'_>) -> Judgement {
    let requests = [28, 32, 48, 64]
        .map(|digest| (plain_with(&mac(digest)), format!("a MAC of {} octets", digest + 4)));
    for ((_, meaning), answer) in requests.iter().zip(bench.silence(&requests)?) {
        let time = answer.as_ref().is_some_and(Answer::gives_time);
        ensure(!time, || format!("{meaning} gets time: {}", shown(answer.as_ref())))?;
    }
    Ok("no time".to_owned())
}

/// The only field that asks for an algorithm is the NTS authenticator; a MAC behind it asks for another.
fn two_macs(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    let requests = [16, 20].map(|digest| {
        (
            session.request_with(|draft| draft.after = mac(digest)),
            format!("a MAC of {} octets behind NTS", digest + 4),
        )
    });
    for ((_, meaning), answer) in requests.iter().zip(bench.nts_silence(&session, &requests)?) {
        let time = answer.as_ref().is_some_and(Answer::gives_time);
        ensure(!time, || format!("{meaning} gets time: {}", shown(answer.as_ref())))?;
    }
    Ok("no time".to_owned())
}

fn unknown(bench: &mut Bench<'_>) -> Judgement {
    for kind in [EXPERIMENTAL, UNKNOWN, 0x0002, 0x8002, 0xffff] {
        answered_or_deviates(
            bench,
            &plain_with(&field(kind, &[0x55; 24])),
            &format!("a field of type {kind:04x}"),
        )?;
    }
    Ok("unknown fields are passed over and the request is answered".to_owned())
}

fn not_echoed(bench: &mut Bench<'_>) -> Judgement {
    let body = b"something the server does not know..";
    for kind in [UNKNOWN, 0x0002] {
        let unknown = Field::new(kind, body.to_vec()).octets();
        for request in [plain_with(&unknown), plain_with(&[unknown.clone(), unique(32)].concat())] {
            let Some(answer) = bench.try_ask(&request, &format!("a field of type {kind:04x}"))?
            else {
                continue;
            };
            let echoed = answer.has(kind) || answer.octets.windows(16).any(|at| at == &body[..16]);
            ensure(!echoed, || format!("type {kind:04x} comes back: {}", answer.shown()))?;
        }
    }
    Ok("no unknown field came back".to_owned())
}

fn many_and_large(bench: &mut Bench<'_>) -> Judgement {
    let mut longest = Duration::ZERO;
    for (tail, meaning) in [
        ([unknown_of(16).repeat(63), unknown_of(28)].concat(), "64 fields"),
        (unknown_of(1400), "a field of 1400 octets"),
    ] {
        // The fastest of three, so that a busy machine is not taken for a busy server.
        let mut fastest = Duration::MAX;
        for _ in 0..3 {
            // A server may drop them; what it may not is spend long on them.
            if bench.try_ask(&plain_with(&tail), meaning)?.is_none() {
                break;
            }
            fastest = fastest.min(bench.last_flight().unwrap_or_default());
        }
        if fastest < Duration::MAX {
            longest = longest.max(fastest);
        }
    }
    bench.control()?;
    let alone = bench.last_flight().unwrap_or_default();
    ensure(longest < alone * 4 + Duration::from_millis(20), || {
        format!("many fields take {longest:?}, an ordinary request {alone:?}")
    })?;
    Ok(format!("many fields took {longest:?}, an ordinary request {alone:?}"))
}

fn before_version_4(bench: &mut Bench<'_>) -> Judgement {
    let requests: Vec<_> = (1..4)
        .map(|version| {
            (
                [header(version, 3), unique(32)].concat(),
                format!("version {version} with 36 octets behind the header"),
            )
        })
        .collect();
    for ((_, meaning), answer) in requests.iter().zip(bench.silence(&requests)?) {
        let as_fields = framed(answer.as_ref()) || answer.as_ref().is_some_and(Answer::is_ntsn);
        ensure(!as_fields, || format!("{meaning}: {}", shown(answer.as_ref())))?;
    }
    Ok("before version 4 there are no fields".to_owned())
}

/// In Autokey 0x0204 was a message too (RFC 5906 §10); it has no authenticator behind it.
fn autokey(bench: &mut Bench<'_>) -> Judgement {
    let requests = [
        (plain_with(&field(COOKIE, &[0x66; 100])), "a lone 0x0204 of 104 octets".to_owned()),
        (plain_with(&field(COOKIE, &[0x66; 24])), "a lone 0x0204 of 28 octets".to_owned()),
        (
            plain_with(&[unique(32), field(COOKIE, &[0x66; 100])].concat()),
            "an identifier and 0x0204".to_owned(),
        ),
        (
            plain_with(&[field(COOKIE, &[0x66; 100]), unknown_of(28)].concat()),
            "0x0204 and another field".to_owned(),
        ),
    ];
    for ((_, meaning), answer) in requests.iter().zip(bench.silence(&requests)?) {
        let as_nts = answer.as_ref().is_some_and(|answer| answer.is_nts() || answer.is_ntsn());
        ensure(!as_nts, || format!("{meaning}: {}", shown(answer.as_ref())))?;
    }
    Ok("a cookie without authenticator is no NTS".to_owned())
}

fn experimental(bench: &mut Bench<'_>) -> Judgement {
    let asking = field(0xf5ff, b"draft-ietf-ntp-ntpv5-08.");
    for tail in [asking.clone(), [unique(32), asking].concat()] {
        bench.try_ask(&plain_with(&tail), "a draft identification")?;
    }
    let mut answers = 0;
    for exchange in &bench.history {
        for (_, octets) in &exchange.got {
            answers += 1;
            let fields = cut(octets.get(48..).unwrap_or_default()).0;
            let sent = fields.iter().find(|field| field.kind >= 0xf000);
            ensure(sent.is_none(), || format!("an answer has {sent:02x?}"))?;
        }
    }
    Ok(format!("none of {answers} answers had an experimental field"))
}

fn short_encrypted(bench: &mut Bench<'_>) -> Judgement {
    for session in bench.sessions()? {
        for lens in [&[0][..], &[4], &[8, 0, 0]] {
            let short = lens.iter().map(|len| Field::new(UNKNOWN, vec![0x55; *len]));
            let request = session.request_with(|draft| draft.inner.extend(short));
            let meaning =
                format!("encrypted fields with bodies of {lens:?} octets, AEAD {}", session.aead());
            if bench
                .ask_nts(&session, &request, &meaning)?
                .is_some_and(|answer| answer.header.kiss().is_none())
            {
                continue;
            }
            // NTPsec takes nothing encrypted in a request, of whatever length.
            let long =
                session.request_with(|draft| draft.inner.push(Field::new(UNKNOWN, vec![0x55; 28])));
            let takes_any = bench.ask_nts(&session, &long, "an encrypted field of 32 octets")?;
            bench.nts_control(&session)?;
            return Err(if takes_any.is_some_and(|answer| answer.header.kiss().is_none()) {
                Objection::fails(format!("no time for {meaning}, though longer ones are taken"))
            } else {
                Objection::deviates("nothing encrypted is taken in a request, of whatever length")
            });
        }
    }
    Ok("encrypted fields of 4 octets and more are taken".to_owned())
}

fn twice(bench: &mut Bench<'_>) -> Judgement {
    let requests = [
        (plain_with(&unique(32).repeat(2)), "the same identifier twice".to_owned()),
        (plain_with(&[unique(32), unique(64)].concat()), "two identifiers".to_owned()),
    ];
    all_silent(bench, &requests)?;
    if bench.target.ke.is_none() {
        return Ok("two identifiers got silence".to_owned());
    }
    let Ok(session) = bench.session() else {
        let says = "two identifiers got silence; there is no NTS to try two authenticators";
        return Ok(says.to_owned());
    };
    // The second authenticator is as good as the first: it covers all before it.
    let first = session.request(0);
    let nonce = random(session.keys.cipher.nonce_len());
    let sealed =
        session.keys.cipher.seal(&session.keys.c2s, &first, &nonce, &[]).unwrap_or_default();
    let second = [first, authenticator(&nonce, &sealed, 0)].concat();
    let doubled = session.request_with(|draft| draft.clear.push(Field::new(UNIQUE, random(32))));
    let requests = [
        (second, "two authenticators".to_owned()),
        (doubled, "two identifiers under NTS".to_owned()),
    ];
    let answers = bench.nts_silence(&session, &requests)?;
    let [authenticators, identifiers] = &answers[..] else {
        return Err(Objection::unclear("answers are missing"));
    };
    // What follows the first authenticator is to be discarded (RFC 8915 §5.7), so time is a right answer to two of them.
    if let Some(answer) = identifiers {
        let as_nts = answer.has(AUTHENTICATOR);
        ensure(!as_nts, || format!("two identifiers are answered: {}", answer.shown()))?;
    }
    if let Some(answer) = authenticators
        && answer.gives_time()
    {
        return Err(Objection::deviates(
            "a second authenticator is discarded with all that follows the first",
        ));
    }
    Ok("two identifiers and two authenticators got no time".to_owned())
}

fn complement(bench: &mut Bench<'_>) -> Judgement {
    let complement = Field::new(COMPLEMENT, vec![0; 24]);
    answered_or_deviates(bench, &plain_with(&complement.octets()), "a checksum complement")?;
    let request =
        [Header::request(random_number()).octets(), unknown_of(16), complement.octets()].concat();
    answered_or_deviates(bench, &request, "a field and a checksum complement")?;
    if bench.target.ke.is_some()
        && let Ok(session) = bench.session()
    {
        let request = session.request_with(|draft| draft.clear.push(complement));
        bench.nts_time(&session, &request, "a checksum complement under NTS")?;
    }
    Ok("the complement is passed over".to_owned())
}
