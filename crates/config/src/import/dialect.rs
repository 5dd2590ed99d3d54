use std::fmt;

use serde::{Serialize, Serializer};

use super::{ImportError, chrony, ntp, ntpd_rs};

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// `ntp.conf`: ntpd 4.2.8 and NTPsec.
    Ntp,
    /// `chrony.conf`: chrony 4.8.
    Chrony,
    /// `ntp.toml`: ntpd-rs 1.9.
    NtpdRs,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ntp, Self::Chrony, Self::NtpdRs];

    /// The word that `--from` takes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ntp => "ntp",
            Self::Chrony => "chrony",
            Self::NtpdRs => "ntpd-rs",
        }
    }

    /// What noonmarkd does otherwise than this program, whatever the file says.
    #[must_use]
    pub const fn differences(self) -> &'static [&'static str] {
        match self {
            Self::Ntp => ntp::DIFFERENCES,
            Self::Chrony => chrony::DIFFERENCES,
            Self::NtpdRs => ntpd_rs::DIFFERENCES,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ntp => "ntp.conf, of ntpd or NTPsec",
            Self::Chrony => "chrony.conf",
            Self::NtpdRs => "ntp.toml, of ntpd-rs",
        })
    }
}

impl Serialize for Dialect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// First words that other programs' configurations have and none of ours.
const OTHERS: [(&str, &str); 6] = [
    (
        "[time]",
        "systemd-timesyncd's, which has nothing but NTP=: write each server as a [[source]]",
    ),
    ("servers", "OpenNTPD's, which is not read: write its servers as [[source]]"),
    ("constraint", "OpenNTPD's, which is not read: write its servers as [[source]]"),
    ("constraints", "OpenNTPD's, which is not read: write its servers as [[source]]"),
    ("[global]", "ptp4l's or another's, which is not read"),
    ("config", "UCI's, as of OpenWrt, which is not read: import the file that it makes of it"),
];

/// Whose configuration `text` is: what `asked` says if a single line bears it out, else what its words say, else its name.
pub(super) fn tell(file: &str, text: &str, asked: Option<Dialect>) -> Result<Dialect, ImportError> {
    let seen = Seen::of(text);
    let wrong = |what: String| Err(ImportError::Wrong { file: file.to_owned(), what });
    if let Some(asked) = asked {
        let (own, others) = match asked {
            Dialect::Ntp => (seen.ntp.is_some() || seen.shared, seen.chrony.or(seen.toml)),
            Dialect::Chrony => (seen.chrony.is_some() || seen.shared, seen.ntp.or(seen.toml)),
            Dialect::NtpdRs => (seen.toml.is_some(), seen.ntp.or(seen.chrony)),
        };
        return match others {
            Some((line, word)) if !own => {
                wrong(format!("no line of it is of {asked}: line {line} begins with {word:?}"))
            }
            _ => Ok(asked),
        };
    }
    if let Some((line, what)) = seen.other
        && seen.ntp.or(seen.chrony).is_none()
    {
        return wrong(format!("it is {what} (line {line})"));
    }
    match (seen.ntp, seen.chrony, seen.toml) {
        (None, None, Some(_)) if ntpd_rs::is_ours(text) => {
            wrong("it is a configuration of noonmarkd already".to_owned())
        }
        (None, None, Some(_)) => Ok(Dialect::NtpdRs),
        (Some(_), None, None) => Ok(Dialect::Ntp),
        (None, Some(_), None) => Ok(Dialect::Chrony),
        (None, None, None) => by_name(file).ok_or_else(|| ImportError::Unclear {
            file: file.to_owned(),
            evidence: "no line of it is of one program alone".to_owned(),
        }),
        several => {
            let (ntp, chrony, toml) = several;
            let said = |found: Option<(usize, &str)>, whose: &str| {
                found.map(|(line, word)| format!("line {line}, {word:?}, is {whose}"))
            };
            let found =
                [said(ntp, "ntpd's"), said(chrony, "chrony's"), said(toml, "ntpd-rs's or TOML")];
            let evidence = found.into_iter().flatten().collect::<Vec<_>>().join("; ");
            Err(ImportError::Unclear { file: file.to_owned(), evidence })
        }
    }
}

fn by_name(file: &str) -> Option<Dialect> {
    let name = file.rsplit('/').next().unwrap_or(file);
    if name.ends_with(".toml") {
        Some(Dialect::NtpdRs)
    } else if name.contains("chrony") || name.ends_with(".sources") {
        Some(Dialect::Chrony)
    } else if name.contains("ntp") {
        Some(Dialect::Ntp)
    } else {
        None
    }
}

/// The first line, with its first word, that only one of them has.
#[derive(Default)]
struct Seen<'t> {
    ntp: Option<(usize, &'t str)>,
    chrony: Option<(usize, &'t str)>,
    toml: Option<(usize, &'t str)>,
    other: Option<(usize, &'static str)>,
    /// Whether there is a line that ntpd and chronyd have in common.
    shared: bool,
}

impl<'t> Seen<'t> {
    fn of(text: &'t str) -> Self {
        let mut seen = Self::default();
        for (number, line) in text.lines().enumerate() {
            let Some(word) = line.split_whitespace().next() else { continue };
            let lower = word.to_ascii_lowercase();
            if lower.starts_with(['#', '!', ';', '%']) {
                continue;
            }
            let here = Some((number + 1, word));
            let (is_ntp, is_chrony) = (ntp::is_word(&lower), chrony::is_word(&lower));
            if is_assignment(line) {
                seen.toml = seen.toml.or(here);
            } else if let Some((_, whose)) = OTHERS.iter().find(|(known, _)| *known == lower) {
                seen.other = seen.other.or(Some((number + 1, whose)));
            } else if is_ntp && is_chrony {
                seen.shared = true;
            } else if is_ntp {
                seen.ntp = seen.ntp.or(here);
            } else if is_chrony {
                seen.chrony = seen.chrony.or(here);
            } else if word.starts_with('[') {
                seen.toml = seen.toml.or(here);
            }
        }
        seen
    }
}

/// `key = value` as TOML has it; `logconfig =syncall` is none.
fn is_assignment(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, value)| {
        let (key, value) = (key.trim(), value.trim_start());
        let is_value = value.starts_with(|c: char| c.is_ascii_digit() || "\"'[{+-".contains(c))
            || ["true", "false", "inf", "="].iter().any(|word| value.starts_with(word));
        is_value
            && !key.is_empty()
            && key.bytes().all(|o| o.is_ascii_alphanumeric() || b"-_.".contains(&o))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_whose_it_is_and_else_the_name() {
        let check = |file: &str,
                     text: &str,
                     asked: Option<Dialect>,
                     expected: Result<Dialect, &str>| {
            match (tell(file, text, asked), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(words)) => {
                    let said = error.to_string();
                    assert!(said.contains(words), "{words} in {said}");
                }
                (found, expected) => panic!("{text}: {found:?} for {expected:?}"),
            }
        };
        let (ntp, chrony, rs) = (Ok(Dialect::Ntp), Ok(Dialect::Chrony), Ok(Dialect::NtpdRs));
        check("x", "server a\nrestrict default kod\n", None, ntp);
        check("x", "server a\nmakestep 1 3\n", None, chrony);
        check("x", "server a\nMakeStep 1 3\n", None, chrony);
        check("x", "[[source]]\nmode = \"server\"\naddress = \"a\"\n", None, rs);
        check("/etc/ntp.conf", "server a\n", None, ntp);
        check("/etc/chrony.conf", "server a\n", None, chrony);
        check("/etc/chrony.conf", "", None, chrony);
        check("x", "", None, Err("--from"));
        check("x", "server a\n", Some(Dialect::Ntp), ntp);
        check(
            "x",
            "server a\nrestrict b\nmakestep 1 3\n",
            None,
            Err("line 3, \"makestep\", is chrony's"),
        );
        check("x", "server a\nrestrict b\nmakestep 1 3\n", Some(Dialect::Ntp), ntp);
        check("x", "restrict b\n", Some(Dialect::Chrony), Err("line 1 begins with \"restrict\""));
        check("x", "restrict b\n", Some(Dialect::NtpdRs), Err("no line of it is of ntp.toml"));
        check("x", "[server]\nlisten = []\n[clock]\n", None, Err("of noonmarkd already"));
        check("x", "[Time]\nNTP=a b\n", None, Err("systemd-timesyncd's"));
        check("x", "servers pool.ntp.org\nconstraints from x\n", None, Err("OpenNTPD's"));
    }
}
