//! Cells of interleaved mode (RFC 9769): chronyd asks noonmarkd, which tells it when its answers really left.

use std::time::Duration;

use serde_json::{Value, json};

use super::cells::{Cell, Figures};
use super::client::{Client, Seen};
use super::lab::{Family, Lab, Place};
use super::server::{Kind, Server};

/// Plain and under NTS, over both protocols.
pub fn all() -> Vec<Cell> {
    let ways = Family::ALL.into_iter().flat_map(|family| [(family, false), (family, true)]);
    ways.map(|(family, nts)| Interleaves { family, nts }.cell()).collect()
}

#[derive(Clone, Copy)]
struct Interleaves {
    family: Family,
    nts: bool,
}

impl Interleaves {
    fn cell(self) -> Cell {
        let how = if self.nts { "NTS" } else { "plain" };
        Cell {
            name: format!("chronyd from noonmarkd, interleaved, {how}, {}", self.family.label()),
            run: Box::new(move |lab, place| Ok(self.run(lab, place)?)),
        }
    }

    fn run(self, lab: &Lab, place: &Place) -> Result<Figures, String> {
        let server = Server::start(Kind::Noonmarkd, lab, place, &[])?;
        let mut client = Client::start_interleaved(lab, place, self.family, self.nts)?;
        let good = |seen: &Seen| {
            seen.selected
                && seen.interleaved
                && seen.authenticated == self.nts
                && seen.accepted >= ACCEPTED
        };
        let seen = client.wait_until(WITHIN, good)?;
        let status = server.status()?;
        let figures = self.judge(&seen, &status)?;
        Ok(figures)
    }

    fn judge(self, seen: &Seen, status: &Value) -> Result<Figures, String> {
        let must = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(format!("{what}\nclient: {seen:?}\nserver: {status}")) }
        };
        let count = |name: &str| {
            let counters = status.get("counters").and_then(|counters| counters.get("ntp"));
            counters.and_then(|ntp| ntp.get(name)?.as_u64()).ok_or(format!("no counter {name}"))
        };
        let answered = count(if self.nts { "answered_nts" } else { "answered_plain" })?;
        let interleaved = count("answered_interleaved")?;
        must(seen.offset_s.abs() <= OFFSET_BOUND_S, "an offset between two readers of one clock")?;
        must(seen.refused == 0, "the client refused answers")?;
        // The first answer is basic, and so is the one that nothing had been kept for.
        must(interleaved + 2 >= answered, "answers in basic mode beyond the first two")?;
        must(
            count("departures_known")? + 1 >= count("departures_awaited")?,
            "the kernel did not tell when answers left",
        )?;
        let figures = [
            ("accepted", json!(seen.accepted)),
            ("answered", json!(answered)),
            ("answered_interleaved", json!(interleaved)),
            ("offset_us", json!((seen.offset_s * 1e7).round() / 10.0)),
        ];
        Ok(figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Answers that have to be accepted; the client asks once a second.
const ACCEPTED: u64 = 8;
const WITHIN: Duration = Duration::from_secs(40);
/// Two readers of one clock on a busy machine.
const OFFSET_BOUND_S: f64 = 0.010;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_good_only_if_all_but_the_first_answers_are_interleaved() {
        let seen = |offset_s, refused| Seen {
            selected: true,
            authenticated: false,
            interleaved: true,
            aead: None,
            offset_s,
            accepted: 9,
            establishments: 0,
            refused,
            cookies: 0,
        };
        let status = |answered: u64, interleaved: u64, awaited: u64, known: u64| {
            json!({ "counters": { "ntp": {
                "answered_plain": answered, "answered_interleaved": interleaved,
                "departures_awaited": awaited, "departures_known": known,
            } } })
        };
        let is_good = |seen: &Seen, status: &Value| {
            Interleaves { family: Family::V4, nts: false }.judge(seen, status).is_ok()
        };
        assert!(is_good(&seen(1e-6, 0), &status(12, 10, 11, 11)));
        assert!(!is_good(&seen(1e-6, 0), &status(12, 9, 11, 11)));
        assert!(!is_good(&seen(1e-6, 0), &status(12, 10, 11, 9)));
        assert!(!is_good(&seen(0.5, 0), &status(12, 10, 11, 11)));
        assert!(!is_good(&seen(1e-6, 1), &status(12, 10, 11, 11)));
        assert!(!is_good(&seen(1e-6, 0), &json!({})));
    }
}
