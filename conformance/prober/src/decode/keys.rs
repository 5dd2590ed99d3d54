//! Keys that open what is sealed, and the file they stand in.

use std::fmt;

use crate::evidence::{SessionKeys, from_hex, hex};
use crate::octets::Cipher;

/// The keys of one association, one of them or both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeySet {
    /// The AEAD they are for.
    pub cipher: Cipher,
    /// Key for what clients send.
    pub c2s: Option<Vec<u8>>,
    /// Key for what servers send.
    pub s2c: Option<Vec<u8>>,
}

impl KeySet {
    /// Reads a file of keys: a line for each association, `aead=NUMBER c2s=HEX s2c=HEX` in any order, one of the two keys at least.
    /// What follows `#` is a comment. At most 1000 associations.
    ///
    /// # Errors
    /// The first line that cannot be used, and why.
    pub fn read_all(text: &str) -> Result<Vec<Self>, KeyFileError> {
        let mut sets = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let words = line.split('#').next().unwrap_or_default();
            if words.trim().is_empty() {
                continue;
            }
            let set = Self::read(words).map_err(|why| KeyFileError { line: number, why })?;
            if sets.len() == MOST {
                let why = format!("more than {MOST} associations");
                return Err(KeyFileError { line: number, why });
            }
            sets.push(set);
        }
        Ok(sets)
    }

    fn read(words: &str) -> Result<Self, String> {
        let (mut cipher, mut c2s, mut s2c) = (None, None, None);
        for word in words.split_whitespace() {
            let Some((name, value)) = word.split_once('=') else {
                return Err(format!(
                    "{word:?} is not of the form name=value; names are aead, c2s and s2c"
                ));
            };
            let already = match name {
                "aead" => cipher.replace(aead(value)?).is_some(),
                "c2s" | "s2c" => {
                    let key = from_hex(value).ok_or_else(|| {
                        format!("{name} is not hexadecimal digits, two for each octet")
                    })?;
                    if name == "c2s" { &mut c2s } else { &mut s2c }.replace(key).is_some()
                }
                _ => return Err(format!("{name:?} is not known; names are aead, c2s and s2c")),
            };
            if already {
                return Err(format!("{name} stands twice"));
            }
        }
        let cipher = cipher.ok_or("aead= is missing: 15, 17 or 30")?;
        if c2s.is_none() && s2c.is_none() {
            return Err("there is no key: c2s=, s2c= or both".to_owned());
        }
        for (name, key) in [("c2s", &c2s), ("s2c", &s2c)] {
            if let Some(key) = key.as_ref().filter(|key| key.len() != cipher.key_len()) {
                let (len, wanted) = (key.len(), cipher.key_len());
                return Err(format!(
                    "{name} has {len} octets; AEAD {} takes {wanted}",
                    cipher.number()
                ));
            }
        }
        Ok(Self { cipher, c2s, s2c })
    }
}

fn aead(text: &str) -> Result<Cipher, String> {
    let cipher = text.parse().ok().and_then(Cipher::from_number);
    cipher.ok_or_else(|| format!("aead={text} is not one that can be opened: 15, 17 or 30"))
}

impl TryFrom<&SessionKeys> for KeySet {
    type Error = u16;

    /// # Errors
    /// The number of the AEAD, if it is none that can be opened.
    fn try_from(keys: &SessionKeys) -> Result<Self, u16> {
        let cipher = Cipher::from_number(keys.aead).ok_or(keys.aead)?;
        Ok(Self { cipher, c2s: Some(keys.c2s.clone()), s2c: Some(keys.s2c.clone()) })
    }
}

/// A file of keys that [`KeySet::read_all`] reads.
#[must_use]
pub fn write_keys(keys: &[SessionKeys]) -> String {
    let line = |keys: &SessionKeys| {
        format!("aead={} c2s={} s2c={}\n", keys.aead, hex(&keys.c2s), hex(&keys.s2c))
    };
    keys.iter().map(line).collect()
}

/// A file of keys that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyFileError {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong with it, and what would be accepted. Without the keys.
    pub why: String,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for KeyFileError {}

/// Each is tried on each packet.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_or_its_first_bad_line_named() {
        fn check(text: &str, expected: Result<usize, &str>) {
            match (KeySet::read_all(text), expected) {
                (Ok(sets), Ok(count)) => assert_eq!(sets.len(), count, "{text}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{text}: {error}");
                }
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
        let key = "00".repeat(32);
        check("", Ok(0));
        check("# nothing\n\n", Ok(0));
        check(
            &format!("aead=15 c2s={key} s2c={key} # one\naead=30 s2c={}", "01".repeat(16)),
            Ok(2),
        );
        check(&format!("\naead=15 c2s={key} c2s={key}"), Err("line 2: c2s stands twice"));
        check("aead=15", Err("line 1: there is no key"));
        check(&format!("c2s={key}"), Err("aead= is missing"));
        check(&format!("aead=16 c2s={key}"), Err("15, 17 or 30"));
        check(&format!("aead=17 c2s={key}"), Err("c2s has 32 octets; AEAD 17 takes 64"));
        check("aead=15 c2s=0g", Err("hexadecimal"));
        check("aead 15", Err("name=value"));
        check("mac=1", Err("not known"));
        let many = format!("aead=15 c2s={key}\n").repeat(MOST + 1);
        check(&many, Err("line 1001: more than"));
    }

    #[test]
    fn what_is_written_is_read() {
        let keys = SessionKeys { aead: 30, c2s: vec![1; 16], s2c: vec![2; 16] };
        let read = KeySet::read_all(&write_keys(std::slice::from_ref(&keys)));
        assert_eq!(read, Ok(vec![KeySet::try_from(&keys).expect("30 is known")]));
    }
}
