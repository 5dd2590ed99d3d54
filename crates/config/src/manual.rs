//! The described keys printed for people: as a configuration file and as a page of the manual.

use std::fmt::Write as _;

use crate::keys::{Key, TABLES, Table};

/// The configuration that every default adds up to, each key with its explanation.
///
/// Parses to the defaults. Keys without a default, and the tables that are off unless they are
/// written, stand behind a `#` that touches them: take it away to set them.
pub fn default_file() -> String {
    let mut out = String::from(
        "# The defaults of Noonmark. Whatever a file leaves out is as it is here.\n\
         # A key behind a # that touches it has no default; what it shows is an example.\n",
    );
    for table in TABLES {
        let off = table.repeated || table.switch.is_some();
        out.push('\n');
        comment(&mut out, table.meaning);
        let _ = writeln!(out, "{}{}", if off { "#" } else { "" }, table.header());
        for key in table.keys {
            out.push('\n');
            comment(&mut out, &explanation(key));
            let hidden = if off || key.default.is_none() { "#" } else { "" };
            let _ = writeln!(out, "{hidden}{} = {}", key.name, key.default.unwrap_or(key.example));
        }
    }
    out
}

/// `docs/configuration.md`, the page of the manual about the configuration.
pub fn manual() -> String {
    let mut out = String::from(PREFACE);
    for table in TABLES {
        let _ = write!(out, "\n## `{}`\n\n", table.header());
        paragraph(&mut out, table.meaning);
        for key in table.keys {
            let _ = write!(out, "\n### `{}`\n\n", key.name);
            paragraph(&mut out, key.meaning);
            let _ = writeln!(out, "\n- type: {}", key.kind);
            let _ = writeln!(out, "- accepted: {}", key.accepted);
            let _ = writeln!(out, "- default: {}", default(table, key));
            let _ = writeln!(out, "- example: `{} = {}`", key.name, key.example);
        }
    }
    out
}

const PREFACE: &str = "\
# Configuration

<!-- Printed from the keys described in crates/config/src/keys.rs; a test compares the two. -->

`noonmarkd` reads one TOML file, by default `/etc/noonmark/noonmark.toml`. `noonmark config check FILE`
says what is wrong with one, all of it at once, and `noonmark config show --defaults` prints every key with
its default.

- A key that is not listed here is refused, and so is a value that is not accepted: nothing is ignored.
- An empty or unreadable file is an error. It never stands for the defaults.
- The file and the certificate belong to root or to the user that runs the daemon, and neither their group nor
  others may write them. A key's group may at most read it (mode 0640 or less), and others have no right to it.
- Relative paths start from the folder of the configuration.
- Durations are whole numbers with a unit, added up: `ms`, `s`, `m`, `h`, `d`, `w`, as in `\"1h30m\"`.
";

fn default(table: &Table, key: &Key) -> String {
    match key.default {
        Some(default) => format!("`{default}`"),
        None if table.switch == Some(key.name) => "none; the table needs it".to_owned(),
        None if key.absent == "an error" => "none; it has to be written".to_owned(),
        None => format!("none: {}", key.absent),
    }
}

fn explanation(key: &Key) -> String {
    let mut text = format!("{} Accepted: {}.", key.meaning, key.accepted);
    if key.default.is_none() && key.absent != "an error" {
        let _ = write!(text, " Without it: {}.", key.absent);
    }
    text
}

/// `text` behind `# `, broken into lines of at most 100 characters.
fn comment(out: &mut String, text: &str) {
    for line in lines(text, 98) {
        let _ = writeln!(out, "# {line}");
    }
}

fn paragraph(out: &mut String, text: &str) {
    for line in lines(text, 120) {
        let _ = writeln!(out, "{line}");
    }
}

fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn default_file_parses_to_the_defaults() {
        let printed = crate::parse(&default_file(), Path::new("defaults")).expect("accepted");
        let bare = crate::parse("[server]\n", Path::new("bare")).expect("accepted");
        assert_eq!(printed, bare);
    }

    #[test]
    fn each_default_written_out_changes_nothing() {
        let switched = |table: &Table| match table.name {
            "rate-limit" => "interval = \"8s\"\n",
            "nts" => "certificate = \"c\"\nkey = \"k\"\n",
            _ => "",
        };
        for table in TABLES.iter().filter(|table| !table.repeated) {
            let without = format!("[{}]\n{}", table.name, switched(table));
            let expected = crate::parse(&without, Path::new("without")).expect("accepted");
            for key in table.keys {
                let Some(default) = key.default else { continue };
                let with = format!("{without}{} = {default}\n", key.name);
                let found = crate::parse(&with, Path::new("with")).expect(&with);
                assert_eq!(found, expected, "{with}");
            }
        }
    }

    #[test]
    fn each_example_is_accepted() {
        let mut file = String::new();
        for table in TABLES {
            if table.name == "source" {
                file.push_str(&examples_of_sources(table));
                continue;
            }
            file.push_str(&table.header());
            file.push('\n');
            for key in table.keys {
                let _ = writeln!(file, "{} = {}", key.name, key.example);
            }
        }
        crate::parse(&file, Path::new("examples")).expect("accepted");
    }

    /// One source of each kind, and each with every other key that it may have.
    fn examples_of_sources(table: &Table) -> String {
        let kinds = ["server", "pool", "nts", "nts-pool"];
        let mut file = String::new();
        for kind in kinds {
            let is_left_out = |name: &str| match name {
                "max-sources" => !kind.contains("pool"),
                "ca" => !kind.contains("nts"),
                "port" => kind.contains("pool"),
                // What is only measured cannot be required as well.
                "noselect" => kind == "server",
                "require" => kind != "server",
                name => kinds.contains(&name) && name != kind,
            };
            file.push_str("[[source]]\n");
            for key in table.keys.iter().filter(|key| !is_left_out(key.name)) {
                let _ = writeln!(file, "{} = {}", key.name, key.example);
            }
        }
        file
    }

    #[test]
    fn descriptions_are_complete_and_agree_with_each_other() {
        for table in TABLES {
            assert!(table.meaning.ends_with('.'), "{}", table.name);
            if let Some(switch) = table.switch {
                let switch = table.key(switch).expect("described");
                assert!(switch.default.is_none() && switch.absent == "an error", "{}", table.name);
            }
            for (at, key) in table.keys.iter().enumerate() {
                let named = format!("{}.{}", table.name, key.name);
                assert!(key.meaning.ends_with('.') && !key.accepted.ends_with('.'), "{named}");
                assert_eq!(key.default.is_some(), key.absent.is_empty(), "{named}");
                let again = table.keys.iter().skip(at + 1).any(|other| other.name == key.name);
                assert!(!again, "{named} is described twice");
                assert!(!key.elsewhere.contains(&key.name), "{named} is no foreign name");
            }
        }
    }

    #[test]
    fn manual_in_docs_is_the_one_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("NOONMARK_PRINT_MANUAL").is_some() {
            std::fs::write(path, manual()).expect("writable");
        }
        let checked_in = std::fs::read_to_string(path).expect("docs/configuration.md");
        assert!(
            checked_in == manual(),
            "docs/configuration.md is old: NOONMARK_PRINT_MANUAL=1 cargo test -p noonmark-config prints it anew"
        );
    }
}
