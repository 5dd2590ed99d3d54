//! The probes, section by section.

pub mod cookies;
pub mod establishment;
pub mod export;
pub mod fields;
pub mod interleaved;
pub mod nts;
pub mod practice;
pub mod transport;
pub mod wire;

use super::{Bench, Judgement, Needs, Probe, Turn};
use crate::clause::{Look, Way};

/// Every probe there is, in no order.
#[must_use]
pub fn all() -> Vec<Probe> {
    [
        transport::PROBES,
        establishment::PROBES,
        export::PROBES,
        fields::PROBES,
        nts::PROBES,
        cookies::PROBES,
        wire::PROBES,
        interleaved::PROBES,
        practice::PROBES,
    ]
    .concat()
}

/// One made in every run.
const fn probe(
    id: &'static str,
    needs: Needs,
    sent: &'static str,
    expected: &'static str,
    run: fn(&mut Bench<'_>) -> Judgement,
) -> Probe {
    let look = Look { id, way: Way::Probed, sent, expected };
    Probe { look, needs, turn: Turn::Usual, run }
}

/// One made with `--deep` only.
const fn deep(
    id: &'static str,
    needs: Needs,
    sent: &'static str,
    expected: &'static str,
    run: fn(&mut Bench<'_>) -> Judgement,
) -> Probe {
    let look = Look { id, way: Way::Deep, sent, expected };
    Probe { look, needs, turn: Turn::Usual, run }
}

/// The same at another time of the run.
const fn at(turn: Turn, probe: Probe) -> Probe {
    Probe { turn, ..probe }
}
