//! `noonmark import`: another server's configuration made into one of ours, with an account of every line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use noonmark_config::import::{Dialect, Disk, Import, Line, Outcome, import};
use serde::Serialize;

use crate::Verdict;
use crate::command::ImportArguments;
use crate::output::{complain, deliver, say, write_json, write_text};
use crate::paint::Paint;

/// Reads the configuration, writes ours, and says what became of each line.
#[must_use]
pub fn run(arguments: &ImportArguments) -> Verdict {
    let file = match std::path::absolute(&arguments.file) {
        Ok(file) => file,
        Err(error) => return refuse(arguments, &format!("{}: {error}", arguments.file.display())),
    };
    let made = match import(&file, arguments.from, &Disk) {
        Ok(made) => made,
        Err(error) => return refuse(arguments, &error.to_string()),
    };
    let lost = made.count(Outcome::Unsupported);
    let is_refused = arguments.strict && lost > 0;
    if let (Some(output), false) = (&arguments.output, is_refused)
        && let Err(error) = write_file(output, &made.toml, arguments.replace)
    {
        let hint = match error.kind() {
            io::ErrorKind::AlreadyExists => "; --replace puts the new one in its place",
            _ => "",
        };
        return refuse(arguments, &format!("{}: {error}{hint}", output.display()));
    }
    let verdict = match (lost, arguments.strict) {
        (0, _) => Verdict::Good,
        (_, false) => Verdict::Warning,
        (_, true) => Verdict::Critical,
    };
    let written = if arguments.json {
        write_json(&Told::of(&file, &made, arguments, is_refused))
    } else if arguments.output.is_some() || is_refused {
        write_text(&report(&made, Paint::for_stream(&io::stdout())))
    } else {
        // The configuration is what is asked for; the account of it goes beside.
        say(report(&made, Paint::for_stream(&io::stderr())).trim_end());
        write_text(&made.toml)
    };
    if is_refused && !arguments.json {
        complain(format_args!(
            "--strict: {lost} of its lines are not supported, so nothing is written"
        ));
    }
    deliver(verdict, written)
}

fn refuse(arguments: &ImportArguments, why: &str) -> Verdict {
    if arguments.json {
        #[derive(Serialize)]
        struct Refused<'a> {
            error: &'a str,
        }
        return deliver(Verdict::Critical, write_json(&Refused { error: why }));
    }
    complain(why);
    Verdict::Critical
}

/// Whole or not at all; the one that is there stays unless it is to be replaced.
fn write_file(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside)?;
    let placed = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| {
        if replace { std::fs::rename(&beside, path) } else { std::fs::hard_link(&beside, path) }
    });
    if !(replace && placed.is_ok()) {
        std::fs::remove_file(&beside)?;
    }
    placed?;
    File::open(path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
        .sync_all()
}

/// The report for programs.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a Path,
    dialect: Dialect,
    kept: usize,
    changed: usize,
    unsupported: usize,
    ignored: usize,
    /// Where the configuration was written.
    output: Option<&'a PathBuf>,
    lines: &'a [Line],
    differences: &'static [&'static str],
    configuration: &'a str,
}

impl<'a> Told<'a> {
    fn of(
        file: &'a Path,
        made: &'a Import,
        arguments: &'a ImportArguments,
        is_refused: bool,
    ) -> Self {
        Self {
            file,
            dialect: made.dialect,
            kept: made.count(Outcome::Kept),
            changed: made.count(Outcome::Changed),
            unsupported: made.count(Outcome::Unsupported),
            ignored: made.count(Outcome::Ignored),
            output: arguments.output.as_ref().filter(|_| !is_refused),
            lines: &made.lines,
            differences: made.differences,
            configuration: &made.toml,
        }
    }
}

/// The report for people: every line but comments, file by file, and what differs in any case.
fn report(made: &Import, paint: Paint) -> String {
    let mut out = String::new();
    let mut file = None;
    for line in made.lines.iter().filter(|line| !line.is_comment()) {
        if file != Some(&line.file) {
            file = Some(&line.file);
            out.push_str(&format!("{}\n", paint.heading(&shown(&line.file))));
        }
        let word = format!("{:<11}", line.outcome.as_str());
        let word = match line.outcome {
            Outcome::Kept => paint.good(&word),
            Outcome::Changed => paint.warning(&word),
            Outcome::Unsupported => paint.bad(&word),
            Outcome::Ignored => word,
        };
        out.push_str(&format!("{:>6}  {word}  {}\n", line.line, shown(&line.text)));
        for part in wrapped(&shown(&line.note)) {
            out.push_str(&format!("{:23}{part}\n", ""));
        }
    }
    out.push_str(&format!(
        "\n{}\n",
        paint.heading("Whatever the file says, noonmarkd differs from the program it is for")
    ));
    for difference in made.differences {
        for (number, part) in wrapped(difference).iter().enumerate() {
            out.push_str(&format!("  {} {part}\n", if number == 0 { "-" } else { " " }));
        }
    }
    let counts = [Outcome::Kept, Outcome::Changed, Outcome::Unsupported, Outcome::Ignored]
        .map(|outcome| format!("{} {}", made.count(outcome), outcome.as_str()));
    out.push_str(&format!("\n{}: {}\n", made.dialect, counts.join(", ")));
    out
}

/// A terminal gets no control characters from a file.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const WIDTH: usize = 96;

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
