//! `noonmark config`: what noonmarkd would say about a configuration, and the defaults.

use std::io::Write;
use std::path::Path;

use noonmark_config::{Problem, TABLES, default_file, load};
use noonmark_nts::Identity;
use serde::Serialize;

use crate::Verdict;
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
    let mut out = std::io::stdout().lock();
    let problems = loaded.as_ref().err().map(noonmark_config::Report::problems).unwrap_or_default();
    // A closed pipe is the reader's choice; the verdict stands.
    let _ = if json {
        let check = Check { file: file.display().to_string(), good, problems, identity };
        serde_json::to_writer_pretty(&mut out, &check)
            .map_err(Into::into)
            .and_then(|()| writeln!(out))
    } else if good {
        writeln!(out, "{}: good", file.display())
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
    if good { Verdict::Good } else { Verdict::Critical }
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
    let mut out = std::io::stdout().lock();
    let _ = if json {
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
        serde_json::to_writer_pretty(&mut out, &keys)
            .map_err(Into::into)
            .and_then(|()| writeln!(out))
    } else {
        out.write_all(default_file().as_bytes())
    };
    Verdict::Good
}
