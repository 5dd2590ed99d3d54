use serde::Serialize;

/// What became of a line, the gravest last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing came of it, and nothing is lost.
    Ignored,
    /// The same is in effect.
    Kept,
    /// Something like it is in effect; the note says how it differs.
    Changed,
    /// It did something that noonmarkd does not; the note says what to do.
    Unsupported,
}

impl Outcome {
    /// The word of the report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Unsupported => "unsupported",
        }
    }
}

/// What became of one line. The names of the serialised fields are a promise to programs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Line {
    /// The file it stands in.
    pub file: String,
    /// Its number there, counted from 1.
    pub line: usize,
    /// Its text without the space around it; secrets are left out.
    pub text: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Where it went, how it differs, or what to do.
    pub note: String,
}

impl Line {
    /// Whether it was a comment.
    #[must_use]
    pub fn is_comment(&self) -> bool {
        self.outcome == Outcome::Ignored && self.note == COMMENT
    }
}

const COMMENT: &str = "comment";

/// A line of the [`Ledger`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct At(usize);

/// Keeps account of every line that was read.
#[derive(Default)]
pub(super) struct Ledger {
    lines: Vec<Open>,
}

/// A line whose parts are still being told.
struct Open {
    file: String,
    line: usize,
    text: String,
    parts: Vec<Part>,
}

struct Part {
    outcome: Outcome,
    note: String,
    /// The key it set, if a later line can take that back.
    key: Option<(&'static str, &'static str)>,
}

impl Ledger {
    /// Begins with a line.
    pub(super) fn add(&mut self, file: &str, line: usize, text: &str) -> At {
        let text = text.trim().to_owned();
        self.lines.push(Open { file: file.to_owned(), line, text, parts: Vec::new() });
        At(self.lines.len() - 1)
    }

    /// A line that says nothing.
    pub(super) fn comment(&mut self, file: &str, line: usize, text: &str) {
        let at = self.add(file, line, text);
        self.note(at, Outcome::Ignored, COMMENT);
    }

    /// Says of a part of a line what became of it. The gravest outcome is the line's.
    pub(super) fn note(&mut self, at: At, outcome: Outcome, note: impl Into<String>) {
        self.lines[at.0].parts.push(Part { outcome, note: note.into(), key: None });
    }

    /// The same for a part that set a key.
    pub(super) fn set(
        &mut self,
        at: At,
        outcome: Outcome,
        key: (&'static str, &'static str),
        note: &str,
    ) {
        let place = format!("[{}] {}", key.0, key.1);
        let note = if note.is_empty() { place } else { format!("{place}: {note}") };
        self.lines[at.0].parts.push(Part { outcome, note, key: Some(key) });
    }

    /// A later line sets the same key.
    pub(super) fn overrule(&mut self, at: At, by: At, key: (&'static str, &'static str)) {
        let by = self.place(by);
        for part in self.lines[at.0].parts.iter_mut().filter(|part| part.key == Some(key)) {
            part.outcome = Outcome::Ignored;
            part.note = format!("{by} says otherwise, and the last one counts");
        }
    }

    /// `line 3`, or with the file's name if there are several.
    pub(super) fn place(&self, at: At) -> String {
        let line = &self.lines[at.0];
        let is_first = self.lines.first().is_some_and(|first| first.file == line.file);
        if is_first {
            format!("line {}", line.line)
        } else {
            format!("{}:{}", line.file, line.line)
        }
    }

    /// What a comment in the configuration says of where something comes from.
    pub(super) fn origin(&self, at: At) -> String {
        let line = &self.lines[at.0];
        format!("{}:{}: {}", line.file, line.line, line.text)
    }

    /// Whether anything has been said of a line.
    pub(super) fn is_settled(&self, at: At) -> bool {
        !self.lines[at.0].parts.is_empty()
    }

    /// What has been said of a line.
    pub(super) fn said(&self, at: At) -> (Outcome, String) {
        let parts = &self.lines[at.0].parts;
        let outcome = parts.iter().map(|part| part.outcome).max().unwrap_or(Outcome::Unsupported);
        let notes: Vec<&str> = parts.iter().map(|part| part.note.as_str()).collect();
        (outcome, notes.join("; "))
    }

    /// All lines, each with one outcome.
    pub(super) fn finish(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines).into_iter().map(Open::close).collect()
    }
}

impl Open {
    fn close(self) -> Line {
        let worst = self.parts.iter().map(|part| part.outcome).max();
        // Nobody has told: that is a fault of ours, and nothing may be lost by it.
        let outcome = worst.unwrap_or(Outcome::Unsupported);
        let mut notes: Vec<&str> = Vec::new();
        for part in &self.parts {
            if !part.note.is_empty() && !notes.contains(&part.note.as_str()) {
                notes.push(&part.note);
            }
        }
        let note = if worst.is_none() { "not understood".to_owned() } else { notes.join("; ") };
        Line { file: self.file, line: self.line, text: self.text, outcome, note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_part_is_the_outcome_of_its_line() {
        let mut ledger = Ledger::default();
        let first = ledger.add("x", 1, " a b ");
        ledger.note(first, Outcome::Changed, "one");
        ledger.note(first, Outcome::Ignored, "two");
        ledger.note(first, Outcome::Kept, "one");
        let second = ledger.add("x", 2, "c");
        ledger.set(second, Outcome::Kept, ("clock", "leap"), "");
        let third = ledger.add("y", 3, "d");
        ledger.overrule(second, third, ("clock", "leap"));
        ledger.comment("y", 4, "# e");
        let lines = ledger.finish();
        let row = |at: usize| (lines[at].text.as_str(), lines[at].outcome, lines[at].note.as_str());
        assert_eq!(row(0), ("a b", Outcome::Changed, "one; two"));
        let overruled = "y:3 says otherwise, and the last one counts";
        assert_eq!(row(1), ("c", Outcome::Ignored, overruled));
        assert_eq!(row(2), ("d", Outcome::Unsupported, "not understood"));
        assert!(lines[3].is_comment());
    }
}
