//! The cell of the demonstration's promise: the lines it prints, given to a real chronyd as they are, make it take
//! authenticated time.

use std::time::Duration;

use serde_json::json;

use super::cells::{Cell, Figures, Miss, cell};
use super::client::{self, Client};
use super::lab::{Lab, Place};
use super::room::Room;
use crate::peers::Peers;

/// All of them: one.
pub fn all() -> Vec<Cell> {
    vec![cell("chronyd from the lines that the demonstration prints", chronyd_by_the_lines)]
}

fn chronyd_by_the_lines(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let room = Room::new(lab, place, "")?;
    let mut demo = Room::program("noonmark-demo");
    // Its folder has the same name for it and for chronyd in the peers' root. By itself it builds nothing.
    demo.env("TMPDIR", &place.inside).env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR");
    let log = place.path("demo.out");
    let mut demo = room.start(&demo, &log)?;
    let lines = demo.wait_for(SHOWN_WITHIN, || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        lines_for_chronyd(&said).ok_or(said)
    })?;
    // Theirs as they are; ours only say where this one's own files go.
    let (folder, private) = (&place.inside, place.chrony());
    let text = format!(
        "{lines}cmdport 0\nbindcmdaddress {private}/client.sock\npidfile {folder}/client.pid\n"
    );
    place.write("client.conf", &text)?;
    let mut chronyd = lab.peers.command(Peers::CHRONYD);
    chronyd.args(["-x", "-u", "root", "-F", "0", "-d", "-f"]).arg(format!("{folder}/client.conf"));
    let chronyd = room.start(&chronyd, &place.path("client.log"))?;
    let mut client = Client::watch(client::Kind::Chrony, lab, place, chronyd);
    let seen = client.wait_until(SELECTED_WITHIN, |seen| {
        seen.selected && seen.authenticated && seen.accepted >= 3 && seen.cookies == COOKIES
    })?;
    if seen.refused > 0 || seen.establishments != 1 || seen.aead.is_none() {
        return Err(format!("not at once, or not all: {seen:?}").into());
    }
    Ok(Figures::from_iter([
        ("aead".to_owned(), json!(seen.aead)),
        ("cookies".to_owned(), json!(seen.cookies)),
        ("accepted".to_owned(), json!(seen.accepted)),
        ("offset_us".to_owned(), json!((seen.offset_s * 1e7).round() / 10.0)),
    ]))
}

/// The lines set in between the words before and after them.
fn lines_for_chronyd(said: &str) -> Option<String> {
    let (_, after) = said.split_once("To point a chronyd at it")?;
    let (between, _) = after.split_once("or ask it by hand")?;
    let lines = between.lines().filter_map(|line| line.strip_prefix("    "));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    (!text.is_empty()).then_some(text)
}

const SHOWN_WITHIN: Duration = Duration::from_secs(20);
const SELECTED_WITHIN: Duration = Duration::from_secs(40);
/// As many as a client holds (RFC 8915 §4.1.6), when each answer has brought the one its request had spent.
const COOKIES: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_between_the_words_are_taken() {
        let said = "noonmarkd serves\n\nTo point a chronyd at it, as long as this runs:\n\n    server localhost nts\n    \
                    ntstrustedcerts /tmp/ca.pem\n\nor ask it by hand:\n\n    noonmark query localhost\n";
        assert_eq!(
            lines_for_chronyd(said).as_deref(),
            Some("server localhost nts\nntstrustedcerts /tmp/ca.pem\n")
        );
        assert_eq!(lines_for_chronyd("To point a chronyd at it:\n\n    server"), None);
    }
}
