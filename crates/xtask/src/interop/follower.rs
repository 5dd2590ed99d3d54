//! Cells of noonmarkd as a client that only watches (`--dry-run`), of everybody's servers.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::authority::Authority;
use super::cells::{Cell, Figures, Miss};
use super::lab::{Family, Lab, Place};
use super::server::{Kind, Server};
use crate::child::transplant;

/// Every server, plain and under NTS, over both protocols, and interleaved where it has that.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for family in Family::ALL {
        for server in [Kind::Noonmarkd, Kind::Chrony, Kind::Ntpsec, Kind::NtpdRs] {
            for nts in [false, true] {
                cells.push(Follows { server, family, nts, interleaved: false }.cell());
            }
        }
        for server in [Kind::Noonmarkd, Kind::Chrony] {
            for nts in [false, true] {
                cells.push(Follows { server, family, nts, interleaved: true }.cell());
            }
        }
    }
    cells
}

/// noonmarkd follows one server.
#[derive(Clone, Copy)]
struct Follows {
    server: Kind,
    family: Family,
    nts: bool,
    interleaved: bool,
}

impl Follows {
    fn cell(self) -> Cell {
        let Self { server, family, nts, interleaved } = self;
        let how = if nts { "NTS" } else { "plain" };
        let more = if interleaved { ", interleaved" } else { "" };
        Cell {
            name: format!(
                "noonmarkd --dry-run from {}, {how}, {}{more}",
                server.label(),
                family.label()
            ),
            run: Box::new(move |lab, place| self.run(lab, place)),
        }
    }

    fn run(self, lab: &Lab, place: &Place) -> Result<Figures, Miss> {
        let _server = Server::start(self.server, lab, place, &[])?;
        let name = self.family.server_name();
        let source = if self.nts {
            format!("nts = \"{name}\"\nca = \"{}\"", Authority::CA)
        } else {
            format!("server = \"{name}\"")
        };
        // On its own a poll of 1 s would be asked for by nobody but a test.
        let file = place.write(
            "follower.toml",
            &format!(
                "[[source]]\n{source}\nminpoll = 0\nmaxpoll = 1\nxleave = {}\n[clock]\nclock = \"observe\"\n",
                self.interleaved
            ),
        )?;
        let mut watch = lab.program_with_names("noonmarkd");
        watch.args(["--dry-run", "--json", "--config"]).arg(file);
        let mut bounded = Command::new("timeout");
        bounded.args(["--signal", "INT", "--preserve-status", &WATCHED_S.to_string()]);
        transplant(&watch, &mut bounded);
        let said = place.pair.client.output(LIMIT, &bounded)?;
        let last = said.lines().last().ok_or_else(|| "nothing was learned".to_owned())?;
        let row: Value = serde_json::from_str(last).map_err(|e| format!("{e}: {last}"))?;
        Ok(self.judge(&row).map_err(|what| format!("{what}\n{last}"))?)
    }

    fn judge(self, row: &Value) -> Result<Figures, String> {
        let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let tracking = row.get("tracking").ok_or("nothing about the clock")?;
        let source = row.pointer("/sources/0").ok_or("no source")?;
        let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_f64);
        let is = |value: &Value, name: &str, expected: Value| value.get(name) == Some(&expected);
        must(is(tracking, "state", json!("synchronised")), "the clock follows nobody")?;
        must(is(source, "state", json!("followed")), "the server is not followed")?;
        must(is(tracking, "stratum", json!(2)), "not one stratum behind the server")?;
        must(is(source, "authenticated", json!(self.nts)), "proof of origin is not as asked for")?;
        must(is(source, "interleaved", json!(self.interleaved)), "the mode is not as asked for")?;
        must(is(source, "refused", json!(0)), "answers were dropped")?;
        let offset = number(tracking, "offset_seconds").ok_or("no offset")?;
        let bound = number(tracking, "error_bound_seconds").ok_or("no bound")?;
        must(offset.abs() <= OFFSET_BOUND_S, "an offset between two readers of one clock")?;
        must(bound >= offset.abs(), "the truth is outside of the published interval")?;
        let measured = number(source, "measured").ok_or("no count")?;
        must(measured >= 4.0, "fewer answers than an initial burst brings")?;
        let mut figures = Figures::new();
        let microseconds = |seconds: f64| json!((seconds * 1e7).round() / 10.0);
        figures.insert("offset_us".into(), microseconds(offset));
        figures.insert("error_bound_us".into(), microseconds(bound));
        figures.insert("measured".into(), json!(measured));
        Ok(figures)
    }
}

/// For so long it is looked at.
const WATCHED_S: u32 = 15;
const LIMIT: Duration = Duration::from_secs(60);
/// Two readers of one clock on a busy machine.
const OFFSET_BOUND_S: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOWS: Follows =
        Follows { server: Kind::Chrony, family: Family::V4, nts: true, interleaved: false };

    fn row() -> Value {
        json!({
            "tracking": { "state": "synchronised", "stratum": 2, "offset_seconds": 1e-5, "error_bound_seconds": 1e-4 },
            "sources": [{ "state": "followed", "authenticated": true, "interleaved": false, "refused": 0, "measured": 9 }]
        })
    }

    #[test]
    fn what_is_followed_is_good_only_with_everything_that_was_asked_for() {
        assert!(FOLLOWS.judge(&row()).is_ok());
        for (path, value) in [
            ("/tracking/state", json!("holdover")),
            ("/tracking/stratum", json!(3)),
            ("/tracking/offset_seconds", json!(0.5)),
            ("/tracking/offset_seconds", json!(2e-4)),
            ("/sources/0/state", json!("waiting")),
            ("/sources/0/authenticated", json!(false)),
            ("/sources/0/interleaved", json!(true)),
            ("/sources/0/refused", json!(1)),
            ("/sources/0/measured", json!(3)),
            ("/sources", json!([])),
        ] {
            let mut row = row();
            *row.pointer_mut(path).expect(path) = value;
            assert!(FOLLOWS.judge(&row).is_err(), "{path}");
        }
    }
}
