//! The cells: one pairing of a client and a server each, and what has to hold for it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::authority::Authority;
use super::client::{self, Client, Seen};
use super::lab::{Family, Lab, Place};
use super::server::{self, Answered, Server};
use crate::child::transplant;

/// Figures of a cell by name, in the order they are shown.
pub type Figures = Map<String, Value>;

/// One pairing.
pub struct Cell {
    /// Unique; as rows show it.
    pub name: String,
    /// Runs it in its place.
    pub run: Run,
}

type Run = Box<dyn Fn(&Lab, &Place) -> Result<Figures, Miss> + Send>;

/// Why a cell has no figures.
#[derive(Debug)]
pub enum Miss {
    /// Something did not hold.
    Failed(String),
    /// It could not be tried here.
    NotRun(String),
}

impl From<String> for Miss {
    fn from(what: String) -> Self {
        Self::Failed(what)
    }
}

/// A cell that is one function.
pub fn cell(name: &str, run: fn(&Lab, &Place) -> Result<Figures, Miss>) -> Cell {
    Cell { name: name.to_owned(), run: Box::new(run) }
}

/// Every pairing of our programs with somebody's.
pub fn all(long: bool) -> Vec<Cell> {
    let time = if long { LONG } else { TURNED_WITHIN };
    let keeps_time = |client, server, family, accepted, aead| {
        KeepsTime { client, server, family, accepted, aead, time }.cell()
    };
    // The harness itself: two programs that are known to work together.
    let mut cells =
        vec![keeps_time(client::Kind::Chrony, server::Kind::Chrony, Family::V4, &[], 30)];
    for family in Family::ALL {
        for (client, aead) in [
            (client::Kind::Chrony, 30),
            (client::Kind::Chrony, 15),
            (client::Kind::Ntpsec, 15),
            (client::Kind::NtpdRs, 15),
        ] {
            cells.push(keeps_time(client, server::Kind::Noonmarkd, family, &[], aead));
        }
        cells.push(refused_by_us(family));
        if long {
            cells.push(keeps_time(
                client::Kind::NewerNtpdRs,
                server::Kind::Noonmarkd,
                family,
                &[],
                15,
            ));
            cells.push(answers_us(server::Kind::NewerNtpdRs, family, 15, true));
            cells.push(answers_us(server::Kind::NewerNtpdRs, family, 17, true));
        }
    }
    for client in [client::Kind::Chrony, client::Kind::Ntpsec, client::Kind::NtpdRs] {
        cells.push(trusts_another(client));
    }
    // Those who know AES-SIV-CMAC-512 get it where the server prefers it.
    for client in [client::Kind::Ntpsec, client::Kind::NtpdRs] {
        cells.push(keeps_time(client, server::Kind::Noonmarkd, Family::V4, &[17, 15], 17));
    }
    for family in Family::ALL {
        for (server, aead, compliant) in [
            (server::Kind::Chrony, 30, true),
            (server::Kind::Chrony, 30, false),
            (server::Kind::Chrony, 15, true),
            (server::Kind::Noonmarkd, 30, true),
            (server::Kind::Noonmarkd, 30, false),
            (server::Kind::Noonmarkd, 17, true),
            (server::Kind::Noonmarkd, 15, true),
            (server::Kind::Ntpsec, 15, true),
            (server::Kind::Ntpsec, 17, true),
            (server::Kind::NtpdRs, 15, true),
            (server::Kind::NtpdRs, 17, true),
        ] {
            cells.push(answers_us(server, family, aead, compliant));
        }
    }
    cells
}

/// Time until a client must have selected the server.
const SELECTED_WITHIN: Duration = Duration::from_secs(25);
/// Time a client keeps time before the server is started anew, and until answers must come again.
const BEFORE_RESTART: Duration = Duration::from_secs(12);
const AGAIN_WITHIN: Duration = Duration::from_secs(35);
/// Time after the first start until cookie keys must have turned once; they turn once a minute.
const TURNED_WITHIN: Duration = Duration::from_secs(80);
/// How long a client goes on with `--long`, over many turns.
const LONG: Duration = Duration::from_secs(10 * 60);
/// Server and client read one clock, so what is left is how late a busy machine stamps.
const OFFSET_BOUND_S: f64 = 0.010;

/// Somebody's client keeps time with a server over NTS, across a restart and a turn of the cookie keys.
#[derive(Clone, Copy)]
struct KeepsTime {
    client: client::Kind,
    server: server::Kind,
    family: Family,
    /// AEADs the server accepts, the most wanted first; empty for its default.
    accepted: &'static [u16],
    /// The one that has to be agreed.
    aead: u16,
    /// How long, counted from the first start.
    time: Duration,
}

impl KeepsTime {
    fn cell(self) -> Cell {
        let Self { client, server, family, accepted, aead, .. } = self;
        let limited =
            if accepted.is_empty() { String::new() } else { format!(" preferred of {accepted:?}") };
        Cell {
            name: format!(
                "{} from {}, {}, AEAD {aead}{limited}",
                client.label(),
                server.label(),
                family.label()
            ),
            run: Box::new(move |lab, place| Ok(self.run(lab, place)?)),
        }
    }

    fn run(&self, lab: &Lab, place: &Place) -> Result<Figures, String> {
        let server = Server::start(self.server, lab, place, self.accepted)?;
        let started = Instant::now();
        let mut client = Client::start(self.client, lab, place, self.family, self.aead)?;
        let good = |seen: &Seen| seen.selected && seen.authenticated;
        let first = client.wait_until(SELECTED_WITHIN, good)?;
        let selected_after = started.elapsed();
        let first_epoch = server.answered()?.epoch;

        let mut watch = Watch::default();
        watch.go_on(&mut client, BEFORE_RESTART)?;
        let before = server.answered()?;
        let server = server.restart()?;
        let at_restart = client.look()?;
        let again = client.wait_until(AGAIN_WITHIN, |seen| {
            good(seen) && seen.accepted >= at_restart.accepted + 3
        })?;
        watch.see(&again)?;

        watch.go_on(&mut client, self.time.saturating_sub(started.elapsed()))?;
        let last = client.look()?;
        watch.see(&last)?;
        let after = server.answered()?;
        self.judge(&first, &last, &before, &after, first_epoch)?;

        let mut figures = Figures::new();
        figures.insert("selected_after_s".into(), json!(round(selected_after.as_secs_f64())));
        figures.insert("aead".into(), json!(self.aead));
        figures.insert("largest_offset_us".into(), json!(round(watch.largest_offset_s * 1e6)));
        figures.insert("accepted".into(), json!(last.accepted));
        figures.insert("answered_nts".into(), json!(before.nts + after.nts));
        figures.insert("answered_plain".into(), json!(before.plain + after.plain));
        figures.insert("establishments".into(), json!(last.establishments));
        if let (Some(first), Some(last)) = (first_epoch, after.epoch) {
            figures.insert("key_turns".into(), json!(last - first));
        }
        Ok(figures)
    }

    fn judge(
        &self,
        first: &Seen,
        last: &Seen,
        before: &Answered,
        after: &Answered,
        first_epoch: Option<u64>,
    ) -> Result<(), String> {
        let must = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!("{what}\nclient: {last:?}\nserver: {before:?}, then {after:?}"))
            }
        };
        must(last.selected && last.authenticated, "the client no longer takes authenticated time")?;
        must(last.accepted > first.accepted, "no answer was accepted after the first")?;
        // What the client accepted is among what the server sealed, and the server sent nothing it did not seal.
        must(before.plain + after.plain == 0, "the server answered without NTS")?;
        must(
            last.accepted <= before.nts + after.nts,
            "the client accepted more than the server authenticated",
        )?;
        must(last.cookies > 0, "the client has no cookies left")?;
        must(last.refused == 0, "the client refused answers")?;
        must(last.establishments == 1, "the client had to establish keys again")?;
        let told: Vec<u64> = last.aead.into_iter().chain(before.aead.map(u64::from)).collect();
        must(!told.is_empty(), "neither side tells which AEAD was agreed")?;
        must(told.iter().all(|aead| *aead == u64::from(self.aead)), "another AEAD was agreed")?;
        if self.server == server::Kind::Noonmarkd {
            must(
                after.epoch > first_epoch && first_epoch.is_some(),
                "the cookie keys did not turn",
            )?;
        }
        Ok(())
    }
}

/// Looks again and again: the source stays authenticated and near.
#[derive(Default)]
struct Watch {
    largest_offset_s: f64,
}

impl Watch {
    fn go_on(&mut self, client: &mut Client<'_>, time: Duration) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < time {
            std::thread::sleep(Duration::from_secs(3).min(time));
            self.see(&client.look()?)?;
        }
        Ok(())
    }

    fn see(&mut self, seen: &Seen) -> Result<(), String> {
        if !seen.authenticated {
            return Err(format!("a source that is not authenticated: {seen:?}"));
        }
        self.largest_offset_s = self.largest_offset_s.max(seen.offset_s.abs());
        if seen.offset_s.abs() > OFFSET_BOUND_S {
            return Err(format!(
                "offset {} s between two readers of one clock: {seen:?}",
                seen.offset_s
            ));
        }
        Ok(())
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// `noonmark query --nts` gets authenticated time from somebody's server.
fn answers_us(server: server::Kind, family: Family, aead: u16, compliant: bool) -> Cell {
    let without = if compliant { "" } else { " without record 1024" };
    Cell {
        name: format!("noonmark from {}, {}, AEAD {aead}{without}", server.label(), family.label()),
        run: Box::new(move |lab, place| {
            let _server = Server::start(server, lab, place, &[])?;
            Ok(query(lab, place, family, aead, compliant)?)
        }),
    }
}

/// A client that does not trust our authority gets no time: with the server's plain answers within reach it asks for
/// none, and without keys it cannot ask otherwise.
fn trusts_another(client: client::Kind) -> Cell {
    Cell {
        name: format!(
            "{} that trusts another authority takes no time from noonmarkd",
            client.label()
        ),
        run: Box::new(move |lab, place| {
            let server = Server::start(server::Kind::Noonmarkd, lab, place, &[])?;
            place.write(Authority::CA, Authority::new()?.ca())?;
            let client = Client::start(client, lab, place, Family::V4, 15)?;
            std::thread::sleep(WITHOUT_TRUST);
            if let Ok(seen) = client.look()
                && (seen.selected || seen.accepted > 0)
            {
                return Err(format!("it takes time all the same: {seen:?}").into());
            }
            let answered = server.answered()?;
            if answered.nts + answered.plain > 0 {
                return Err(format!("it asked and was answered: {answered:?}").into());
            }
            let status = server.status()?;
            let tried = status
                .get("counters")
                .and_then(|counters| counters.get("ke")?.get("accepted")?.as_u64());
            if tried.unwrap_or(0) == 0 {
                return Err(format!("it did not even try: {status}").into());
            }
            Ok(Figures::from_iter([("connections".to_owned(), json!(tried))]))
        }),
    }
}

/// Long enough for each of them to try key establishment and to fall back, if it would.
const WITHOUT_TRUST: Duration = Duration::from_secs(12);

/// Our client tells refused authentication apart from no answer.
fn refused_by_us(family: Family) -> Cell {
    Cell {
        name: format!(
            "noonmark that trusts another authority refuses noonmarkd, {}",
            family.label()
        ),
        run: Box::new(move |lab, place| {
            let server = Server::start(server::Kind::Noonmarkd, lab, place, &[])?;
            place.write(Authority::CA, Authority::new()?.ca())?;
            let mut query = lab.program_with_names("noonmark");
            query.args(["query", family.server_name(), "--nts", "--json"]);
            query.arg("--ca").arg(place.path(Authority::CA));
            let mut refused = Command::new("sh");
            // Status 3 is "authentication was refused"; that is what has to be.
            refused.args(["-c", "\"$@\"; test $? -eq 3", "sh"]);
            transplant(&query, &mut refused);
            place.pair.client.output(Duration::from_secs(30), &refused)?;
            let answered = server.answered()?;
            if answered.nts + answered.plain > 0 {
                return Err(format!("it asked and was answered: {answered:?}").into());
            }
            Ok(Figures::new())
        }),
    }
}

/// Questions a query asks.
const QUESTIONS: u64 = 5;

/// Our client's questions from the client's end of a place. Each has to get an authenticated answer.
///
/// # Errors
/// What did not hold, and what it said.
pub fn query(
    lab: &Lab,
    place: &Place,
    family: Family,
    aead: u16,
    compliant: bool,
) -> Result<Figures, String> {
    let mut query = lab.program_with_names("noonmark");
    query.args(["query", family.server_name(), "--nts", "--json", "--interval", "0.3"]);
    query.arg("--ca").arg(place.path(Authority::CA)).args(["-n", &QUESTIONS.to_string()]);
    query.args(["--aead", &aead.to_string()]);
    if !compliant {
        query.arg("--no-compliant-gcm-siv");
    }
    let said = place.pair.client.output(Duration::from_secs(40), &query)?;
    let report: Value =
        serde_json::from_str(&said).map_err(|e| format!("noonmark query: {e}\n{said}"))?;
    judge_query(&report, aead).map_err(|what| format!("{what}\n{said}"))
}

fn judge_query(report: &Value, aead: u16) -> Result<Figures, String> {
    let samples = report.get("samples").and_then(Value::as_array).ok_or("no samples")?;
    let text = |value: &Value| value.to_string();
    if samples.len() as u64 != QUESTIONS {
        return Err(format!("{} of {QUESTIONS} questions answered", samples.len()));
    }
    let unproven =
        |sample: &&Value| sample.get("authenticated").and_then(Value::as_bool) != Some(true);
    if let Some(sample) = samples.iter().find(unproven) {
        return Err(format!("a sample that is not authenticated: {}", text(sample)));
    }
    let offset =
        report.get("best").and_then(|best| best.get("offset")?.as_f64()).ok_or("no best sample")?;
    if offset.abs() > OFFSET_BOUND_S {
        return Err(format!("offset {offset} s between two readers of one clock"));
    }
    let nts = report.get("nts").ok_or("nothing about NTS")?;
    let agreed = nts.get("aead").map(|found| found.get("id").unwrap_or(found));
    if agreed.and_then(Value::as_u64) != Some(u64::from(aead)) {
        return Err(format!("AEAD {aead} was asked for, agreed was {agreed:?}"));
    }
    let mut figures = Figures::new();
    figures.insert("aead".into(), json!(aead));
    figures.insert("samples".into(), json!(samples.len()));
    figures.insert("offset_us".into(), json!(round(offset * 1e6)));
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(samples: usize, authenticated: bool, offset: f64, aead: u16) -> Value {
        let samples = vec![json!({"offset": offset, "authenticated": authenticated}); samples];
        json!({"samples": samples, "best": {"offset": offset}, "nts": {"aead": aead}})
    }

    fn check(report: &Value, expected: Result<(), &str>) {
        match (judge_query(report, 15), expected) {
            (Ok(_), Ok(())) => {}
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, expected) => panic!("{found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_query_is_good_only_when_every_answer_was_authenticated_and_near() {
        check(&report(5, true, 1e-5, 15), Ok(()));
        check(&report(4, true, 1e-5, 15), Err("4 of 5"));
        check(&report(5, false, 1e-5, 15), Err("not authenticated"));
        check(&report(5, true, -0.5, 15), Err("offset"));
        check(&report(5, true, 1e-5, 30), Err("AEAD 15"));
        check(&json!({}), Err("no samples"));
    }

    #[test]
    fn names_of_cells_are_unique() {
        let mut names: Vec<String> = all(false).into_iter().map(|cell| cell.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
