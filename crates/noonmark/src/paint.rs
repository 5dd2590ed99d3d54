//! Colour, where it helps and is wanted.

use std::io::IsTerminal;

/// Whether a stream is painted. Colour only repeats what a word beside it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Paint(bool);

impl Paint {
    /// No colour.
    pub const PLAIN: Self = Self(false);

    /// Colour if `stream` is a terminal that has any, and the user did not set `NO_COLOR`.
    #[must_use]
    pub fn for_stream(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self(stream.is_terminal() && !refused && !dumb)
    }

    /// Right: green.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrap(text, "32")
    }

    /// Wrong: red.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.wrap(text, "31")
    }

    /// Worth a look: yellow.
    #[must_use]
    pub fn warning(self, text: &str) -> String {
        self.wrap(text, "33")
    }

    /// A heading: bold.
    #[must_use]
    pub fn heading(self, text: &str) -> String {
        self.wrap(text, "1")
    }

    fn wrap(self, text: &str, code: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        assert_eq!(Paint::PLAIN.bad("x"), "x");
        assert_eq!(Paint(true).good("x"), "\x1b[32mx\x1b[0m");
    }

    #[test]
    fn a_file_is_not_painted() {
        let file = std::fs::File::open("/dev/null").expect("/dev/null");
        assert_eq!(Paint::for_stream(&file), Paint::PLAIN);
    }
}
