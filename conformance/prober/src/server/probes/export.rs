//! Keys (KX-*): they are exported in every way a server might, and NTP tells which of them it used. What the server did is
//! then known, and each probe looks at its own part of it.

use super::{Bench, Judgement, Needs, Probe, probe};
use crate::octets::cipher::{Cipher, Keys};
use crate::octets::field::AUTHENTICATOR;
use crate::octets::record::{self, COMPLIANT_EXPORT, KEEP_ALIVE, Record};
use crate::server::establishment::{Response, minimal};
use crate::server::judgement::{Objection, ensure};
use crate::server::session::{LABEL, Session};

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("KX-01", Needs::Nts, "requests under keys exported by the RFC's label, and by that of old drafts", "time for the first", label),
    probe("KX-02", Needs::Nts, "keys exported with contexts of several layouts", "time for protocol, AEAD, direction", context),
    probe("KX-03", Needs::Nts, "keys exported with and without a context", "time for those with", context_given),
    probe("KX-04", Needs::Nts, "keys of the algorithm's length, and shorter ones filled up", "time for the former", key_lengths),
    probe("KX-05", Needs::Nts, "AEAD 30 with and without record 1024, contexts naming 30 and 15", "30 where it was agreed on", context_id),
    probe("KX-06", Needs::Nts, "each cookie of a response under the same keys", "time for each", same_keys),
    probe("KX-07", Needs::Nts, "keys exported with a sixth octet of context", "no time", no_longer_context),
    probe("KX-08", Needs::Ke, "record 8, Keep Alive", "no agreement, and the connection ends", not_kept_alive),
];

const OLD_LABEL: &str = "EXPORTER-network-time-security/1";

/// How a server might lay out the exporter context.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Layout {
    /// Protocol, AEAD, direction.
    Full,
    /// The same with the directions exchanged.
    Swapped,
    /// AEAD and direction.
    NoProtocol,
    /// Nothing.
    None,
    /// A sixth octet.
    Longer,
}

/// How a server made its keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Made {
    label: &'static str,
    layout: Layout,
    /// The AEAD number in the context.
    id: u16,
    /// Octets exported; the rest of the key is zeros.
    exported: usize,
}

/// Every way, the right one first.
fn ways(cipher: Cipher) -> impl Iterator<Item = Made> {
    use Layout::{Full, Longer, NoProtocol, None, Swapped};
    let mut lens = vec![cipher.key_len(), 32, 16];
    lens.retain(|len| *len <= cipher.key_len());
    lens.dedup();
    let mut ids = vec![cipher.number(), 15, 30];
    ids.dedup();
    lens.into_iter().flat_map(move |exported| {
        let ids = ids.clone();
        [LABEL, OLD_LABEL].into_iter().flat_map(move |label| {
            let ids = ids.clone();
            [Full, Swapped, NoProtocol, None, Longer].into_iter().flat_map(move |layout| {
                // Without a context there is no number in it.
                let count = if layout == None { 1 } else { ids.len() };
                let ids = ids[..count].to_vec();
                ids.into_iter().map(move |id| Made { label, layout, id, exported })
            })
        })
    })
}

fn keys(response: &Response, cipher: Cipher, made: Made) -> Result<Keys, Objection> {
    let [high, low] = made.id.to_be_bytes();
    let key = |direction: u8| {
        let context: Option<Vec<u8>> = match made.layout {
            Layout::Full => Some(vec![0, 0, high, low, direction]),
            Layout::Swapped => Some(vec![0, 0, high, low, 1 - direction]),
            Layout::NoProtocol => Some(vec![high, low, direction]),
            Layout::None => None,
            Layout::Longer => Some(vec![0, 0, high, low, direction, 0]),
        };
        let exported = response.talk.export(made.exported, made.label, context.as_deref());
        let mut key = exported.map_err(Objection::unclear)?;
        key.resize(cipher.key_len(), 0);
        Ok(key)
    };
    Ok(Keys { cipher, c2s: key(0)?, s2c: key(1)? })
}

/// Whether the server takes this cookie under these keys, and answers under them.
fn takes(
    bench: &mut Bench<'_>,
    response: &Response,
    cookie: &[u8],
    cipher: Cipher,
    made: Made,
) -> Result<bool, Objection> {
    let ntp = bench.session()?.ntp;
    let session = Session {
        keys: keys(response, cipher, made)?,
        cookie: cookie.to_vec(),
        cookies: Vec::new(),
        ntp,
    };
    bench.keys.push(crate::evidence::SessionKeys::from(&session.keys));
    let meaning = format!("keys of AEAD {} made by {made:?}", cipher.number());
    // Most ways are wrong ones, and NTSN or silence says so: no need to insist.
    let socket = bench.port()?;
    let mut answer = bench.ask_from(&socket, session.ntp, &session.request(0), &meaning)?;
    if answer.is_none() && made.layout == Layout::Full && made.label == LABEL {
        answer = bench.ask_nts(&session, &session.request(0), &meaning)?;
    }
    Ok(answer.is_some_and(|answer| {
        answer.has(AUTHENTICATOR) && session.open_with(&answer, &session.keys.s2c).is_some()
    }))
}

/// A key exchange, and how the keys behind its first cookie were made; `None` where the server does not have the algorithm.
fn exchange(
    bench: &mut Bench<'_>,
    cipher: Cipher,
    compliant: bool,
) -> Result<Option<(Response, Made)>, Objection> {
    let mut records = vec![Record::protocols(&[0]), Record::aeads(&[cipher.number()])];
    if compliant {
        records.push(Record::new(false, COMPLIANT_EXPORT, []));
    }
    let response = bench.establish_by(&records, &format!("AEAD {}", cipher.number()))?;
    if response.aead() != Some(cipher.number()) {
        return Ok(None);
    }
    let Some(cookie) = response.cookies().first().cloned() else { return Ok(None) };
    for made in ways(cipher) {
        if takes(bench, &response, &cookie, cipher, made)? {
            return Ok(Some((response, made)));
        }
    }
    bench.control()?;
    Err(Objection::unclear(format!(
        "no keys that a server might make for AEAD {} work",
        cipher.number()
    )))
}

/// What holds however keys are made.
fn each_way(bench: &mut Bench<'_>, what: &str, holds: impl Fn(Made) -> bool) -> Judgement {
    let mut aeads = Vec::new();
    for cipher in [Cipher::Siv256, Cipher::GcmSiv] {
        let Some((_, made)) = exchange(bench, cipher, false)? else { continue };
        ensure(holds(made), || format!("AEAD {}: keys are made by {made:?}", cipher.number()))?;
        aeads.push(cipher.number().to_string());
    }
    Ok(format!("{what}, AEAD {}", aeads.join(", ")))
}

fn label(bench: &mut Bench<'_>) -> Judgement {
    each_way(bench, "keys come from the label of RFC 8915", |made| made.label == LABEL)
}

fn context(bench: &mut Bench<'_>) -> Judgement {
    each_way(bench, "the context is protocol, AEAD, direction", |made| {
        !matches!(made.layout, Layout::NoProtocol | Layout::Swapped)
    })
}

fn context_given(bench: &mut Bench<'_>) -> Judgement {
    each_way(bench, "a context is given", |made| made.layout != Layout::None)
}

fn no_longer_context(bench: &mut Bench<'_>) -> Judgement {
    each_way(bench, "the context has five octets", |made| made.layout != Layout::Longer)
}

fn key_lengths(bench: &mut Bench<'_>) -> Judgement {
    let mut aeads = Vec::new();
    for cipher in Cipher::ALL {
        let Some((_, made)) = exchange(bench, cipher, false)? else { continue };
        let exported = made.exported;
        ensure(exported == cipher.key_len(), || {
            format!("AEAD {}: {exported} octets are exported for a key", cipher.number())
        })?;
        aeads.push(format!("{}: {exported}", cipher.number()));
    }
    Ok(format!("octets of a key by AEAD: {}", aeads.join(", ")))
}

fn context_id(bench: &mut Bench<'_>) -> Judgement {
    let others = exchange(bench, Cipher::Siv256, false)?;
    if let Some((_, made)) = others {
        ensure(made.id == 15 || made.layout == Layout::None, || {
            format!("AEAD 15: the context names {}", made.id)
        })?;
    }
    let Some((response, made)) = exchange(bench, Cipher::GcmSiv, true)? else {
        return Ok("AEAD 15 is named; there is no AEAD 30".to_owned());
    };
    let agreed = response.count(COMPLIANT_EXPORT) > 0;
    ensure(!agreed || made.id == 30 || made.layout == Layout::None, || {
        format!("record 1024 is agreed on, and the context names {}", made.id)
    })?;
    let Some((_, without)) = exchange(bench, Cipher::GcmSiv, false)? else {
        return Err(Objection::unclear("AEAD 30 comes and goes"));
    };
    if without.id == 15 && without.layout != Layout::None {
        return Err(Objection::deviates(
            "with AEAD 30 the context names 15 unless record 1024 is agreed on, as in chrony",
        ));
    }
    Ok(format!("contexts name 15 and {}", made.id))
}

fn same_keys(bench: &mut Bench<'_>) -> Judgement {
    let mut count = 0;
    for (cipher, compliant) in
        [(Cipher::Siv256, false), (Cipher::GcmSiv, false), (Cipher::GcmSiv, true)]
    {
        let Some((response, made)) = exchange(bench, cipher, compliant)? else { continue };
        for (place, cookie) in response.cookies().into_iter().enumerate() {
            // A cookie of a length that none of the server's has tells nothing about keys.
            let odd = !cookie.len().is_multiple_of(4);
            let good = odd
                || takes(bench, &response, &cookie, cipher, made)?
                || takes(bench, &response, &cookie, cipher, made)?;
            ensure(good, || {
                format!(
                    "AEAD {}: cookie {place} does not hold the keys of the first",
                    cipher.number()
                )
            })?;
            count += 1;
        }
    }
    Ok(format!("{count} cookies hold the keys of their response"))
}

/// draft-ietf-ntp-nts-keyexchange-pool asks by record 8 for further exchanges on one connection, whose keys would be one.
fn not_kept_alive(bench: &mut Bench<'_>) -> Judgement {
    let mut records = vec![Record::new(false, KEEP_ALIVE, [0, 0])];
    records.extend(minimal());
    let response = bench.served(&records, "a request to keep the connection alive")?;
    let agreed = response.count(KEEP_ALIVE) > 0;
    let cookies = response.count(record::COOKIE);
    if agreed && cookies == 0 {
        return Err(Objection::unbound("Keep Alive is agreed on, and no keys are given with it"));
    }
    ensure(!agreed, || format!("Keep Alive is agreed on beside {cookies} cookies"))?;
    ensure(response.talk.notified || response.talk.ended, || {
        "the connection stays open".to_owned()
    })?;
    Ok("Keep Alive is not agreed on, and the connection ends".to_owned())
}
