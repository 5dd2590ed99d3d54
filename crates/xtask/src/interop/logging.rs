//! Cells of where log lines go: to systemd's journal, or to standard error where there is none.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::authority::Authority;
use super::cells::{Cell, Figures, Miss, cell, query};
use super::journal::{Entry, Journal};
use super::lab::{Family, Lab, Place};
use super::room::Room;
use super::service::{
    CONFIGURATION, LIMIT, LOG, configure, make_folders, noonmarkd, process, serve, status, stop,
};
use crate::netns::{SERVER_V4, SERVER_V6};

/// All of them.
pub fn all() -> Vec<Cell> {
    vec![
        cell("noonmarkd writes to the journal", to_the_journal),
        cell("noonmarkd without a journal writes to standard error", without_journal),
    ]
}

const JOURNALD: &str = "[log]\nformat = \"journald\"\nlevel = \"info\"\n";

fn journal_room(lab: &Lab, place: &Place) -> Result<Room, String> {
    make_folders(place, 0)?;
    configure(place, Authority::CHAIN, Authority::KEY, JOURNALD)?;
    let journal = place.path(Journal::FOLDER);
    fs::create_dir_all(&journal).map_err(|e| format!("{}: {e}", journal.display()))?;
    let furnish = format!(
        "mkdir -p /run/systemd/journal\nmount --bind {}/{} /run/systemd/journal\n",
        place.inside,
        Journal::FOLDER
    );
    Room::new(lab, place, &furnish)
}

fn to_the_journal(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let room = journal_room(lab, place)?;
    let journal = Journal::listen(place)?;
    let daemon = serve(&room, place, &noonmarkd(place), LOG)?;
    let fields = [("MESSAGE", "serving"), ("PRIORITY", "6"), ("NOONMARK_PROCESS", "launcher")];
    let entry = wait_for_entry(&journal, &fields)?;
    let told = entry.get("NOONMARK_LISTENING").is_some_and(|list| list.contains("0.0.0.0:123"));
    let named = entry.get("SYSLOG_IDENTIFIER").is_some_and(|name| name == "noonmarkd");
    if !told || !named {
        return Err(format!("an entry with too little in it: {entry:?}").into());
    }
    // Another process than the launcher, since each opens the journal for itself.
    wait_for_entry(&journal, &[("NOONMARK_PROCESS", "warden"), ("PRIORITY", "6")])?;

    room.shell(&format!("kill -KILL {}", process(&status(place)?, "ke")?))?;
    wait_for_entry(
        &journal,
        &[("MESSAGE", "role ended"), ("PRIORITY", "4"), ("NOONMARK_ROLE", "ke")],
    )?;
    place.write(CONFIGURATION, "[server]\nlisten = [\"nowhere\"]\n")?;
    room.shell(&format!("kill -HUP {}", process(&status(place)?, "launcher")?))?;
    let entry = wait_for_entry(
        &journal,
        &[("MESSAGE", "refused; what is in force stays"), ("PRIORITY", "3")],
    )?;
    if entry.get("NOONMARK_REASON").is_none_or(|reason| !reason.contains("nowhere")) {
        return Err(format!("an entry without its reason: {entry:?}").into());
    }

    let before = settled(place, &journal)?;
    let received = clients_of_every_kind(lab, place)?;
    let after = settled(place, &journal)?;
    if after != before {
        let new: Vec<Entry> = journal.entries().split_off(before);
        return Err(format!("what clients did is in the journal: {new:?}").into());
    }
    if !daemon.said().is_empty() {
        return Err(format!("it wrote to standard error, too: {}", daemon.said()).into());
    }
    stop(&room, place, daemon)?;
    wait_for_entry(&journal, &[("MESSAGE", "stopped")])?;
    Ok(Figures::from_iter([
        ("entries".to_owned(), json!(journal.entries().len())),
        ("datagrams_without_one".to_owned(), json!(received)),
    ]))
}

/// Entries so far, once the daemon serves again and has had the time to say so.
fn settled(place: &Place, journal: &Journal) -> Result<usize, String> {
    let deadline = Instant::now() + LIMIT;
    while status(place)?.get("ready") != Some(&Value::Bool(true)) {
        if Instant::now() > deadline {
            return Err("it does not serve again".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    Ok(journal.entries().len())
}

/// Odd datagrams, odd connections, plain and authenticated questions, a client that trusts another authority. The number of
/// datagrams that arrived.
fn clients_of_every_kind(lab: &Lab, place: &Place) -> Result<u64, String> {
    const ODD: &str = r#"
        for length in $(seq 1 120); do
            printf '#%.0s' $(seq "$length") >"/dev/udp/$0/123"
        done
        printf 'GET / HTTP/1.0\r\n\r\n' >"/dev/tcp/$0/4460"
        : >"/dev/tcp/$0/4460"
    "#;
    let mut odd = Command::new("bash");
    odd.args(["-euc", ODD, SERVER_V4]);
    place.pair.client.output(LIMIT, &odd)?;
    query(lab, place, Family::V4, 15, true)?;
    let mut plain = lab.program("noonmark");
    plain.args(["query", SERVER_V6, "--json"]);
    place.pair.client.output(LIMIT, &plain)?;
    place.write(Authority::CA, Authority::new()?.ca())?;
    if query(lab, place, Family::V4, 15, true).is_ok() {
        return Err("a client that trusts another authority was served".into());
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = status(place)?;
        let counter =
            |role: &str, name: &str| status.get("counters")?.get(role)?.get(name)?.as_u64();
        let (received, accepted) = (counter("ntp", "received"), counter("ke", "accepted"));
        if let (Some(received @ 126..), Some(4..)) = (received, accepted) {
            return Ok(received);
        }
        if Instant::now() > deadline {
            return Err(format!("not all arrived: {received:?}, {accepted:?}"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An entry with these fields.
fn wait_for_entry(journal: &Journal, fields: &[(&str, &str)]) -> Result<Entry, String> {
    let fits = |entry: &Entry| {
        fields.iter().all(|(name, value)| entry.get(*name).is_some_and(|found| found == value))
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        let entries = journal.entries();
        if let Some(entry) = entries.iter().find(|entry| fits(entry)) {
            return Ok(entry.clone());
        }
        if Instant::now() > deadline {
            return Err(format!("no entry with {fields:?} among {entries:#?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn without_journal(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let room = journal_room(lab, place)?;
    for (log, with_socket) in [("absent.out", false), ("dead.out", true)] {
        if with_socket {
            Journal::leave(place)?;
        }
        let daemon = serve(&room, place, &noonmarkd(place), log)?;
        stop(&room, place, daemon)?;
        let said = fs::read_to_string(place.path(log)).unwrap_or_default();
        for words in [
            "warn launcher: no journal here; logging to standard error instead",
            "warn ntp: no journal here; logging to standard error instead",
            "info launcher: serving",
        ] {
            if !said.contains(words) {
                return Err(format!("{words:?} is not in {said}").into());
            }
        }
    }
    Ok(Figures::new())
}
