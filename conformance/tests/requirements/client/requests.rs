//! What the client sends (NC-01 to NC-13, NC-27, NC-31, NC-32, KE-56).

use std::collections::HashSet;
use std::net::SocketAddr;

use noonmark_client::{Action, Endpoint, KeFailure, Output, SourceKind, SourceSpec, Sources};
use noonmark_clock::{Keeper, Reading, Settings};
use noonmark_conformance::check::{Check, Failure};
use noonmark_nts::{Aead, Request, classify, open_request};
use noonmark_packet::{FieldKind, Packet};
use noonmark_units::{Mono, Precision, Span, Timestamp};

use super::bench::{Bench, POLLED, ensure, header};
use super::server::{agreement, cookies, field, fields, keys};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["NC-01"], name: "request_has_one_identifier_in_clear", run: one_identifier },
    Check {
        ids: &["NC-02", "NC-03"],
        name: "identifiers_are_32_random_octets_of_their_own",
        run: identifiers,
    },
    Check { ids: &["NC-04"], name: "request_has_one_cookie_the_server_gave", run: one_cookie },
    Check {
        ids: &["NC-05", "NC-06", "EF-01"],
        name: "request_is_sealed_over_all_before_the_authenticator",
        run: sealed,
    },
    Check {
        ids: &["NC-07", "NC-08"],
        name: "authenticator_is_laid_out_with_room_for_a_nonce",
        run: layout,
    },
    Check {
        ids: &["NC-09"],
        name: "cookie_is_sent_once_and_the_ninth_loss_asks_for_more",
        run: no_reuse,
    },
    Check { ids: &["NC-10"], name: "placeholders_make_up_for_lost_cookies", run: placeholders },
    Check {
        ids: &["NC-11"],
        name: "placeholder_is_as_long_as_the_cookie",
        run: placeholder_length,
    },
    Check { ids: &["NC-12"], name: "placeholder_is_all_zero", run: placeholder_body },
    Check { ids: &["NC-13"], name: "request_never_exceeds_1232_octets", run: no_fragments },
    Check { ids: &["KE-56"], name: "cookies_of_any_length_go_back_as_they_came", run: opaque },
    Check { ids: &["NC-27"], name: "nts_source_never_asks_without_nts", run: no_fallback },
    Check { ids: &["NC-31"], name: "request_tells_nothing_of_the_client", run: minimal },
    Check { ids: &["NC-32"], name: "cookies_go_to_their_server_only", run: own_server },
    Check { ids: &["EF-15"], name: "requests_have_no_experimental_field", run: no_experiments },
];

const CLEAR: [FieldKind; 2] = [FieldKind::UNIQUE_IDENTIFIER, FieldKind::NTS_COOKIE];

fn kinds(request: &[u8]) -> Vec<FieldKind> {
    fields(request).iter().map(|(kind, _)| *kind).collect()
}

fn placeholders_of(request: &[u8]) -> Vec<&[u8]> {
    let all = fields(request).into_iter();
    all.filter(|(kind, _)| *kind == FieldKind::NTS_COOKIE_PLACEHOLDER)
        .map(|(_, body)| body)
        .collect()
}

fn one_identifier(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    for _ in 0..10 {
        let kinds = kinds(&bench.question()?);
        let before: Vec<_> =
            kinds.iter().take_while(|kind| **kind != FieldKind::NTS_AUTHENTICATOR).collect();
        let count = before.iter().filter(|kind| ***kind == FieldKind::UNIQUE_IDENTIFIER).count();
        ensure(count == 1, || format!("{count} identifiers in {kinds:?}"))?;
        bench.arrive(&bench.answer());
    }
    Ok(())
}

fn identifiers(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    let (mut seen, mut ones) = (HashSet::new(), 0);
    let rounds = bench.many(200, 20_000, 100_000);
    for round in 0..rounds {
        let request = bench.question()?;
        let all = fields(&request);
        let (_, unique) = all.first().ok_or("no field")?;
        ensure(unique.len() >= 32, || format!("{} octets", unique.len()))?;
        ensure(seen.insert(unique.to_vec()), || format!("repeated in request {round}"))?;
        ones += unique.iter().map(|octet| octet.count_ones()).sum::<u32>();
        // Each second answer is lost, so the identifier of a repeated question is looked at too.
        if round % 2 == 0 {
            bench.arrive(&bench.answer());
        } else if bench.association.cookies_left() == Some(0) {
            return Err("the jar is empty".to_owned());
        }
    }
    let share = f64::from(ones) / (rounds as f64 * 256.0);
    ensure((0.48..0.52).contains(&share), || format!("{share} of all bits are one"))
}

fn one_cookie(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    let mut given: HashSet<_> = cookies(8, 100, 0).into_iter().collect();
    for _ in 0..50 {
        let request = bench.question()?;
        let all = fields(&request);
        let sent: Vec<_> = all.iter().filter(|(kind, _)| *kind == FieldKind::NTS_COOKIE).collect();
        ensure(sent.len() == 1, || format!("{} cookies", sent.len()))?;
        ensure(sent.iter().all(|(_, body)| given.contains(*body)), || "never given".to_owned())?;
        let answer = bench.answer();
        given.extend(answer.sealed.iter().flat_map(|(_, cookies)| cookies.clone()));
        bench.arrive(&answer);
    }
    Ok(())
}

fn sealed(lab: &mut Lab) -> Result<(), Failure> {
    for aead in Aead::ALL {
        let session = keys(aead, 3);
        let mut bench = Bench::nts_with(lab, POLLED, session.clone(), aead.cookie_len());
        for round in 0..3 {
            let request = bench.question()?;
            let packet = Packet::parse(&request).map_err(|error| error.to_string())?;
            let Ok(Request::Protected(found)) = classify(&packet) else {
                return Err("not a protected request".to_owned());
            };
            let opened = open_request(&mut request.clone(), &found, &session);
            ensure(opened.is_ok(), || format!("{aead}, question {round}: {opened:?}"))?;
            let mut changed = request.clone();
            changed[3] ^= 1;
            ensure(open_request(&mut changed, &found, &session).is_err(), || {
                "the tag does not cover the header".to_owned()
            })?;
            bench.arrive(&bench.answer());
        }
    }
    Ok(())
}

fn layout(lab: &mut Lab) -> Result<(), Failure> {
    for (aead, nonce) in [(Aead::SivCmac256, 16), (Aead::SivCmac512, 16), (Aead::Aes128GcmSiv, 12)]
    {
        let mut bench = Bench::nts_with(lab, POLLED, keys(aead, 3), aead.cookie_len());
        let request = bench.question()?;
        let all = fields(&request);
        let Some((FieldKind::NTS_AUTHENTICATOR, body)) = all.last() else {
            return Err("the authenticator is not last".to_owned());
        };
        let number = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        let found = (number(0), number(2), body.len());
        // Room for the nonce: at least N_REQ, which is its own length here, so no further padding.
        ensure(found == (nonce, 16, 4 + nonce + 16), || format!("{aead}: {found:?}"))?;
    }
    Ok(())
}

fn no_reuse(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    let mut spent = HashSet::new();
    for lost in 0..8 {
        let request = bench.question()?;
        let cookie = field(&request, FieldKind::NTS_COOKIE).ok_or("no cookie")?.to_vec();
        ensure(spent.insert(cookie), || format!("a cookie is sent again after {lost} losses"))?;
    }
    let names: Vec<_> = (0..3).flat_map(|_| bench.time_out()).collect();
    ensure(names.contains(&Output::Rekey), || format!("no key establishment: {names:?}"))?;
    ensure(!names.iter().any(|name| matches!(name, Output::Transmit(_))), || {
        "asked without a cookie".to_owned()
    })
}

fn placeholders(lab: &mut Lab) -> Result<(), Failure> {
    for lost in 0..4 {
        let mut bench = Bench::nts(lab, POLLED);
        for _ in 0..lost {
            bench.question()?;
        }
        let count = placeholders_of(&bench.question()?).len();
        ensure(count == lost, || format!("{count} placeholders after {lost} lost questions"))?;
    }
    // What is asked for more than once without an answer may be too long for the path; never is it more than seven.
    let mut bench = Bench::nts(lab, POLLED);
    for _ in 0..8 {
        let count = placeholders_of(&bench.question()?).len();
        ensure(count <= 7, || format!("{count} placeholders"))?;
    }
    Ok(())
}

fn placeholder_length(lab: &mut Lab) -> Result<(), Failure> {
    for len in [100, 104, 160] {
        let mut bench = Bench::nts_with(lab, POLLED, keys(Aead::SivCmac256, 3), len);
        for _ in 0..4 {
            let request = bench.question()?;
            ensure(header(&request).mode.number() == 3, || "not mode 3".to_owned())?;
            let lengths: Vec<_> = placeholders_of(&request).iter().map(|body| body.len()).collect();
            ensure(lengths.iter().all(|found| *found == len), || {
                format!("{lengths:?}, not {len}")
            })?;
        }
    }
    Ok(())
}

fn placeholder_body(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    let mut seen = 0;
    for _ in 0..4 {
        let request = bench.question()?;
        for body in placeholders_of(&request) {
            seen += 1;
            ensure(body.iter().all(|octet| *octet == 0), || format!("{body:?}"))?;
        }
    }
    ensure(seen > 0, || "no placeholder to look at".to_owned())
}

fn no_fragments(lab: &mut Lab) -> Result<(), Failure> {
    for len in [16, 100, 252, 600, 1000, 1100] {
        let mut bench = Bench::nts_with(lab, POLLED, keys(Aead::SivCmac256, 3), len);
        for _ in 0..8 {
            let octets = bench.question()?.len();
            ensure(octets <= 1232, || format!("{octets} octets with cookies of {len}"))?;
        }
    }
    Ok(())
}

fn opaque(lab: &mut Lab) -> Result<(), Failure> {
    for len in [16, 100, 104, 252, 256, 1000] {
        let mut bench = Bench::nts_with(lab, POLLED, keys(Aead::SivCmac256, 3), len);
        let request = bench.question()?;
        let expected = cookies(8, len, 0).swap_remove(0);
        let found = field(&request, FieldKind::NTS_COOKIE).ok_or("no cookie")?;
        ensure(found == expected, || format!("a cookie of {len} octets is changed"))?;
    }
    Ok(())
}

fn no_fallback(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::bare_nts(lab, POLLED);
    for round in 0..200 {
        if bench.association.deadline() == Mono::NEVER {
            bench.association.handle_ke_failure(KeFailure::Unreachable, bench.now);
        }
        let sends = bench.time_out().iter().any(|output| matches!(output, Output::Transmit(_)));
        ensure(!sends, || format!("asked without keys in round {round}"))?;
    }
    // The positive control: with keys it asks, and with NTS.
    let mut bench = Bench::nts(lab, POLLED);
    let kinds = kinds(&bench.question()?);
    ensure(kinds.contains(&FieldKind::NTS_AUTHENTICATOR), || format!("{kinds:?}"))
}

fn minimal(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::plain(lab, POLLED);
    let (mut stamps, mut ones) = (HashSet::new(), 0);
    let rounds = bench.many(100, 1000, 10_000);
    for _ in 0..rounds {
        let request = bench.question()?;
        ensure(request.len() == 48, || format!("{} octets", request.len()))?;
        // Leap 0, version 4, mode 3; precision 32; only poll says how often we ask.
        let rest = [&request[..2], &request[3..40]].concat();
        let mut expected = [0; 39];
        (expected[0], expected[2]) = (0x23, 0x20);
        ensure(rest == expected, || format!("{:02x?}", &request[..40]))?;
        let stamp = header(&request).transmit;
        ensure((stamp - bench.clock()).abs() > Span::from_seconds(16), || {
            "the transmit stamp shows our clock".to_owned()
        })?;
        ensure(stamps.insert(stamp), || "a transmit stamp is used again".to_owned())?;
        ones += stamp.to_bits().count_ones();
        bench.arrive(&bench.answer());
    }
    let share = f64::from(ones) / (rounds as f64 * 64.0);
    ensure((0.47..0.53).contains(&share), || format!("{share} of all bits are one"))
}

fn own_server(_: &mut Lab) -> Result<(), Failure> {
    let names = ["a.example", "b.example"];
    let kind = |name: &&str| SourceKind::Nts(Endpoint::new(*name, 4460));
    let specs = names.iter().map(|name| SourceSpec::new(kind(name))).collect();
    let real = Timestamp::from_bits(0xee00_0000 << 32);
    let mut now = Reading { mono: Mono(1), real };
    let keeper = Keeper::new(Settings::default(), None, now);
    let mut state = 0_u8;
    let random = Box::new(move |out: &mut [u8]| {
        for octet in out {
            state = state.wrapping_mul(5).wrapping_add(7);
            *octet = state;
        }
    });
    let mut sources = Sources::new(specs, keeper, Precision(-20), random, now);
    let server = |name: &str| -> SocketAddr {
        if name == names[0] { ([192, 0, 2, 1], 123).into() } else { ([192, 0, 2, 2], 123).into() }
    };
    let mut asked = 0;
    for _ in 0..40 {
        while let Some(action) = sources.poll_output() {
            match action {
                Action::Rekey { id, endpoint, .. } => {
                    let server = server(&endpoint.host);
                    let mark = server.to_string().as_bytes()[8];
                    let agreed = agreement(keys(Aead::SivCmac256, 3), None, cookies(8, 100, mark));
                    sources.handle_agreement(id, agreed, server, now);
                }
                Action::Transmit { to, datagram, .. } => {
                    let cookie = field(&datagram, FieldKind::NTS_COOKIE).ok_or("no cookie")?;
                    let given = to.to_string().as_bytes()[8];
                    ensure(cookie[1] == given, || format!("{to} gets a cookie of another"))?;
                    asked += 1;
                }
                _ => {}
            }
        }
        let passed = sources.deadline().since(now.mono);
        now = Reading { mono: now.mono + passed, real: now.real + Span::from_duration(passed) };
        sources.handle_timeout(now);
    }
    ensure(asked >= 16, || format!("only {asked} questions"))
}

fn no_experiments(lab: &mut Lab) -> Result<(), Failure> {
    let mut bench = Bench::nts(lab, POLLED);
    for _ in 0..8 {
        let kinds = kinds(&bench.question()?);
        ensure(kinds.iter().all(|kind| kind.0 < 0xf000), || format!("{kinds:?}"))?;
        ensure(kinds.starts_with(&CLEAR), || format!("{kinds:?}"))?;
    }
    let names = bench.arrive(&bench.answer());
    ensure(names.iter().any(|name| name == "measured"), || format!("control: {names:?}"))
}
