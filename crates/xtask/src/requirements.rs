//! `docs/requirements.md`: each clause we claim with the checks that showed it, made from a run and from nothing else.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::Deserialize;

use crate::{child, workspace};

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs the checks and writes the document.
///
/// # Errors
/// A sentence, when a check failed or the document cannot be written.
pub fn write() -> Result<ExitCode, String> {
    let shown = Shown::at(&target()?);
    let mut checks = workspace::cargo();
    checks.args([
        "test",
        "--locked",
        "--package",
        "noonmark-conformance",
        "--test",
        "requirements",
    ]);
    shown.ask(&mut checks)?;
    child::run(LIMIT, &checks).or_say("the requirement checks")?;
    let document = document_path();
    std::fs::write(&document, shown.document()?)
        .map_err(|error| format!("{}: {error}", document.display()))?;
    println!("{} is written", document.display());
    Ok(ExitCode::SUCCESS)
}

/// Where a run of the checks leaves what it showed.
pub struct Shown(PathBuf);

impl Shown {
    /// Below cargo's target folder.
    pub fn at(target: &Path) -> Self {
        Self(target.join("requirements.json"))
    }

    /// Lets a run of `cargo test` write here; what an earlier one wrote is forgotten.
    ///
    /// # Errors
    /// A sentence, when the earlier file cannot be removed.
    pub fn ask(&self, tests: &mut Command) -> Result<(), String> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", self.0.display()));
            }
            _ => {}
        }
        tests.env("NOONMARK_REQUIREMENTS", &self.0);
        Ok(())
    }

    /// Whether the document in the tree says what the run showed.
    ///
    /// # Errors
    /// A sentence with the first line that differs.
    pub fn compare(&self) -> Result<(), String> {
        let expected = self.document()?;
        let path = document_path();
        let found = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let differs =
            expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
        match differs {
            Some((expected, found)) => Err(format!(
                "`cargo xtask requirements` would write\n{expected}\nwhere it says\n{found}"
            )),
            None if expected.lines().count() != found.lines().count() => {
                Err("`cargo xtask requirements` would write another number of lines".into())
            }
            None => Ok(()),
        }
    }

    fn document(&self) -> Result<String, String> {
        let text = std::fs::read_to_string(&self.0)
            .map_err(|error| format!("{}: {error}", self.0.display()))?;
        let rows: Vec<Row> = serde_json::from_str(&text)
            .map_err(|error| format!("{}: {error}", self.0.display()))?;
        Ok(render(&rows))
    }
}

/// One requirement as the checks report it.
#[derive(Deserialize)]
struct Row {
    id: String,
    level: String,
    source: String,
    text: String,
    state: String,
    reason: String,
    checks: Vec<String>,
    faults: Vec<String>,
}

fn render(rows: &[Row]) -> String {
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    let faulted = rows.iter().filter(|row| !row.faults.is_empty()).count();
    let mut text = String::from("# Requirements\n\n");
    let _ = write!(
        text,
        "What the RFCs and our own hardening ask of a server and of a client, and the check that shows that Noonmark keeps it. This page is made by\n\
         `cargo xtask requirements` from the checks that ran (`conformance/tests/requirements/`), and the tests insist that it is current.\n\n\
         {} kept, {} kept in another way than the text says, {} not claimed yet, {} failed. For {faulted} of them a deliberate fault in an\n\
         adaptor around server or client makes exactly its checks of that row fail and no other; the column names the faults.\n",
        count("kept"),
        count("deviates"),
        count("later"),
        count("failed"),
    );
    let mut section = "";
    for row in rows {
        let prefix = row.id.split('-').next().unwrap_or_default();
        if prefix != section {
            section = prefix;
            let _ = write!(
                text,
                "\n## {}\n\n| id | level | source | requirement | shown by | faults |\n|---|---|---|---|---|---|\n",
                title(prefix)
            );
        }
        let shown = match row.state.as_str() {
            "kept" => code(&row.checks),
            "deviates" => format!("deviates: {}. {}", row.reason, code(&row.checks)),
            "later" => format!("not claimed yet: {}", row.reason),
            _ => "**failed**".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {shown} | {} |",
            row.id,
            row.level,
            row.source,
            row.text,
            row.faults.join("; ")
        );
    }
    text
}

fn code(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ")
}

fn title(prefix: &str) -> &str {
    match prefix {
        "KE" => "KE: NTS key establishment",
        "KX" => "KX: key export",
        "EF" => "EF: extension fields",
        "NC" => "NC: the NTS client",
        "NS" => "NS: the NTS server",
        "WS" => "WS: NTP on the wire, the server",
        "WC" => "WC: NTP on the wire, the client",
        "KD" => "KD: Kiss-o'-Death",
        "ER" => "ER: eras and integer limits",
        "MA" => "MA: message authentication codes",
        "PR" => "PR: ports",
        "IL" => "IL: interleaved mode",
        other => other,
    }
}

fn document_path() -> PathBuf {
    workspace::root().join("docs/requirements.md")
}

fn target() -> Result<PathBuf, String> {
    workspace::Metadata::read().map(|metadata| metadata.target_directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, state: &str) -> Row {
        Row {
            id: id.into(),
            level: "MUST".into(),
            source: "RFC 8915 §4".into(),
            text: "something is done".into(),
            state: state.into(),
            reason: "there is a reason".into(),
            checks: vec!["it_is_done".into()],
            faults: vec!["does not do it".into()],
        }
    }

    #[test]
    fn a_row_says_what_it_rests_on() {
        let check = |state: &str, expected: &str| {
            let text = render(&[row("KE-01", state)]);
            assert!(text.lines().any(|line| line == expected), "{text}");
        };
        let start = "| KE-01 | MUST | RFC 8915 §4 | something is done |";
        check("kept", &format!("{start} `it_is_done` | does not do it |"));
        check(
            "deviates",
            &format!("{start} deviates: there is a reason. `it_is_done` | does not do it |"),
        );
        check("later", &format!("{start} not claimed yet: there is a reason | does not do it |"));
        check("failed", &format!("{start} **failed** | does not do it |"));
    }
}
