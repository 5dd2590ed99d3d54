//! Good practice that shows on the wire (BP-*).

use std::time::Duration;

use super::wire::{all_silent, header, mac, of_operators, plain, plain_with, unknown_of};
use super::{Bench, Judgement, Needs, Probe, probe};
use crate::octets::field::field;
use crate::server::judgement::{Objection, ensure};

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("BP-02", Needs::Plain, "an ordinary request", "a reference id other than `INIT`", no_init),
    probe("BP-06", Needs::Plain, "control messages of versions 2 and 3", "silence", no_control),
    probe("BP-12", Needs::Plain, "modes 1 and 5 without authentication, then an ordinary request", "no association: the stranger is not asked back", no_strangers),
    probe("BP-13", Needs::Plain, "an Autokey association request", "nothing of Autokey", no_autokey),
];

fn no_init(bench: &mut Bench<'_>) -> Judgement {
    let header = bench.ask(&plain(), "an ordinary request")?.header;
    ensure(header.reference_id != *b"INIT", || "the reference id is INIT".to_owned())?;
    Ok(format!("reference id {:02x?} at stratum {}", header.reference_id, header.stratum))
}

fn no_control(bench: &mut Bench<'_>) -> Judgement {
    let mut requests = of_operators(2, 48);
    requests.extend(of_operators(3, 48));
    all_silent(bench, &requests)?;
    Ok(format!("{} control messages got silence", requests.len()))
}

/// Who takes a stranger for a peer or a broadcast server asks it something in return.
fn no_strangers(bench: &mut Bench<'_>) -> Judgement {
    let wait = Duration::from_millis(500);
    let mut passive = 0;
    for (request, meaning) in [
        (header(4, 1), "mode 1"),
        ([header(4, 1), mac(16)].concat(), "mode 1 with a MAC of an unknown key"),
        (header(4, 5), "mode 5"),
    ] {
        bench.control()?;
        let exchange = bench.gather(&request, meaning, wait)?;
        bench.control()?;
        for (_, octets) in &exchange.got {
            let mode = octets.first().map_or(0, |first| first & 7);
            ensure(mode == 2 && exchange.got.len() == 1, || {
                format!("{meaning} from a stranger is answered in mode {mode}")
            })?;
            passive += 1;
        }
    }
    if passive > 0 {
        return Err(Objection::deviates(
            "a stranger in mode 1 gets one answer in mode 2, and no association is seen",
        ));
    }
    Ok("strangers in modes 1 and 5 hear nothing".to_owned())
}

/// RFC 5906 §10: field type 0x0202 asks for an association.
fn no_autokey(bench: &mut Bench<'_>) -> Judgement {
    for kind in [0x0202, 0x0502] {
        let request = plain_with(&[field(kind, &[0; 24]), unknown_of(28)].concat());
        let answer = bench.try_ask(&request, &format!("Autokey's message {kind:04x}"))?;
        let autokey =
            answer.is_some_and(|answer| answer.fields.iter().any(|field| field.kind & 0x3f == 2));
        ensure(!autokey, || format!("Autokey's message {kind:04x} is answered by one of Autokey"))?;
    }
    Ok("nothing of Autokey is answered".to_owned())
}
