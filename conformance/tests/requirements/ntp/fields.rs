//! Extension fields and what may be taken for one (EF-*).

use std::time::{Duration, Instant};

use noonmark_conformance::check::Check;
use noonmark_server::{Counter, ROOM};

use super::lab::{NtpLab, Outcome, Session, ensure, shown, shown_answer};
use super::octets::{
    AUTHENTICATOR, COMPLEMENT, COOKIE, Cipher, EXPERIMENTAL, Field, PLACEHOLDER, UNIQUE, UNKNOWN,
    claiming, field, header, identifier, plain_with, unique,
};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["EF-01"], name: "fields_need_no_mac", run: without_mac },
    Check { ids: &["EF-02"], name: "field_lengths_are_multiples_of_four", run: odd_lengths },
    Check { ids: &["EF-03"], name: "a_field_past_the_end_drops_the_packet", run: past_the_end },
    Check { ids: &["EF-04"], name: "a_field_below_16_octets_frames_nothing", run: below_16 },
    Check { ids: &["EF-05"], name: "the_only_field_has_28_octets", run: lone_field },
    Check { ids: &["EF-06"], name: "the_last_field_has_28_octets", run: last_field },
    Check {
        ids: &["EF-07"],
        name: "what_is_left_decides_between_field_and_mac",
        run: what_is_left,
    },
    Check { ids: &["EF-08"], name: "a_mac_of_36_octets_gets_no_time", run: long_mac },
    Check { ids: &["EF-09"], name: "nts_and_a_mac_together_get_no_time", run: two_macs },
    Check { ids: &["EF-10"], name: "unknown_fields_are_ignored", run: unknown },
    Check { ids: &["EF-11"], name: "unknown_fields_are_not_echoed", run: not_echoed },
    Check { ids: &["EF-12"], name: "many_and_large_fields_cost_little", run: many_and_large },
    Check { ids: &["EF-13"], name: "before_version_4_there_are_no_fields", run: before_version_4 },
    Check { ids: &["EF-14"], name: "a_lone_cookie_field_is_no_nts", run: autokey },
    Check { ids: &["EF-15"], name: "no_experimental_field_is_sent", run: experimental },
    Check { ids: &["EF-16"], name: "encrypted_fields_may_be_short", run: short_encrypted },
    Check {
        ids: &["EF-17"],
        name: "identifier_or_authenticator_twice_drops_the_packet",
        run: twice,
    },
    Check { ids: &["EF-18"], name: "the_checksum_complement_is_ignored", run: complement },
];

/// Octets of a field nobody knows, `len` in all.
fn unknown_of(len: usize) -> Vec<u8> {
    field(UNKNOWN, &vec![0x55; len - 4])
}

/// Something that can only be a MAC: key id 1 and a digest.
fn mac(digest: usize) -> Vec<u8> {
    [&[0, 0, 0, 1][..], &vec![0xd1; digest]].concat()
}

fn without_mac(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    lab.time_for(&plain_with(&unique(32)))?;
    lab.time_for(&plain_with(&unknown_of(44)))?;
    lab.time_for(&plain_with(&[unknown_of(16), unique(64)].concat()))?;
    let request = Session::new(&lab, Cipher::Siv256).request(0);
    lab.time_for(&request).map(drop)
}

fn odd_lengths(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for claimed in [0, 1, 3, 5, 17, 18, 29, 30, 31] {
        let odd = claiming(UNKNOWN, claimed, &[0x55; 28]);
        lab.silence_for(&plain_with(&odd))?;
        lab.silence_for(&plain_with(&[odd, unique(32)].concat()))?;
        lab.silence_for(&plain_with(
            &[unique(32), claiming(UNKNOWN, claimed, &[0x55; 28])].concat(),
        ))?;
    }
    // The header counts: the same field, its length that of the body alone, leaves four octets that are nothing.
    lab.silence_for(&plain_with(&claiming(UNKNOWN, 28, &[0x55; 28])))
}

fn past_the_end(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for claimed in [0xfffc, 0x8000, 104, 56] {
        lab.silence_for(&plain_with(&claiming(UNKNOWN, claimed, &[0x55; 48])))?;
        let second = [unknown_of(16), claiming(UNKNOWN, claimed, &[0x55; 32])].concat();
        lab.silence_for(&plain_with(&second))?;
    }
    Ok(())
}

fn below_16(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for short in [4, 8, 12] {
        // Whoever reads the short field as one of 16 octets finds an identifier inside the second.
        let inside = [vec![0x55; 12 - short], unique(32)].concat();
        let request = plain_with(&[unknown_of(short), field(UNKNOWN, &inside)].concat());
        lab.control()?;
        let answer = lab.ask(&request);
        lab.control()?;
        let framed = answer.as_ref().is_some_and(|answer| !answer.fields.is_empty());
        ensure(!framed, || format!("{short} octets: {}", shown_answer(&answer)))?;
    }
    Ok(())
}

fn lone_field(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for len in [16, 20, 24] {
        lab.silence_for(&plain_with(&unknown_of(len)))?;
    }
    lab.time_for(&plain_with(&unknown_of(28))).map(drop)
}

fn last_field(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let of = |lens: &[usize]| {
        plain_with(&lens.iter().flat_map(|&len| unknown_of(len)).collect::<Vec<_>>())
    };
    for framed in
        [&[16, 28][..], &[16, 16, 28], &[28, 28], &[20, 24, 28], &[28, 44], &[16, 20, 16, 60]]
    {
        lab.time_for(&of(framed))?;
    }
    for not_framed in [&[28, 16][..], &[16, 16], &[28, 20], &[28, 24], &[44, 28, 16], &[16, 16, 24]]
    {
        lab.silence_for(&of(not_framed))?;
    }
    Ok(())
}

fn what_is_left(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    lab.silence_for(&plain_with(&[0; 4]))?;
    for len in [8, 12] {
        lab.silence_for(&plain_with(&vec![0; len]))?;
        lab.silence_for(&plain_with(&unknown_of(len)))?;
    }
    // 20 and 24 octets are a MAC, even if they could be an identifier: nothing of them comes back.
    for len in [20, 24] {
        lab.control()?;
        let answer = lab.ask(&plain_with(&field(UNIQUE, &identifier(len - 4))));
        let echoed = answer.as_ref().is_some_and(|answer| answer.has(UNIQUE));
        ensure(!echoed, || format!("{len} octets: {}", shown_answer(&answer)))?;
        lab.control()?;
    }
    for len in [28, 32, 36, 40] {
        lab.time_for(&plain_with(&unknown_of(len)))?;
    }
    Ok(())
}

fn long_mac(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for digest in [28, 32, 48, 64] {
        lab.no_time_for(&plain_with(&mac(digest)))?;
    }
    Ok(())
}

/// The only field that asks for an algorithm is the NTS authenticator; a MAC behind it asks for another.
fn two_macs(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    for digest in [16, 20] {
        lab.no_time_for(&session.request_with(|draft| draft.after = mac(digest)))?;
    }
    Ok(())
}

fn unknown(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for kind in [EXPERIMENTAL, 0x0000, 0x0002, 0x8002, 0xffff] {
        lab.time_for(&plain_with(&field(kind, &[0x55; 24])))?;
    }
    let session = Session::new(&lab, Cipher::Siv256);
    let field = Field::new(EXPERIMENTAL, vec![0x55; 24]);
    lab.time_for(&session.request_with(|draft| draft.clear.push(field))).map(drop)
}

fn not_echoed(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    for kind in [UNKNOWN, 0x0002] {
        let unknown = Field::new(kind, b"something the server does not know..".to_vec());
        for request in [
            plain_with(&unknown.octets()),
            plain_with(&[unknown.octets(), unique(32)].concat()),
            session.request_with(|draft| draft.clear.insert(0, unknown.clone())),
            session.request_with(|draft| draft.inner.push(unknown.clone())),
        ] {
            let answer = lab.time_for(&request)?;
            let inner = session.open(&answer).map(|open| open.inner).unwrap_or_default();
            let echoed = answer.has(kind) || inner.iter().any(|field| field.kind == kind);
            ensure(!echoed, || format!("type {kind:04x} comes back: {}", shown(&answer.octets)))?;
        }
    }
    Ok(())
}

fn many_and_large(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let most = (ROOM - 48 - 28) / 16;
    let requests = [
        plain_with(&[unknown_of(16).repeat(63), unknown_of(28)].concat()),
        plain_with(&[unknown_of(16).repeat(most), unknown_of(28)].concat()),
        plain_with(&unknown_of(1400)),
    ];
    let rounds = lab.many(3, 100, 1000);
    for request in requests {
        let counted = lab.count(Counter::UnusualFields);
        let mut fastest = Duration::MAX;
        for _ in 0..rounds {
            let started = Instant::now();
            lab.time_for(&request)?;
            fastest = fastest.min(started.elapsed());
        }
        // Hundreds of times what it takes, so that only work without a bound is noticed, not a busy machine.
        ensure(fastest < Duration::from_millis(20), || {
            format!("{fastest:?} for {}", shown(&request))
        })?;
        let counted = lab.count(Counter::UnusualFields) - counted;
        ensure(counted == rounds as u64, || format!("{counted} of {rounds} are counted"))?;
    }
    // What is larger than any request is not read at all, and counted as that.
    lab.silence_for(&plain_with(&unknown_of(ROOM - 44)))?;
    ensure(lab.count(Counter::DroppedLong) == 1, || "a long datagram is not counted".to_owned())
}

fn before_version_4(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    for version in 1..4 {
        let nts = session.request_with(|draft| draft.header = header(version, 3));
        for request in [[header(version, 3), unique(32)].concat(), nts] {
            lab.control()?;
            let answer = lab.ask(&request);
            lab.control()?;
            let as_fields = answer
                .as_ref()
                .is_some_and(|answer| !answer.fields.is_empty() || answer.kiss() == Some(*b"NTSN"));
            ensure(!as_fields, || format!("version {version}: {}", shown_answer(&answer)))?;
        }
    }
    Ok(())
}

/// In Autokey 0x0204 was a message too (RFC 5906 §10); it has no authenticator of ours behind it.
fn autokey(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for request in [
        plain_with(&field(COOKIE, &[0x66; 100])),
        plain_with(&field(COOKIE, &[0x66; 24])),
        plain_with(&[unique(32), field(COOKIE, &[0x66; 100])].concat()),
        plain_with(&[field(COOKIE, &[0x66; 100]), unknown_of(28)].concat()),
    ] {
        for _ in 0..3 {
            lab.control()?;
            let answer = lab.ask(&request);
            lab.control()?;
            let as_nts =
                answer.as_ref().is_some_and(|answer| answer.is_nts() || answer.kiss().is_some());
            ensure(!as_nts, || format!("{}: {}", shown(&request), shown_answer(&answer)))?;
        }
    }
    Ok(())
}

fn experimental(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    let asking = Field::new(0xf5ff, b"draft-ietf-ntp-ntpv5-08.".to_vec());
    let mut forged = session.request(0);
    forged[120] ^= 1;
    for request in [
        plain_with(&[]),
        plain_with(&asking.octets()),
        plain_with(&[unique(32), asking.octets()].concat()),
        session.request(3),
        session.request_with(|draft| draft.clear.push(asking.clone())),
        session.request_with(|draft| draft.inner.push(asking.clone())),
        forged,
    ] {
        let answer = lab.ask(&request).ok_or_else(|| format!("silence for {}", shown(&request)))?;
        let mut fields = answer.fields.clone();
        if answer.has(AUTHENTICATOR) {
            fields.extend(session.open(&answer)?.inner);
        }
        let sent = fields.iter().find(|field| field.kind >= 0xf000);
        ensure(sent.is_none(), || format!("{sent:02x?} for {}", shown(&request)))?;
    }
    Ok(())
}

fn short_encrypted(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        for lens in [&[0][..], &[4], &[8, 0, 0], &[0, 100]] {
            let short = lens.iter().map(|&len| Field::new(UNKNOWN, vec![0x55; len]));
            let request = session.request_with(|draft| draft.inner.extend(short));
            lab.time_for(&request)?;
        }
        // And they are parsed: one that goes wrong inside is noticed.
        let broken = session.request_with(|draft| {
            draft.inner.push(Field::new(UNKNOWN, vec![0x55; 3]));
        });
        lab.no_time_for(&broken)?;
    }
    Ok(())
}

fn twice(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let session = Session::new(&lab, Cipher::Siv256);
    lab.silence_for(&plain_with(&unique(32).repeat(2)))?;
    lab.silence_for(&plain_with(&[unique(32), unique(64)].concat()))?;
    lab.silence_for(&session.request_with(|draft| draft.clear.push(draft.clear[0].clone())))?;
    // The second authenticator is as good as the first: it covers all before it.
    let first = session.request(0);
    let nonce = [0x78; 16];
    let sealed = Cipher::Siv256.seal(&session.keys.c2s, &first, &nonce, &[]);
    let second = super::octets::authenticator(&nonce, &sealed, 0);
    lab.silence_for(&[first, second].concat())
}

fn complement(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::new(lab);
    let complement = Field::new(COMPLEMENT, vec![0x12; 24]);
    lab.time_for(&plain_with(&complement.octets()))?;
    lab.time_for(&plain_with(&[unique(32), complement.octets()].concat()))?;
    for cipher in Cipher::ALL {
        let session = Session::new(&lab, cipher);
        let request = session.request_with(|draft| {
            draft.clear.push(Field::new(PLACEHOLDER, vec![0; session.cookie.len()]));
            draft.clear.push(complement.clone());
        });
        lab.time_for(&request)?;
    }
    Ok(())
}
