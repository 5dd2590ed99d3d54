//! `noonmark config`: what noonmarkd would say about a configuration, and the defaults.

use std::path::Path;

use noonmark_config::{Problem, TABLES, default_file, load};
use noonmark_nts::Identity;
use serde::Serialize;

use crate::Verdict;
use crate::output::{deliver, write_json, write_text};
use crate::paint::Paint;

/// The JSON of `noonmark config check` (docs/json.md).
#[derive(Serialize)]
struct Check<'a> {
    file: String,
    good: bool,
    problems: &'a [Problem],
    /// What is wrong with the certificate or its key, once the file is understood.
    identity: Option<String>,
}

/// Reads a configuration as noonmarkd would, the certificate and its key included.
#[must_use]
pub fn check(file: &Path, json: bool) -> Verdict {
    let loaded = load(file);
    let identity = match &loaded {
        Ok(loaded) => loaded.identity.as_ref().and_then(|identity| {
            let found = Identity::from_pem(&identity.certificate, &identity.key);
            found.err().map(|error| format!("certificate and key: {error}"))
        }),
        Err(_) => None,
    };
    let good = loaded.is_ok() && identity.is_none();
    let problems = loaded.as_ref().err().map(noonmark_config::Report::problems).unwrap_or_default();
    let written = if json {
        let check = Check { file: file.display().to_string(), good, problems, identity };
        write_json(&check)
    } else if good {
        write_text(&format!("{}: good\n", file.display()))
    } else {
        let colour = Paint::for_stream(&std::io::stderr()) != Paint::PLAIN;
        if let Err(report) = &loaded {
            eprintln!("{}", report.render(colour));
        }
        if let Some(identity) = &identity {
            eprintln!("{}: {identity}", file.display());
        }
        Ok(())
    };
    deliver(if good { Verdict::Good } else { Verdict::Critical }, written)
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
