//! NTS requests, right and wrong, and the shape of their answers (NS-01 to NS-05, NS-07 to NS-13, NS-17 to NS-22, NS-24).

use std::collections::HashSet;

use noonmark_conformance::check::Check;
use noonmark_server::ClockState;

use super::lab::{CLIENT, DENIED, NtpLab, Outcome, Session, ensure, shown, shown_answer};
use super::octets::{
    AUTHENTICATOR, Answer, COOKIE, Cipher, Field, PLACEHOLDER, UNIQUE, UNKNOWN, header, identifier,
    plain, plain_with, unique,
};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["NS-01"], name: "the_identifier_comes_back_authenticated", run: identifiers },
    Check { ids: &["NS-02"], name: "every_answer_has_the_identifier", run: identifier_everywhere },
    Check {
        ids: &["NS-03"],
        name: "answers_are_sealed_once_by_the_server_key",
        run: sealed_by_s2c,
    },
    Check { ids: &["NS-04"], name: "cookies_come_encrypted_and_no_more_than_asked", run: cookies },
    Check { ids: &["NS-05"], name: "as_many_cookies_come_as_were_asked", run: cookie_count },
    Check {
        ids: &["NS-07"],
        name: "a_placeholder_of_another_length_earns_nothing",
        run: odd_placeholder,
    },
    Check {
        ids: &["NS-08"],
        name: "what_a_placeholder_holds_is_ignored",
        run: placeholder_content,
    },
    Check {
        ids: &["NS-09"],
        name: "encrypted_placeholders_earn_cookies",
        run: encrypted_placeholders,
    },
    Check { ids: &["NS-10"], name: "no_room_for_our_nonce_gets_silence", run: nonce_room },
    Check { ids: &["NS-11"], name: "nonces_of_any_length_are_taken", run: nonce_lengths },
    Check { ids: &["NS-12"], name: "one_changed_bit_gets_no_time", run: changed_bits },
    Check { ids: &["NS-13"], name: "fields_after_the_authenticator_are_discarded", run: trailing },
    Check { ids: &["NS-17"], name: "no_nts_answer_is_longer_than_its_request", run: never_longer },
    Check { ids: &["NS-18"], name: "a_full_answer_has_its_requests_length", run: same_length },
    Check { ids: &["NS-19"], name: "other_modes_know_no_nts", run: other_modes },
    Check { ids: &["NS-20"], name: "a_part_of_nts_is_no_nts", run: parts },
    Check { ids: &["NS-21"], name: "two_cookies_get_silence", run: two_cookies },
    Check { ids: &["NS-22"], name: "a_short_identifier_gets_no_time", run: short_identifier },
    Check { ids: &["NS-24"], name: "every_answer_has_its_own_nonce", run: nonces },
];

/// Everything the server says to clients of NTS: time, and each kiss. The lab is [`NtpLab::strict`] with a burst of 3.
fn all_answers(lab: &mut NtpLab, session: &Session, placeholders: usize) -> Vec<(Vec<u8>, Answer)> {
    let request = session.request(placeholders);
    let mut bad_cookie = session.clone();
    bad_cookie.cookie[50] ^= 1;
    let other_keys = Session {
        keys: super::octets::Keys { c2s: session.keys.s2c.clone(), ..session.keys.clone() },
        ..session.clone()
    };
    let mut asked = vec![
        (request.clone(), "203.0.113.1:123"),
        (bad_cookie.request(placeholders), "203.0.113.2:123"),
        (other_keys.request(placeholders), "203.0.113.3:123"),
        (request.clone(), DENIED),
    ];
    asked.extend(vec![(request, "203.0.113.4:123"); 5]);
    let mut answers = Vec::new();
    for (request, peer) in asked {
        if let Some(answer) = lab.ask_as(&request, peer) {
            answers.push((request, answer));
        }
    }
    lab.pass(std::time::Duration::from_secs(100));
    answers
}

fn identifiers(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        // A client that has 33 octets fills them up to 36; the server cannot tell and gives back all.
        let padded = [identifier(33), vec![0; 3]].concat();
        for unique in [identifier(32), padded, identifier(64), identifier(200)] {
            let request = session.request_with(|draft| draft.clear[0].body.clone_from(&unique));
            let answer = lab.time_for(&request)?;
            let open = session.open(&answer)?;
            let in_clear = open.clear.iter().filter(|field| field.kind == UNIQUE).count();
            let unchanged = open.clear_body(UNIQUE) == Some(&unique[..]);
            ensure(in_clear == 1 && unchanged && open.all(UNIQUE).len() == 1, || {
                format!("{} octets: {}", unique.len(), shown(&answer.octets))
            })?;
        }
    }
    Ok(())
}

fn identifier_everywhere(lab: &mut Lab) -> Outcome {
    let mut strict = NtpLab::strict(lab, 3);
    let session = Session::new(&strict, Cipher::Siv256);
    let mut answers = all_answers(&mut strict, &session, 1);
    let plain = plain_with(&unique(32));
    for _ in 0..5 {
        answers.extend(strict.ask(&plain).map(|answer| (plain.clone(), answer)));
    }
    let mut open = NtpLab::new(lab);
    for state in [open.state, ClockState::UNSYNCHRONISED] {
        open.state = state;
        for request in [plain_with(&unique(64)), plain_with(&unique(200)), session.request(0)] {
            answers.extend(open.ask(&request).map(|answer| (request, answer)));
        }
    }
    ensure(answers.len() >= 12, || format!("only {} answers", answers.len()))?;
    for (request, answer) in answers {
        let asked = Answer::read(&request);
        ensure(answer.of_kind(UNIQUE) == asked.of_kind(UNIQUE), || {
            format!("{}: {}", shown(&request), shown(&answer.octets))
        })?;
    }
    Ok(())
}

fn sealed_by_s2c(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for placeholders in [0, 3] {
            let answer = lab.time_for(&session.request(placeholders))?;
            let once = answer.of_kind(AUTHENTICATOR).len() == 1;
            ensure(once && session.open_with(&answer, &session.keys.s2c).is_some(), || {
                format!("{cipher:?}: {}", shown(&answer.octets))
            })?;
        }
    }
    Ok(())
}

fn cookies(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for placeholders in 0..=most_placeholders(cipher) {
            let answer = lab.time_for(&session.request(placeholders))?;
            let open = session.open(&answer)?;
            let inside = open.inner.iter().filter(|field| field.kind == COOKIE).count();
            let encrypted = open.all(COOKIE).len() == inside;
            ensure(encrypted && (1..=1 + placeholders).contains(&inside), || {
                format!("{placeholders} placeholders: {inside} cookies inside, {open:02x?}")
            })?;
        }
    }
    Ok(())
}

/// Placeholders whose cookies all fit into an answer of 1232 octets.
fn most_placeholders(cipher: Cipher) -> usize {
    if cipher == Cipher::Siv512 { 5 } else { 7 }
}

fn cookie_count(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for placeholders in 0..=most_placeholders(cipher) {
            let cookies = session.cookies_for(&mut lab, &session.request(placeholders))?.len();
            ensure(cookies == 1 + placeholders, || {
                format!("{cookies} cookies for {placeholders} placeholders")
            })?;
        }
        // Where the request stands does not matter: placeholders before the cookie count like those behind it.
        let request = session.request_with(|draft| {
            draft.clear.insert(1, Field::new(PLACEHOLDER, vec![0; session.cookie.len()]));
        });
        let cookies = session.cookies_for(&mut lab, &request)?.len();
        ensure(cookies == 2, || format!("{cookies} cookies, the placeholder first"))?;
    }
    Ok(())
}

fn odd_placeholder(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let right = session.cookie.len();
        for len in [right - 4, right + 4, 12, 0] {
            let request = session
                .request_with(|draft| draft.clear.push(Field::new(PLACEHOLDER, vec![0; len])));
            lab.control()?;
            let answer = lab.ask(&request);
            lab.control()?;
            // Dropping the packet is one way not to honour it.
            let Some(answer) = answer else { continue };
            let cookies = session.open(&answer)?.all(COOKIE).len();
            ensure(cookies == 1 && answer.octets.len() <= request.len(), || {
                format!("{cookies} cookies for a placeholder of {len} octets")
            })?;
        }
    }
    Ok(())
}

fn placeholder_content(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for content in [identifier(session.cookie.len()), vec![0xff; session.cookie.len()]] {
            let request =
                session.request_with(|draft| draft.clear.push(Field::new(PLACEHOLDER, content)));
            let cookies = session.cookies_for(&mut lab, &request)?.len();
            ensure(cookies == 2, || format!("{cookies} cookies"))?;
        }
    }
    Ok(())
}

fn encrypted_placeholders(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let placeholder = Field::new(PLACEHOLDER, vec![0; session.cookie.len()]);
        for (clear, encrypted) in [(0, 1), (0, 2), (1, 1)] {
            let mut draft = session.draft(clear);
            draft.inner = vec![placeholder.clone(); encrypted];
            let cookies = session.cookies_for(&mut lab, &session.seal(&draft))?.len();
            ensure(cookies == 1 + clear + encrypted, || {
                format!(
                    "{cookies} cookies for {clear} placeholders in clear, {encrypted} encrypted"
                )
            })?;
        }
    }
    Ok(())
}

fn nonce_room(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in [Cipher::Siv256, Cipher::Siv512] {
        let session = Session::new(&lab, cipher);
        // Nonce, filled up to four octets, and additional padding must have 16 together.
        for (nonce, padding, has_room) in [
            (8, 0, false),
            (1, 8, false),
            (12, 0, false),
            (15, 0, true),
            (8, 8, true),
            (16, 0, true),
        ] {
            let request = session.request_with(|draft| {
                draft.nonce = vec![0x31; nonce];
                draft.padding = padding;
            });
            if has_room {
                lab.time_for(&request)?;
            } else {
                lab.silence_for(&request)?;
            }
        }
    }
    Ok(())
}

fn nonce_lengths(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in [Cipher::Siv256, Cipher::Siv512] {
        let session = Session::new(&lab, cipher);
        for nonce in [1, 12, 16, 17, 20, 32, 64] {
            let request = session.request_with(|draft| {
                draft.nonce = vec![0x31; nonce];
                draft.padding = 16_usize.saturating_sub(nonce.next_multiple_of(4));
            });
            lab.time_for(&request)?;
        }
    }
    let request = Session::new(&lab, Cipher::GcmSiv).request(0);
    lab.time_for(&request).map(drop)
}

fn changed_bits(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let request = session.request(0);
        lab.time_for(&request)?;
        // Under a fault, one bit of each octet; else all of them.
        let step = lab.many(8, 1, 1);
        for bit in (0..request.len() * 8).step_by(step) {
            let mut changed = request.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let answer = lab.ask(&changed);
            let time = answer.as_ref().is_some_and(Answer::is_time);
            ensure(!time, || format!("time although bit {bit} is changed"))?;
        }
        lab.time_for(&request)?;
    }
    Ok(())
}

fn trailing(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let unknown = Field::new(UNKNOWN, vec![0x55; 24]).octets();
        let placeholder = Field::new(PLACEHOLDER, vec![0; session.cookie.len()]).octets();
        for after in
            [unknown.clone(), placeholder.clone(), [placeholder, unknown, unique(64)].concat()]
        {
            let request = session.request_with(|draft| draft.after = after);
            let answer = lab.time_for(&request)?;
            let open = session.open(&answer)?;
            ensure(open.all(COOKIE).len() <= 1, || {
                format!("more cookies than asked: {}", shown(&answer.octets))
            })?;
        }
    }
    Ok(())
}

fn never_longer(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::strict(lab, 3);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        // As many as fit into a datagram on an Ethernet.
        let most = (1472 - session.request(0).len()) / (session.cookie.len() + 4);
        for placeholders in (0..=most).step_by(lab.many(5, 1, 1)) {
            let mut answers = all_answers(&mut lab, &session, placeholders);
            let mut draft = session.draft(placeholders.min(5));
            draft.clear.push(Field::new(PLACEHOLDER, vec![0; 16]));
            let odd = session.seal(&draft);
            answers.extend(lab.ask(&odd).map(|answer| (odd, answer)));
            let smallest = session.request_with(|draft| draft.clear.truncate(2));
            answers.extend(lab.ask(&smallest).map(|answer| (smallest, answer)));
            ensure(answers.len() >= 6, || format!("only {} answers", answers.len()))?;
            for (request, answer) in answers {
                ensure(answer.octets.len() <= request.len(), || {
                    format!("{} octets for {}", answer.octets.len(), request.len())
                })?;
            }
        }
    }
    Ok(())
}

fn same_length(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for placeholders in 0..=most_placeholders(cipher) {
            let request = session.request(placeholders);
            let answer = lab.time_for(&request)?;
            let open = session.open(&answer)?;
            ensure(answer.octets.len() == request.len() && open.padding == 0, || {
                let len = answer.octets.len();
                format!("{len} octets for {}, padding {}", request.len(), open.padding)
            })?;
        }
    }
    Ok(())
}

fn other_modes(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    for mode in [0, 1, 2, 4, 5, 6, 7] {
        let mut forged = session.clone();
        forged.cookie[50] ^= 1;
        for session in [&session, &forged] {
            let request = session.request_with(|draft| draft.header = header(4, mode));
            lab.control()?;
            let answer = lab.ask(&request);
            lab.control()?;
            let as_nts = answer
                .as_ref()
                .is_some_and(|answer| answer.is_nts() || answer.kiss() == Some(*b"NTSN"));
            ensure(!as_nts, || format!("mode {mode}: {}", shown_answer(&answer)))?;
        }
    }
    Ok(())
}

fn parts(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    for subset in 0..8 {
        let [has_unique, has_cookie, is_sealed] = [1, 2, 4].map(|bit| subset & bit != 0);
        let mut draft = session.draft(0);
        draft.clear.retain(|field| match field.kind {
            UNIQUE => has_unique,
            _ => has_cookie,
        });
        let mut request = session.seal(&draft);
        if !is_sealed {
            request = draft.header;
            request.extend(draft.clear.iter().flat_map(Field::octets));
        }
        lab.control()?;
        let answer = lab.ask(&request);
        lab.control()?;
        let is_nts = answer.as_ref().is_some_and(Answer::is_nts);
        ensure(is_nts == (subset == 7), || {
            format!(
                "identifier {has_unique}, cookie {has_cookie}, authenticator {is_sealed}: {}",
                shown_answer(&answer)
            )
        })?;
    }
    Ok(())
}

fn two_cookies(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let same = Field::new(COOKIE, session.cookie.clone());
        let other = Field::new(COOKIE, identifier(session.cookie.len()));
        for second in [same, other] {
            lab.silence_for(&session.request_with(|draft| draft.clear.push(second)))?;
        }
        // Two authenticators, the first of them right.
        let request = session.request(0);
        let second = super::octets::authenticator(&[0x78; 16], &[0x99; 16], 0);
        lab.silence_for(&[request, second].concat())?;
    }
    Ok(())
}

fn short_identifier(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for len in [12, 16, 28] {
            lab.no_time_for(&session.request_with(|draft| draft.clear[0].body = identifier(len)))?;
        }
    }
    Ok(())
}

fn nonces(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    // For each algorithm: 10^4 answers in all, and 10^6 where time is no matter.
    let rounds = lab.many(20, 3_400, 340_000);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let request = session.request(0);
        let mut seen = HashSet::new();
        for _ in 0..rounds {
            let answer = lab.ask_as(&request, CLIENT).ok_or("silence")?;
            let body = &answer.of_kind(AUTHENTICATOR).first().ok_or("no authenticator")?.body;
            let len = usize::from(u16::from_be_bytes(*body.first_chunk().ok_or("no nonce")?));
            let nonce = body.get(4..4 + len).ok_or("a nonce past the end")?;
            ensure(len >= 12 && seen.insert(nonce.to_vec()), || {
                format!("nonce {nonce:02x?} after {} answers", seen.len())
            })?;
        }
    }
    // Clients of plain NTP get none of it.
    lab.time_for(&plain()).map(drop)
}
