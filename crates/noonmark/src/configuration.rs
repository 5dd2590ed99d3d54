//! `noonmark config`: what noonmarkd would say about a configuration, and the defaults.

use std::io;
use std::path::Path;

use noonmark_config::{TABLES, default_file, examine};
use noonmark_os::clock;
use serde::Serialize;

use crate::Verdict;
use crate::output::{deliver, say, write_json, write_text};
use crate::paint::Paint;

/// Reads a configuration as noonmarkd would, the certificate and its key included.
#[must_use]
pub fn check(file: &Path, json: bool) -> Verdict {
    let found = examine(file, clock::realtime());
    let written = if json {
        write_json(&found)
    } else {
        // What is wrong goes to standard error, what is good to standard output.
        let colour = Paint::for_stream(&io::stderr()) != Paint::PLAIN;
        for report in found.problems().into_iter().chain(found.warnings()) {
            say(report.render(colour));
        }
        write_text(&found.praise())
    };
    let verdict = match (found.is_good(), found.warnings()) {
        (false, _) => Verdict::Critical,
        (true, Some(_)) => Verdict::Warning,
        (true, None) => Verdict::Good,
    };
    deliver(verdict, written)
}

/// One key and its default, for programs.
#[derive(Serialize)]
struct Default {
    table: &'static str,
    key: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// As TOML; null if there is none.
    default: Option<&'static str>,
    accepted: &'static str,
    meaning: &'static str,
}

/// Prints the configuration that holds where a file says nothing: as a file, or as a list of keys.
#[must_use]
pub fn show_defaults(json: bool) -> Verdict {
    let written = if json {
        let keys: Vec<_> = TABLES
            .iter()
            .flat_map(|table| table.keys.iter().map(move |key| (table, key)))
            .map(|(table, key)| Default {
                table: table.name,
                key: key.name,
                kind: key.kind,
                default: key.default,
                accepted: key.accepted,
                meaning: key.meaning,
            })
            .collect();
        write_json(&keys)
    } else {
        write_text(&default_file())
    };
    deliver(Verdict::Good, written)
}
