use core::fmt::{self, Write};

/// A line of at most `N` octets built without allocation, so that a value can be measured before it is padded.
///
/// Whoever prints a table writes `{span:>12}`; padding needs the whole text first, and there is no `String` here.
/// What does not fit makes the write fail with [`fmt::Error`]; what was written before stays.
#[derive(Clone, Copy, Debug)]
pub struct Line<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    /// An empty line.
    pub const fn new() -> Self {
        Self { octets: [0; N], len: 0 }
    }

    /// The text written so far.
    pub fn as_str(&self) -> &str {
        // Only whole `str`s were ever appended, so this is valid UTF-8.
        self.octets.get(..self.len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
    }
}

impl<const N: usize> Default for Line<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for Line<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(fmt::Error)?;
        self.octets.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_does_not_fit_is_refused_whole() {
        let mut line = Line::<4>::new();
        assert!(line.write_str("abc").is_ok());
        assert!(line.write_str("de").is_err());
        assert!(line.write_str("d").is_ok());
        assert_eq!(line.as_str(), "abcd");
    }
}
