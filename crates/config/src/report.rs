//! Everything wrong with a configuration, for people and for programs.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::{Serialize, Serializer};

/// Every mistake found in one configuration, in the order of the file; at least one.
///
/// Serialises as the list of its [`Problem`]s.
#[derive(Clone, Debug)]
pub struct Report {
    text: String,
    problems: Vec<Problem>,
    gravity: Gravity,
}

/// Whether noonmarkd takes a configuration in spite of what is said about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gravity {
    /// It does.
    Warning,
    /// It does not.
    Error,
}

/// One mistake. The names of the serialised fields are a promise to programs.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// The file as it was named to us.
    pub file: String,
    /// Line counted from 1; none if the file as a whole is meant.
    pub line: Option<usize>,
    /// Column counted from 1 in characters; present whenever `line` is.
    pub column: Option<usize>,
    /// The table and key meant, as in `server.listen`, if it is known.
    pub key: Option<String>,
    /// What is wrong: one line, naming the key and the value.
    pub message: String,
    /// What would be accepted instead.
    pub accepted: Option<String>,
    #[serde(skip)]
    span: Range<usize>,
}

impl fmt::Display for Problem {
    /// One line: file, line, what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A mistake as the checks find it, its place still an octet range of the text.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) place: Option<Range<usize>>,
    pub(crate) key: Option<String>,
    pub(crate) message: String,
    pub(crate) accepted: Option<String>,
}

impl Report {
    /// Sorts what was found by place and counts its lines. `text` may be empty if no place is named.
    pub(crate) fn new(file: &str, text: &str, found: Vec<Found>) -> Self {
        Self::of(Gravity::Error, file, text, found)
    }

    /// The same, of any gravity.
    pub(crate) fn of(gravity: Gravity, file: &str, text: &str, mut found: Vec<Found>) -> Self {
        found.sort_by_key(|found| found.place.as_ref().map(|place| (place.start, place.end)));
        let mut problems = Vec::with_capacity(found.len());
        // Lines are counted on from one problem to the next: a file full of mistakes costs one pass.
        let (mut line, mut line_start, mut seen) = (1, 0, 0);
        for found in found {
            let mut problem = Problem {
                file: printable(file),
                line: None,
                column: None,
                key: found.key,
                message: printable(&found.message),
                accepted: found.accepted,
                span: 0..0,
            };
            if let Some(place) = found.place {
                let start = text.floor_char_boundary(place.start);
                for (at, _) in text[seen..start].match_indices('\n') {
                    line += 1;
                    line_start = seen + at + 1;
                }
                seen = start;
                problem.line = Some(line);
                problem.column = Some(text[line_start..start].chars().count() + 1);
                problem.span = start..text.floor_char_boundary(place.end).max(start);
            }
            problems.push(problem);
        }
        Self { text: text.to_owned(), problems, gravity }
    }

    /// The mistakes, first in the file first.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// As a person reads it: each mistake with its line, a caret under the place and what would
    /// be accepted. Colour only when asked for.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let blocks: Vec<String> =
            self.problems.iter().map(|problem| self.block(problem, &renderer)).collect();
        blocks.join("\n\n")
    }

    fn block(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = match self.gravity {
            Gravity::Warning => Level::WARNING,
            Gravity::Error => Level::ERROR,
        };
        let mut group = Group::with_title(level.primary_title(&problem.message));
        if let Some(line) = problem.line {
            // Only the line at fault is handed over, so that long files cost nothing.
            let start = self.text[..problem.span.start].rfind('\n').map_or(0, |at| at + 1);
            let rest = &self.text[start..];
            let shown = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
            let from = (problem.span.start - start).min(shown.len());
            let to = (problem.span.end - start).clamp(from, shown.len());
            group = group.element(
                Snippet::source(shown)
                    .line_start(line)
                    .path(problem.file.as_str())
                    .annotation(AnnotationKind::Primary.span(from..to)),
            );
        } else {
            group = group.element(Origin::path(problem.file.as_str()));
        }
        if let Some(accepted) = &problem.accepted {
            group = group.element(Level::HELP.with_name("accepted").message(accepted));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Report {}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.problems.serialize(serializer)
    }
}

/// A file name or a message may hold anything; a terminal gets no control characters from us.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control();
            escaped.then(|| c.escape_default()).into_iter().flatten().chain((!escaped).then_some(c))
        })
        .collect()
}
