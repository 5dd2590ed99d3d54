//! Cookies: what they are worth and for how long, and what those who lost theirs are told (NS-06, NS-14 to NS-16, NS-23,
//! NS-25, NS-26, NS-28 to NS-30).

use noonmark_conformance::check::Check;
use noonmark_nts::{KeyRing, Pace};
use noonmark_os::random::RandomPool;
use noonmark_os::store::fault::FaultyFolder;
use noonmark_os::store::{Kind, Store};
use noonmark_units::UnixTime;

use super::lab::{DENIED, NtpLab, Outcome, Session, ensure, shown, shown_answer};
use super::memory::grows_by;
use super::octets::{
    ASKED, AUTHENTICATOR, Answer, COOKIE, Cipher, Field, Keys, PLACEHOLDER, UNIQUE, identifier,
};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["NS-06"], name: "returned_cookies_work", run: chain },
    Check { ids: &["NS-14"], name: "a_cookie_or_tag_that_fails_gets_ntsn", run: ntsn },
    Check { ids: &["NS-15"], name: "ntsn_has_neither_cookie_nor_authenticator", run: ntsn_is_bare },
    Check { ids: &["NS-16"], name: "ntsn_belongs_to_its_request", run: ntsn_echoes },
    Check { ids: &["NS-23"], name: "replays_leave_no_state", run: replays },
    Check { ids: &["NS-25"], name: "cookies_cannot_be_linked", run: unlinkable },
    Check { ids: &["NS-26"], name: "cookies_live_through_their_retention", run: rotation },
    Check { ids: &["NS-28"], name: "cookies_outlive_a_restart", run: restart },
    Check {
        ids: &["NS-29"],
        name: "an_authentic_client_gets_an_authentic_kiss",
        run: authentic_kiss,
    },
    Check { ids: &["NS-30"], name: "at_most_eight_cookies_are_made", run: eight_cookies },
];

fn chain(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let mut session = Session::new(&lab, cipher);
        let placeholders = if cipher == Cipher::Siv512 { 5 } else { 7 };
        let mut jar = session.cookies_for(&mut lab, &session.request(placeholders))?;
        for exchange in 0..lab.many(16, 1000, 10_000) {
            // All cookies of an answer get their turn.
            session.cookie = jar.remove(0);
            let wanted = usize::from(jar.len() < 7);
            let mut new = session.cookies_for(&mut lab, &session.request(wanted))?;
            ensure(!new.is_empty(), || format!("no cookie in answer {exchange}"))?;
            jar.append(&mut new);
        }
    }
    Ok(())
}

/// Requests whose cookie or tag is not good, and why; the identifier is in order.
fn bad_requests(lab: &NtpLab, session: &Session) -> Vec<(&'static str, Vec<u8>)> {
    let with_cookie = |change: fn(&mut Vec<u8>)| {
        let mut session = session.clone();
        change(&mut session.cookie);
        session.request(0)
    };
    let wrong_keys = Keys { c2s: session.keys.s2c.clone(), ..session.keys.clone() };
    let wrong_keys =
        Session { keys: wrong_keys, cookie: Session::new(lab, session.keys.cipher).cookie };
    let mut wrong_tag = session.request(1);
    if let Some(last) = wrong_tag.last_mut() {
        *last ^= 0x80;
    }
    vec![
        ("an epoch that has no key", with_cookie(|cookie| cookie[0] ^= 0x40)),
        ("a nonce changed", with_cookie(|cookie| cookie[10] ^= 1)),
        ("a cookie's tag changed", with_cookie(|cookie| cookie[25] ^= 1)),
        ("keys in the cookie changed", with_cookie(|cookie| cookie[60] ^= 1)),
        ("a cookie cut short", with_cookie(|cookie| cookie.truncate(64))),
        ("a longer cookie", with_cookie(|cookie| cookie.extend([0; 4]))),
        ("another client key", wrong_keys.request(0)),
        ("the packet's tag changed", wrong_tag),
    ]
}

fn ntsn(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for (what, request) in bad_requests(&lab, &session) {
            let answer = lab.ask(&request);
            let kiss = answer.as_ref().and_then(Answer::kiss);
            ensure(kiss == Some(*b"NTSN"), || format!("{what}: {}", shown_answer(&answer)))?;
        }
    }
    lab.control()
}

fn ntsn_is_bare(lab: &mut Lab) -> Outcome {
    each_ntsn(lab, |answer| !answer.has(COOKIE) && !answer.has(AUTHENTICATOR))
}

fn ntsn_echoes(lab: &mut Lab) -> Outcome {
    each_ntsn(lab, |answer| {
        let unique = answer.of_kind(UNIQUE);
        let is_echoed = matches!(unique[..], [field] if field.body == identifier(32));
        is_echoed && answer.origin() == ASKED && answer.leap() == 3
    })
}

/// Every NTSN must be as `holds` says.
fn each_ntsn(lab: &mut Lab, holds: fn(&Answer) -> bool) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let mut seen = 0;
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for (what, request) in bad_requests(&lab, &session) {
            let Some(answer) = lab.ask(&request) else { continue };
            seen += 1;
            ensure(holds(&answer), || format!("{what}: {}", shown(&answer.octets)))?;
        }
    }
    ensure(seen >= 9, || format!("only {seen} answers"))
}

fn replays(lab: &mut Lab) -> Outcome {
    let mut open = NtpLab::new(lab);
    let session = Session::new(&open, Cipher::Siv256);
    let request = session.request(3);
    // Answered each time: nothing is remembered by which a replay could be told.
    for _ in 0..5 {
        open.time_for(&request)?;
    }
    let replays = open.many(60, 10_000, 1_000_000);
    let mut strict = NtpLab::strict(lab, 4);
    grows_by(1 << 20, || {
        for _ in 0..replays {
            let _ = strict.ask(&request);
            let _ = open.ask(&request);
        }
        open.control()
    })
}

fn unlinkable(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let mut cookies = Vec::new();
        let wanted = lab.many(64, 512, 4096);
        while cookies.len() < wanted {
            cookies.append(&mut session.cookies_for(&mut lab, &session.request(3))?);
        }
        // By chance, two cookies agree in an octet once in 256; the key id in front tells the epoch and no more.
        let pairs = wanted * (wanted - 1) / 2;
        for at in 4..session.cookie.len() {
            let mut counts = [0_usize; 256];
            for cookie in cookies.iter().take(wanted) {
                counts[usize::from(*cookie.get(at).ok_or("cookies of several lengths")?)] += 1;
            }
            let equal: usize = counts.iter().map(|count| count * count.saturating_sub(1) / 2).sum();
            ensure(equal < pairs / 256 * 3 + 40, || {
                format!("octet {at} is the same in {equal} of {pairs} pairs")
            })?;
        }
    }
    Ok(())
}

const DAY: i64 = 86_400;
const BEGUN: i64 = 1_900_000_000;

fn ring(retained: u16) -> Result<KeyRing, String> {
    let mut pool = RandomPool::new().map_err(|error| error.to_string())?;
    let pace = Pace { interval: 86_400, retained };
    KeyRing::new(pace, UnixTime::new(BEGUN, 0), &mut |out: &mut [u8]| pool.fill(out))
        .map_err(|error| error.to_string())
}

fn rotation(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for retained in [1, 2, 7] {
        let mut ring = ring(retained)?;
        // Away from epoch 0, which has nothing before it.
        lab.turn(&mut ring, UnixTime::new(BEGUN + 20 * DAY, 0));
        let session = Session::new(&lab, Cipher::Siv256);
        let request = session.request(0);
        for day in 0..=i64::from(retained) {
            for second in [0, DAY - 1] {
                lab.turn(&mut ring, UnixTime::new(BEGUN + (20 + day) * DAY + second, 0));
                lab.time_for(&request).map_err(|failure| format!("day {day}: {failure}"))?;
            }
        }
        lab.turn(&mut ring, UnixTime::new(BEGUN + (21 + i64::from(retained)) * DAY, 0));
        let answer = lab.no_time_for(&request)?;
        let kiss = answer.as_ref().and_then(Answer::kiss);
        ensure(kiss == Some(*b"NTSN"), || shown_answer(&answer))?;
    }
    // A host that shares the ring and whose clock is a little ahead issues cookies of the coming epoch.
    let mut here = ring(2)?;
    let mut ahead = KeyRing::from_octets(&here.to_octets()).map_err(|error| error.to_string())?;
    lab.turn(&mut ahead, UnixTime::new(BEGUN + DAY, 0));
    let early = Session::new(&lab, Cipher::GcmSiv).request(0);
    lab.turn(&mut here, UnixTime::new(BEGUN + DAY - 1, 0));
    lab.time_for(&early).map(drop)
}

fn restart(lab: &mut Lab) -> Outcome {
    const RING: Kind = Kind { name: "keyring", label: *b"keyring ", version: 1 };
    let mut before = NtpLab::new(lab);
    let mut ring = ring(2)?;
    before.turn(&mut ring, UnixTime::new(BEGUN + 5 * DAY, 0));
    let mut store = Store::new(FaultyFolder::new());
    store.write(RING, &ring.to_octets()).map_err(|error| error.to_string())?;
    // Key establishment, then the machine stops, and only what is on the disk is left.
    let sessions = Cipher::ALL.map(|cipher| Session::new(&before, cipher));
    let mut store = Store::new(store.folder().power_lost(0));
    drop((before, ring));
    let stored = store.read(RING).map_err(|error| error.to_string())?.ok_or("nothing is stored")?;
    let mut after = NtpLab::restart(lab, &stored)?;
    for session in sessions {
        after.time_for(&session.request(0))?;
    }
    Ok(())
}

fn authentic_kiss(lab: &mut Lab) -> Outcome {
    for cipher in Cipher::ALL {
        let mut lab = NtpLab::strict(lab, 3);
        let session = Session::new(&lab, cipher);
        let request = session.request(1);
        let must_be = |answer: Option<Answer>, code: [u8; 4]| {
            let is_authentic = answer.as_ref().is_some_and(|answer| session.open(answer).is_ok());
            let kiss = answer.as_ref().and_then(Answer::kiss);
            ensure(is_authentic && kiss == Some(code), || {
                format!("no authentic {}: {}", code.escape_ascii(), shown_answer(&answer))
            })
        };
        must_be(lab.ask_as(&request, DENIED), *b"DENY")?;
        for _ in 0..3 {
            lab.time_for(&request)?;
        }
        must_be(lab.ask(&request), *b"RATE")?;
        lab.control()?;
    }
    Ok(())
}

fn eight_cookies(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let most = (1500 - session.request(0).len()) / (session.cookie.len() + 4);
        let placeholder = |len: usize| Field::new(PLACEHOLDER, vec![0; len]);
        let mut encrypted = session.draft(0);
        encrypted.inner = vec![placeholder(session.cookie.len()); most];
        let mut small = session.draft(0);
        small.clear.extend(vec![placeholder(12); (1500 - session.request(0).len()) / 16]);
        for request in [session.request(most), session.seal(&encrypted), session.seal(&small)] {
            let answer = lab.time_for(&request)?;
            let cookies = session.open(&answer)?.all(COOKIE).len();
            ensure((1..=8).contains(&cookies), || format!("{cookies} cookies in an answer"))?;
        }
    }
    Ok(())
}
