//! `noonmark config`: what noonmarkd would say about a configuration, and the defaults.

use std::io;
use std::path::Path;

use noonmark_config::{Problem, TABLES, default_file, load};
use noonmark_nts::{Identity, Validity};
use noonmark_os::clock;
use noonmark_units::UnixTime;
use serde::Serialize;

use crate::Verdict;
use crate::certificate::CertificateFacts;
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
    /// The server's certificate, once it and its key are understood.
    certificate: Option<CertificateFacts>,
    /// What noonmarkd takes although clients will not.
    warnings: Vec<String>,
}

/// Reads a configuration as noonmarkd would, the certificate and its key included.
#[must_use]
pub fn check(file: &Path, json: bool) -> Verdict {
    let loaded = load(file);
    let files = loaded.as_ref().ok().and_then(|loaded| loaded.identity.as_ref());
    let identity = files
        .map(|files| Identity::from_pem(&files.certificate, &files.key))
        .transpose()
        .map_err(|error| format!("certificate and key: {error}"));
    let chain: Vec<_> = identity
        .as_ref()
        .ok()
        .and_then(Option::as_ref)
        .map(|identity| identity.certificates().filter_map(CertificateFacts::read).collect())
        .unwrap_or_default();
    let now = clock::realtime();
    let check = Check {
        file: file.display().to_string(),
        good: loaded.is_ok() && identity.is_ok(),
        problems: loaded.as_ref().err().map(noonmark_config::Report::problems).unwrap_or_default(),
        identity: identity.err(),
        warnings: chain.iter().filter_map(|certificate| invalidity(certificate, now)).collect(),
        certificate: chain.into_iter().next(),
    };
    let written = if json {
        write_json(&check)
    } else {
        if let Err(report) = &loaded {
            let colour = Paint::for_stream(&std::io::stderr()) != Paint::PLAIN;
            eprintln!("{}", report.render(colour));
        }
        check.tell_people()
    };
    let found = match (check.good, check.warnings.is_empty()) {
        (false, _) => Verdict::Critical,
        (true, false) => Verdict::Warning,
        (true, true) => Verdict::Good,
    };
    deliver(found, written)
}

impl Check<'_> {
    /// What is wrong goes to standard error, what is good to standard output.
    fn tell_people(&self) -> io::Result<()> {
        if let Some(identity) = &self.identity {
            eprintln!("{}: {identity}", self.file);
        }
        for warning in &self.warnings {
            eprintln!("{}: warning: {warning}", self.file);
        }
        if !self.good {
            return Ok(());
        }
        let mut text = String::new();
        if let Some(certificate) = &self.certificate {
            let names = certificate.names.join(", ");
            text = format!("certificate for {names}, valid until {}\n", certificate.not_after);
        }
        write_text(&format!("{text}{}: good\n", self.file))
    }
}

/// Why nobody trusts a certificate at this time, if it is for that.
fn invalidity(certificate: &CertificateFacts, now: UnixTime) -> Option<String> {
    let CertificateFacts { subject, not_before, not_after, .. } = certificate;
    let what = match certificate.period.at(now) {
        Validity::Valid | Validity::EndsSoon => return None,
        Validity::NotYetValid => format!("is not valid before {not_before}"),
        Validity::Expired => format!("expired at {not_after}"),
    };
    let who = if certificate.names.is_empty() { subject } else { &certificate.names.join(", ") };
    Some(format!("the certificate for {who} {what}, and this machine's clock says {now}"))
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
