//! Keys (KX-*): the client exports keys in every way a server might have, and tries which of them the responder takes beside
//! the cookie it was given. What the server used is then known, and each check looks at its own part of it.

use noonmark_conformance::check::{Check, Failure};

use super::lab::{Answer, KeLab, ensure};
use super::ntp;
use super::octets::{ASK_COMPLIANT, COOKIE, Draft, GCM_SIV, KEEP_ALIVE, NTPV4, SIV_256, SIV_512};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["KX-01"], name: "keys_come_from_the_label_of_the_rfc", run: label },
    Check { ids: &["KX-02"], name: "context_is_protocol_aead_and_direction", run: context },
    Check { ids: &["KX-03"], name: "context_is_always_given", run: context_given },
    Check { ids: &["KX-04"], name: "keys_have_the_length_of_their_algorithm", run: key_lengths },
    Check { ids: &["KX-05"], name: "context_names_the_aead_both_sides_mean", run: context_id },
    Check { ids: &["KX-06"], name: "all_cookies_of_a_response_hold_the_same_keys", run: same_keys },
    Check { ids: &["KX-07"], name: "context_has_no_sixth_octet", run: no_longer_context },
    Check { ids: &["KX-08"], name: "connection_asked_to_be_kept_alive_ends", run: not_kept_alive },
];

const LABEL: &str = "EXPORTER-network-time-security";
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
struct Way {
    label: &'static str,
    layout: Layout,
    /// The AEAD number in the context.
    id: u16,
    /// Octets exported; the rest of the key is zeros.
    exported: usize,
}

fn ways(aead: u16) -> impl Iterator<Item = Way> {
    use Layout::{Full, Longer, NoProtocol, None, Swapped};
    let key_len = key_len(aead);
    [key_len, 32, 16].into_iter().filter(move |len| *len <= key_len).flat_map(move |exported| {
        [LABEL, OLD_LABEL].into_iter().flat_map(move |label| {
            [Full, Swapped, NoProtocol, None, Longer].into_iter().flat_map(move |layout| {
                [aead, 15, 30].into_iter().map(move |id| Way { label, layout, id, exported })
            })
        })
    })
}

/// RFC 5297 §6.1 and §6.3, RFC 8452 §6.
fn key_len(aead: u16) -> usize {
    match aead {
        15 => 32,
        17 => 64,
        _ => 16,
    }
}

fn export(answer: &Answer, aead: u16, way: Way, direction: u8) -> Result<Vec<u8>, Failure> {
    let [high, low] = way.id.to_be_bytes();
    let context: Option<Vec<u8>> = match way.layout {
        Layout::Full => Some(vec![0, 0, high, low, direction]),
        Layout::Swapped => Some(vec![0, 0, high, low, 1 - direction]),
        Layout::NoProtocol => Some(vec![high, low, direction]),
        Layout::None => None,
        Layout::Longer => Some(vec![0, 0, high, low, direction, 0]),
    };
    let room = vec![0; way.exported];
    let client = &answer.talk.client;
    let exported = client.export_keying_material(room, way.label.as_bytes(), context.as_deref());
    let mut key = exported.map_err(|error| error.to_string())?;
    key.resize(key_len(aead), 0);
    Ok(key)
}

fn works(answer: &Answer, aead: u16, cookie: &[u8], way: Way) -> Result<bool, Failure> {
    let (c2s, s2c) = (export(answer, aead, way, 0)?, export(answer, aead, way, 1)?);
    Ok(ntp::takes(aead, cookie, &c2s, &s2c))
}

/// A key exchange, and how the keys behind its first cookie were made.
fn exchange(lab: &KeLab, records: &[Draft<'_>]) -> Result<(Answer, u16, Way), Failure> {
    let answer = lab.served(records)?;
    let aead = answer.aead().ok_or("no AEAD")?;
    let cookie = answer.cookies().first().ok_or("no cookie")?.to_vec();
    for way in ways(aead) {
        if works(&answer, aead, &cookie, way)? {
            return Ok((answer, aead, way));
        }
    }
    Err(format!("no keys that a server might make for AEAD {aead} work"))
}

/// What clients ask for, with each AEAD, and with record 1024.
const OFFERS: [&[Draft<'static>]; 3] =
    [&[NTPV4, SIV_256], &[NTPV4, GCM_SIV], &[NTPV4, GCM_SIV, ASK_COMPLIANT]];

/// What holds however keys of either length are made.
fn each_way(lab: &mut Lab, holds: impl Fn(Way) -> bool) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for offer in OFFERS {
        let (_, aead, way) = exchange(&lab, offer)?;
        ensure(holds(way), || format!("AEAD {aead}: keys are made by {way:?}"))?;
    }
    Ok(())
}

fn label(lab: &mut Lab) -> Result<(), Failure> {
    each_way(lab, |way| way.label == LABEL)
}

fn context(lab: &mut Lab) -> Result<(), Failure> {
    each_way(lab, |way| !matches!(way.layout, Layout::NoProtocol | Layout::Swapped))
}

fn context_given(lab: &mut Lab) -> Result<(), Failure> {
    each_way(lab, |way| way.layout != Layout::None)
}

fn no_longer_context(lab: &mut Lab) -> Result<(), Failure> {
    each_way(lab, |way| way.layout != Layout::Longer)
}

fn key_lengths(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for aead in [SIV_256, SIV_512, GCM_SIV] {
        let (_, aead, way) = exchange(&lab, &[NTPV4, aead])?;
        ensure(way.exported == key_len(aead), || {
            format!("AEAD {aead}: {} octets are exported for a key", way.exported)
        })?;
    }
    Ok(())
}

fn context_id(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    // Chrony's clients expect 15 beside AEAD 30 unless record 1024 was agreed.
    for (offer, id) in OFFERS.into_iter().zip([15, 15, 30]) {
        let (_, aead, way) = exchange(&lab, offer)?;
        let named = way.layout == Layout::None || way.id == id;
        ensure(named, || format!("AEAD {aead}: the context names {}, not {id}", way.id))?;
    }
    Ok(())
}

fn same_keys(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    for offer in OFFERS {
        let (answer, aead, way) = exchange(&lab, offer)?;
        for (place, record) in answer.of_kind(COOKIE).enumerate() {
            let cookie = &record.body;
            // A cookie of a length that none of the server's has tells nothing about keys.
            let odd = !cookie.len().is_multiple_of(4);
            ensure(odd || works(&answer, aead, cookie, way)?, || {
                format!("AEAD {aead}: cookie {place} does not hold the keys of the first")
            })?;
        }
    }
    Ok(())
}

/// draft-ietf-ntp-nts-keyexchange-pool asks by record 8 for further exchanges on one connection, whose keys would be one.
fn not_kept_alive(lab: &mut Lab) -> Result<(), Failure> {
    let lab = KeLab::new(lab);
    lab.control()?;
    let answer = lab.ask_for(&[(false, KEEP_ALIVE, &[0, 0]), NTPV4, SIV_256])?;
    ensure(answer.count(KEEP_ALIVE) == 0, || "Keep Alive is agreed on".to_owned())?;
    ensure(answer.talk.is_over(), || "the connection stays open".to_owned())
}
