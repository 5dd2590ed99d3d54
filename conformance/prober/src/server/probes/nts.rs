//! Requests under NTS, right and wrong, and the shape of their answers (NS-*).

use std::collections::HashSet;

use super::wire::header;
use super::{Bench, Judgement, Needs, Probe, Turn, at, probe};
use crate::octets::cipher::Cipher;
use crate::octets::field::{AUTHENTICATOR, COOKIE, Field, PLACEHOLDER, UNIQUE, UNKNOWN, cut, join};
use crate::octets::protected::{Parts, authenticator};
use crate::server::answer::{Answer, shown};
use crate::server::bench::random;
use crate::server::judgement::{Objection, ensure};
use crate::server::session::Session;

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("NS-01", Needs::Nts, "identifiers of 32, 36, 64 and 200 octets", "the same, once, in clear and before the authenticator", identifiers),
    at(Turn::Last, probe("NS-02", Needs::Plain, "all requests of this run with one identifier, plain and under NTS", "each answer has it", identifier_everywhere)),
    probe("NS-03", Needs::Nts, "requests with each algorithm", "one authenticator, made with the S2C key", sealed_by_s2c),
    probe("NS-04", Needs::Nts, "0 to 7 placeholders", "1 to 1 + placeholders cookies, all encrypted", cookies),
    probe("NS-05", Needs::Nts, "0 to 7 placeholders", "1 + placeholders cookies", cookie_count),
    probe("NS-07", Needs::Nts, "a placeholder 4 octets shorter or longer than the cookie, and an empty one", "one cookie or silence, nothing longer than the request", odd_placeholder),
    probe("NS-08", Needs::Nts, "placeholders of ones and of random octets", "two cookies", placeholder_content),
    probe("NS-09", Needs::Nts, "placeholders inside the ciphertext", "a cookie for each", encrypted_placeholders),
    probe("NS-10", Needs::Nts, "nonces of 1, 8 and 12 octets with too little padding", "no time; time where the padding makes up for it", nonce_room),
    probe("NS-11", Needs::Nts, "nonces of 1, 12, 17, 20 and 32 octets", "time", nonce_lengths),
    probe("NS-12", Needs::Nts, "a good request with one bit changed, for bits all over it", "no time", changed_bits),
    probe("NS-13", Needs::Nts, "an unknown field and a placeholder behind the authenticator", "time, and one cookie", trailing),
    at(Turn::Last, probe("NS-17", Needs::Nts, "all requests under NTS of this run", "no answer longer than its request", never_longer)),
    probe("NS-18", Needs::Nts, "0 to 7 placeholders", "answers as long as their requests, without padding inside the authenticator", same_length),
    probe("NS-19", Needs::Nts, "a good cookie in modes 0 to 2 and 4 to 7", "nothing of NTS", other_modes),
    probe("NS-20", Needs::Nts, "all subsets of identifier, cookie and authenticator", "an answer of NTS to the whole set only", parts),
    probe("NS-21", Needs::Nts, "two cookies; two authenticators", "silence", two_cookies),
    probe("NS-22", Needs::Nts, "identifiers of 12, 16 and 28 octets", "no time", short_identifier),
    probe("NS-24", Needs::Nts, "the same request again and again", "another nonce in each answer", nonces),
];

fn identifiers(bench: &mut Bench<'_>) -> Judgement {
    let mut lens_taken = Vec::new();
    for session in bench.sessions()? {
        for len in [32, 36, 64, 200] {
            let unique = random(len);
            let request = session.request_with(|draft| draft.clear[0].body.clone_from(&unique));
            let meaning = format!("an identifier of {len} octets");
            let answer = bench.ask_nts(&session, &request, &meaning)?;
            let Some(answer) = answer.filter(|answer| !answer.is_ntsn()) else {
                bench.nts_control(&session)?;
                ensure(len > 64, || format!("no time for {meaning}"))?;
                // RFC 8915 §5.3 has no upper bound; NTPsec takes 64 octets at most.
                return Err(Objection::deviates(format!(
                    "identifiers of {len} octets are dropped, those up to 64 come back"
                )));
            };
            let open = session.open(&answer)?;
            let in_clear: Vec<_> = open.clear.iter().filter(|field| field.kind == UNIQUE).collect();
            let unchanged = matches!(in_clear[..], [field] if field.body == unique);
            ensure(unchanged && open.all(UNIQUE).len() == 1, || {
                format!("{meaning}: {}", answer.shown())
            })?;
            lens_taken.push(len);
        }
    }
    Ok(format!("{} identifiers of 32 to 200 octets came back", lens_taken.len()))
}

fn identifier_everywhere(bench: &mut Bench<'_>) -> Judgement {
    for len in [32, 64] {
        let request = super::wire::plain_with(&super::wire::unique(len));
        bench.try_ask(&request, &format!("plain NTP with an identifier of {len} octets"))?;
    }
    let (mut echoed, mut bare) = (0, None);
    for exchange in &bench.history {
        let version_4_client = exchange.sent.first().is_some_and(|first| first & 0x3f == 0x23);
        let (asked, rest) = cut(exchange.sent.get(48..).unwrap_or_default());
        let sealed =
            asked.iter().position(|field| field.kind == AUTHENTICATOR).unwrap_or(asked.len());
        let unique: Vec<_> = asked[..sealed].iter().filter(|field| field.kind == UNIQUE).collect();
        let [unique] = unique[..] else { continue };
        if !version_4_client || !rest.is_empty() || unique.body.len() < 32 {
            continue;
        }
        for (_, octets) in &exchange.got {
            let answer = Answer::read(octets);
            let back = answer.of_kind(UNIQUE);
            let plain = sealed == asked.len();
            if matches!(back[..], [field] if field == unique) {
                echoed += 1;
            } else if back.is_empty() && plain && answer.header.kiss().is_none() {
                bare = Some(answer.shown());
            } else if back.len() <= 1 || back[0] != back[1] {
                let says = format!(
                    "an identifier of {} octets is not in {}",
                    unique.body.len(),
                    answer.shown()
                );
                return Err(Objection::fails(says));
            }
        }
    }
    if let Some(bare) = bare {
        // RFC 8915 §5.3 asks for the echo in every mode; the field means nothing to a server that knows no NTS.
        let says = format!("plain requests with an identifier are answered without it: {bare}");
        return Err(if echoed > 0 { Objection::fails(says) } else { Objection::deviates(says) });
    }
    if echoed == 0 {
        return Err(Objection::unbound("no request with an identifier is answered"));
    }
    Ok(format!("{echoed} identifiers came back"))
}

fn sealed_by_s2c(bench: &mut Bench<'_>) -> Judgement {
    let mut aeads = Vec::new();
    for session in bench.sessions()? {
        for placeholders in [0, 3] {
            let answer = bench.nts_time(
                &session,
                &session.request(placeholders),
                "an ordinary request under NTS",
            )?;
            let once = answer.of_kind(AUTHENTICATOR).len() == 1;
            ensure(once && session.open_with(&answer, &session.keys.s2c).is_some(), || {
                format!("AEAD {}: the S2C key does not open {}", session.aead(), answer.shown())
            })?;
        }
        aeads.push(session.aead().to_string());
    }
    Ok(format!("answers are sealed by the S2C key, AEAD {}", aeads.join(", ")))
}

/// Placeholders whose cookies all fit into an answer of 1232 octets.
fn most_placeholders(session: &Session) -> usize {
    let room = 1232_usize.saturating_sub(session.request(0).len());
    (room / (session.cookie.len() + 4)).min(7)
}

/// An answer to some placeholders: how many, the request's length, the answer, and the same open.
type Full = (usize, usize, Answer, crate::octets::Protected);

/// Answers to 0 to 7 placeholders; and the shortest request that is too long for the server, if any below 1232 octets is.
fn full_answers(bench: &mut Bench<'_>) -> Result<(Vec<Full>, Option<usize>), Objection> {
    let (mut found, mut too_long) = (Vec::new(), None);
    for session in bench.sessions()? {
        for placeholders in 0..=most_placeholders(&session) {
            let request = session.request(placeholders);
            let meaning = format!("{placeholders} placeholders");
            // What fits into any link (1280 octets less headers) must be taken up to 1024; where more ends is the server's choice.
            if request.len() > 1024 && bench.ask_nts(&session, &request, &meaning)?.is_none() {
                bench.nts_control(&session)?;
                too_long =
                    Some(too_long.map_or(request.len(), |len: usize| len.min(request.len())));
                break;
            }
            let answer = bench.nts_time(&session, &request, &meaning)?;
            let open = session.open(&answer)?;
            found.push((placeholders, request.len(), answer, open));
        }
    }
    Ok((found, too_long))
}

fn cookies(bench: &mut Bench<'_>) -> Judgement {
    let (answers, _) = full_answers(bench)?;
    for (placeholders, _, _, open) in &answers {
        let inside = open.inner.iter().filter(|field| field.kind == COOKIE).count();
        let all = open.all(COOKIE).len();
        ensure(all == inside && (1..=1 + placeholders).contains(&inside), || {
            format!(
                "{placeholders} placeholders: {inside} cookies inside, {} in clear",
                all - inside
            )
        })?;
    }
    Ok(format!("{} answers, cookies encrypted and no more than asked", answers.len()))
}

fn cookie_count(bench: &mut Bench<'_>) -> Judgement {
    let (answers, too_long) = full_answers(bench)?;
    let mut fewer = Vec::new();
    for (placeholders, _, _, open) in &answers {
        let cookies = open.all(COOKIE).len();
        if cookies != 1 + placeholders {
            fewer.push(format!("{cookies} for {placeholders}"));
        }
    }
    match &fewer[..] {
        [] if too_long.is_some() => Err(Objection::deviates(format!(
            "{} answers have as many cookies as they should; requests of {} octets get silence",
            answers.len(),
            too_long.unwrap_or_default()
        ))),
        [] => Ok(format!("{} answers have a cookie and one for each placeholder", answers.len())),
        // ntpd-rs fills answers of seven cookies at most.
        [one] if answers.len() >= 8 && one == "7 for 7" => Err(Objection::deviates(
            "seven placeholders earn seven cookies, fewer earn as many as they should",
        )),
        _ => Err(Objection::fails(format!("cookies: {}", fewer.join(", ")))),
    }
}

fn same_length(bench: &mut Bench<'_>) -> Judgement {
    let (answers, _) = full_answers(bench)?;
    let mut padded = 0;
    for (placeholders, asked, answer, open) in &answers {
        let cookies = open.all(COOKIE).len();
        // Where fewer cookies come than asked, another clause says so.
        let expected = cookies == 1 + placeholders;
        ensure(!expected || answer.octets.len() == *asked, || {
            format!("{} octets for {asked}, {placeholders} placeholders", answer.octets.len())
        })?;
        padded += usize::from(open.padding > 0);
    }
    ensure(padded == 0, || {
        format!("{padded} of {} answers are padded inside the authenticator", answers.len())
    })?;
    Ok(format!("{} answers as long as their requests", answers.len()))
}

fn odd_placeholder(bench: &mut Bench<'_>) -> Judgement {
    for session in bench.sessions()? {
        let right = session.cookie.len();
        let requests: Vec<_> = [right - 4, right + 4, 12, 0]
            .into_iter()
            .map(|len| {
                let placeholder = Field::new(PLACEHOLDER, vec![0; len]);
                (
                    session.request_with(|draft| draft.clear.push(placeholder)),
                    format!("a placeholder of {len} octets"),
                )
            })
            .collect();
        for ((request, meaning), answer) in
            requests.iter().zip(bench.nts_silence(&session, &requests)?)
        {
            // Dropping the packet is one way not to honour it.
            let Some(answer) = answer.filter(|answer| answer.has(AUTHENTICATOR)) else { continue };
            let cookies = session.open(&answer)?.all(COOKIE).len();
            ensure(cookies == 1 && answer.octets.len() <= request.len(), || {
                format!(
                    "{meaning} beside a cookie of {right}: {cookies} cookies, {}",
                    answer.shown()
                )
            })?;
        }
    }
    Ok("placeholders of another length earn nothing".to_owned())
}

fn placeholder_content(bench: &mut Bench<'_>) -> Judgement {
    for session in bench.sessions()? {
        let len = session.cookie.len();
        for content in [random(len), vec![0xff; len]] {
            let request =
                session.request_with(|draft| draft.clear.push(Field::new(PLACEHOLDER, content)));
            let answer =
                bench.nts_time(&session, &request, "a placeholder that is not all zero")?;
            let cookies = session.open(&answer)?.all(COOKIE).len();
            ensure(cookies == 2, || {
                format!("{cookies} cookies for a placeholder that is not all zero")
            })?;
        }
    }
    Ok("what placeholders hold is ignored".to_owned())
}

fn encrypted_placeholders(bench: &mut Bench<'_>) -> Judgement {
    for session in bench.sessions()? {
        let placeholder = Field::new(PLACEHOLDER, vec![0; session.cookie.len()]);
        for (clear, encrypted) in [(0, 1), (0, 2), (1, 1)] {
            let mut draft = session.draft(clear);
            draft.inner = vec![placeholder.clone(); encrypted];
            let meaning = format!("{clear} placeholders in clear, {encrypted} encrypted");
            let answer = bench.ask_nts(&session, &session.seal(&draft), &meaning)?;
            let Some(answer) = answer.filter(|answer| answer.has(AUTHENTICATOR)) else {
                bench.nts_control(&session)?;
                return Err(Objection::deviates(
                    "requests with encrypted placeholders are dropped; no client is known to send them",
                ));
            };
            let cookies = session.open(&answer)?.all(COOKIE).len();
            ensure(cookies == 1 + clear + encrypted, || format!("{meaning}: {cookies} cookies"))?;
        }
    }
    Ok("encrypted placeholders earn a cookie each".to_owned())
}

/// A request with another nonce and so much padding.
fn with_nonce(session: &Session, nonce: usize, padding: usize) -> Vec<u8> {
    session.request_with(|draft| {
        draft.nonce = random(nonce);
        draft.padding = padding;
    })
}

fn nonce_room(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    // Nonce, filled up to four octets, and additional padding must have 16 together.
    let narrow = [(8, 0), (1, 8), (12, 0)].map(|(nonce, padding)| {
        (
            with_nonce(&session, nonce, padding),
            format!("a nonce of {nonce} octets and {padding} of padding"),
        )
    });
    for ((_, meaning), answer) in narrow.iter().zip(bench.nts_silence(&session, &narrow)?) {
        let time = answer.as_ref().is_some_and(Answer::gives_time);
        ensure(!time, || format!("{meaning} gets time: {}", shown(answer.as_ref())))?;
    }
    let enough = bench.ask_nts(
        &session,
        &with_nonce(&session, 8, 8),
        "a nonce of 8 octets and 8 of padding",
    )?;
    let taken = enough.is_some_and(|answer| answer.gives_time() || answer.has(AUTHENTICATOR));
    Ok(if taken {
        "without room for the server's nonce there is no time; with padding there is".to_owned()
    } else {
        "without room for the server's nonce there is no time; short nonces are not taken at all"
            .to_owned()
    })
}

fn nonce_lengths(bench: &mut Bench<'_>) -> Judgement {
    let mut refused = Vec::new();
    for session in bench.sessions()? {
        // AES-GCM-SIV takes 12 octets and nothing else.
        let lens: &[usize] =
            if session.keys.cipher == Cipher::GcmSiv { &[12] } else { &[1, 12, 16, 17, 20, 32] };
        for &len in lens {
            let padding = 16_usize.saturating_sub(len.next_multiple_of(4));
            let request =
                with_nonce(&session, len, if len == 12 && lens.len() == 1 { 0 } else { padding });
            let meaning = format!("a nonce of {len} octets, AEAD {}", session.aead());
            let answer = bench.ask_nts(&session, &request, &meaning)?;
            if answer.is_none_or(|answer| answer.is_ntsn()) {
                bench.nts_control(&session)?;
                refused.push(len);
            }
        }
    }
    refused.sort_unstable();
    refused.dedup();
    if refused.is_empty() {
        return Ok("nonces of 1 to 32 octets are taken".to_owned());
    }
    ensure(!refused.contains(&16), || "nonces of 16 octets are refused".to_owned())?;
    let all = refused.len() == 5;
    let says = format!("nonces of {refused:?} octets are refused");
    // NTPsec takes nonces of 16 octets only, and no client is known to send others; to pick and choose has no such reason.
    Err(if all { Objection::deviates(says) } else { Objection::fails(says) })
}

fn changed_bits(bench: &mut Bench<'_>) -> Judgement {
    let mut count = 0;
    for session in bench.sessions()? {
        let request = session.request(0);
        // Type and length of the authenticator are not covered by it: with another type it is another field, and no NTS.
        let head = request.len() - (24 + session.keys.cipher.nonce_len());
        let is_covered = |bit: &usize| !(head..head + 4).contains(&(bit / 8));
        // All bits, or one of each octet of the header and of every third octet behind it.
        let bits: Vec<usize> = if bench.manner.deep {
            (0..request.len() * 8).collect()
        } else {
            let covered = (0..48).chain((48..request.len()).step_by(3));
            covered.map(|octet| octet * 8 + octet % 8).collect()
        };
        let requests: Vec<_> = bits
            .into_iter()
            .filter(is_covered)
            .map(|bit| {
                let mut changed = request.clone();
                changed[bit / 8] ^= 0x80 >> (bit % 8);
                (changed, format!("bit {bit} changed"))
            })
            .collect();
        for ((_, meaning), answer) in requests.iter().zip(bench.nts_silence(&session, &requests)?) {
            let time = answer.as_ref().is_some_and(Answer::gives_time);
            ensure(!time, || {
                format!("AEAD {}, {meaning}: {}", session.aead(), shown(answer.as_ref()))
            })?;
            count += 1;
        }
        if !bench.manner.deep {
            break;
        }
    }
    Ok(format!("no time for {count} requests with a bit changed"))
}

fn trailing(bench: &mut Bench<'_>) -> Judgement {
    for session in bench.sessions()? {
        let unknown = Field::new(UNKNOWN, vec![0x55; 24]).octets();
        let placeholder = Field::new(PLACEHOLDER, vec![0; session.cookie.len()]).octets();
        for (after, meaning) in [
            (unknown.clone(), "an unknown field behind the authenticator"),
            ([placeholder, unknown].concat(), "a placeholder and a field behind the authenticator"),
        ] {
            let request = session.request_with(|draft| draft.after = after);
            let answer = bench.ask_nts(&session, &request, meaning)?;
            let Some(answer) = answer.filter(|answer| !answer.is_ntsn()) else {
                bench.nts_control(&session)?;
                let alone = bench.ask_nts(
                    &session,
                    &session.request_with(|draft| {
                        draft.after = Field::new(0x0002, vec![0; 60]).octets();
                    }),
                    "another field there",
                )?;
                let says = "requests with fields behind the authenticator are dropped; RFC 8915 §5.7 drops the fields alone";
                // Known of chrony and NTPsec; a client that sends none is not harmed.
                return Err(if alone.is_none() {
                    Objection::deviates(says)
                } else {
                    Objection::fails(format!("no time for {meaning}"))
                });
            };
            let cookies = session.open(&answer)?.all(COOKIE).len();
            ensure(cookies <= 1, || format!("{meaning}: {cookies} cookies"))?;
        }
    }
    Ok("fields behind the authenticator are discarded".to_owned())
}

fn never_longer(bench: &mut Bench<'_>) -> Judgement {
    // As many placeholders as fit into a datagram on an Ethernet, and a request that is as small as can be.
    for session in bench.sessions()? {
        let most = (1472 - session.request(0).len()) / (session.cookie.len() + 4);
        let mut bad = session.clone();
        bad.cookie[40] ^= 1;
        for request in [session.request(most), bad.request(0), bad.request(most)] {
            bench.ask_nts(&session, &request, "many placeholders, or a broken cookie")?;
        }
    }
    let mut answers = 0;
    for exchange in &bench.history {
        let is_nts = cut(exchange.sent.get(48..).unwrap_or_default())
            .0
            .iter()
            .any(|field| field.kind == AUTHENTICATOR);
        for (_, octets) in exchange.got.iter().filter(|_| is_nts) {
            answers += 1;
            ensure(octets.len() <= exchange.sent.len(), || {
                format!(
                    "{} octets for {}: {}",
                    octets.len(),
                    exchange.sent.len(),
                    Answer::read(octets).shown()
                )
            })?;
        }
    }
    Ok(format!("none of {answers} answers under NTS was longer than its request"))
}

fn other_modes(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    let mut forged = session.clone();
    forged.cookie[50] ^= 1;
    let mut requests = Vec::new();
    for mode in [0, 1, 2, 4, 5, 6, 7] {
        requests.push((
            session.request_with(|draft| draft.header = header(4, mode)),
            format!("mode {mode} with a good cookie"),
        ));
        requests.push((
            forged.request_with(|draft| draft.header = header(4, mode)),
            format!("mode {mode} with a bad cookie"),
        ));
    }
    for ((_, meaning), answer) in requests.iter().zip(bench.nts_silence(&session, &requests)?) {
        let as_nts = answer.as_ref().is_some_and(|answer| answer.is_nts() || answer.is_ntsn());
        ensure(!as_nts, || format!("{meaning}: {}", shown(answer.as_ref())))?;
    }
    Ok("in other modes nothing of NTS is answered".to_owned())
}

fn parts(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    let mut requests = Vec::new();
    for subset in 0..8 {
        let [has_unique, has_cookie, is_sealed] = [1, 2, 4].map(|bit| subset & bit != 0);
        let mut draft = session.draft(0);
        draft.clear.retain(|field| if field.kind == UNIQUE { has_unique } else { has_cookie });
        let request = if is_sealed {
            session.seal(&draft)
        } else {
            [draft.header, join(&draft.clear)].concat()
        };
        requests.push((
            request,
            format!("identifier {has_unique}, cookie {has_cookie}, authenticator {is_sealed}"),
        ));
    }
    let mut without_unique = false;
    for (subset, ((_, meaning), answer)) in
        requests.iter().zip(bench.nts_silence(&session, &requests)?).enumerate()
    {
        let is_nts = answer.as_ref().is_some_and(Answer::is_nts);
        if subset == 6 && is_nts {
            without_unique = true;
            continue;
        }
        ensure(is_nts == (subset == 7), || format!("{meaning}: {}", shown(answer.as_ref())))?;
    }
    if without_unique {
        // Known of ntpd-rs and NTPsec: the answer is authentic, and a client without identifier could not use it.
        return Err(Objection::deviates(
            "a request without identifier is answered under NTS; other parts are not",
        ));
    }
    Ok("a part of NTS is no NTS".to_owned())
}

fn two_cookies(bench: &mut Bench<'_>) -> Judgement {
    for session in bench.sessions()? {
        let same = Field::new(COOKIE, session.cookie.clone());
        let other = Field::new(COOKIE, random(session.cookie.len()));
        let requests = [
            (
                session.request_with(|draft| draft.clear.push(same)),
                "the same cookie twice".to_owned(),
            ),
            (
                session.request_with(|draft| draft.clear.push(other)),
                "another cookie behind the first".to_owned(),
            ),
        ];
        for ((_, meaning), answer) in requests.iter().zip(bench.nts_silence(&session, &requests)?) {
            let Some(answer) = answer else { continue };
            ensure(answer.is_ntsn(), || format!("{meaning}: {}", answer.shown()))?;
        }
        let second = authenticator(&random(16), &random(16), 0);
        let requests = [(
            [session.request(0), second].concat(),
            "a second authenticator that is wrong".to_owned(),
        )];
        // What follows the first is discarded (RFC 8915 §5.7); more than one cookie's worth may not come of it.
        if let Some(Some(answer)) = bench.nts_silence(&session, &requests)?.first()
            && answer.has(AUTHENTICATOR)
        {
            let cookies = session.open(answer)?.all(COOKIE).len();
            ensure(cookies <= 1, || format!("two authenticators: {cookies} cookies"))?;
        }
    }
    Ok("two cookies get no time".to_owned())
}

fn short_identifier(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    let requests = [12, 16, 28].map(|len| {
        (
            session.request_with(|draft| draft.clear[0].body = random(len)),
            format!("an identifier of {len} octets"),
        )
    });
    let mut taken = Vec::new();
    for ((_, meaning), answer) in requests.iter().zip(bench.nts_silence(&session, &requests)?) {
        if answer.as_ref().is_some_and(Answer::gives_time) {
            taken.push(meaning.clone());
        }
    }
    if taken.len() == requests.len() {
        // The rule binds clients; that servers enforce it is ours.
        return Err(Objection::deviates("short identifiers are taken as they come"));
    }
    ensure(taken.is_empty(), || format!("time for {}, not for others", taken.join(", ")))?;
    Ok("short identifiers get no time".to_owned())
}

fn nonces(bench: &mut Bench<'_>) -> Judgement {
    let rounds = if bench.manner.deep { 2000 } else { 12 };
    let mut count = 0;
    for session in bench.sessions()? {
        let request = session.request(0);
        let mut seen = HashSet::new();
        for _ in 0..rounds {
            let answer = bench.nts_time(&session, &request, "the same request again")?;
            let field = answer.of_kind(AUTHENTICATOR).first().copied().cloned();
            let field = field.ok_or_else(|| Objection::fails("an answer without authenticator"))?;
            let nonce =
                Parts::read(&field.body).map(|parts| parts.nonce.to_vec()).unwrap_or_default();
            ensure(nonce.len() >= 12 && seen.insert(nonce.clone()), || {
                format!("nonce {nonce:02x?} comes again after {} answers", seen.len())
            })?;
            count += 1;
        }
    }
    Ok(format!("{count} answers, as many nonces"))
}
