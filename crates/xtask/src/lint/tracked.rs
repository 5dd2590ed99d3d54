//! Rules for the files git tracks, checked on their text.

use std::path::{Component, Path, PathBuf};

use super::verdict;
use crate::{child, workspace};

/// Where Rust may say `unsafe`: system calls, programs that stand in for a wire or a kernel, and the module with a processor's instructions for AES.
const UNSAFE_PLACES: &[&str] = &["crates/os/", "conformance/rig/", "crates/siv/src/aesni.rs"];

/// Top folders every machine has, so that naming them tells nothing about this one.
const EVERYWHERE: &[&str] =
    &["/", "/tmp", "/var", "/var/tmp", "/home", "/root", "/opt", "/srv", "/usr", "/mnt"];

/// Documents whose tables name tests and requirements.
const NAME_TESTS: &[&str] = &["SECURITY.md", "docs/cve-table.md"];

/// The tracked files with their text; files that are not text are left out.
pub struct Files {
    root: PathBuf,
    texts: Vec<(String, String)>,
}

impl Files {
    /// Reads every tracked file of the checkout.
    ///
    /// # Errors
    /// A sentence, when git does not tell.
    pub fn read() -> Result<Self, String> {
        let root = workspace::root();
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(&root).args(["ls-files", "-z"]);
        let names = child::output(std::time::Duration::from_secs(60), &git)?;
        let names = names.split('\0').filter(|name| !name.is_empty());
        let texts = names.filter_map(|name| {
            let text = std::fs::read_to_string(root.join(name)).ok()?;
            Some((name.to_owned(), text))
        });
        Ok(Self { texts: texts.collect(), root })
    }

    /// `unsafe` stands only in the places that may have it.
    pub fn check_unsafe(&self) -> Result<(), String> {
        let elsewhere = |name: &str| !UNSAFE_PLACES.iter().any(|place| name.starts_with(place));
        self.find(|name| name.ends_with(".rs") && elsewhere(name), says_unsafe)
    }

    /// No file names the folder this checkout happens to lie in, or that folder's parent.
    pub fn check_paths(&self) -> Result<(), String> {
        let places = self.root.ancestors().take(2).filter_map(Path::to_str);
        let places: Vec<&str> = places.filter(|place| !EVERYWHERE.contains(place)).collect();
        self.find(|_| true, |line| places.iter().any(|place| names_path(line, place)))
    }

    /// No file names a path that leads out of the tree by `..`.
    pub fn check_escapes(&self) -> Result<(), String> {
        let findings = self.texts.iter().filter(|(name, _)| is_prose_or_code(name)).flat_map(
            |(name, text)| {
                let depth = name.matches('/').count();
                let out = move |line: &&str| climbs(line) > depth;
                text.lines().filter(out).map(move |line| format!("{name}: {}", line.trim()))
            },
        );
        verdict(findings.collect())
    }

    /// Every relative link of a Markdown file names a tracked file or folder.
    pub fn check_links(&self) -> Result<(), String> {
        let mut findings = Vec::new();
        for (name, text) in self.texts.iter().filter(|(name, _)| name.ends_with(".md")) {
            for target in links(text) {
                let folder = Path::new(name).parent().unwrap_or(Path::new(""));
                let known = inside(&folder.join(target)).is_some_and(|path| self.tracks(&path));
                if !known {
                    findings.push(format!("{name}: link to {target}"));
                }
            }
        }
        verdict(findings)
    }

    /// Every test or check of a requirement that the documents on security name is there, and so is every requirement.
    pub fn check_named_tests(&self) -> Result<(), String> {
        let rust: Vec<&str> = self
            .texts
            .iter()
            .filter(|(name, _)| name.ends_with(".rs"))
            .map(|(_, text)| text.as_str())
            .collect();
        let text_of = |wanted: &str| {
            self.texts.iter().find(|(name, _)| name == wanted).map_or("", |(_, text)| text)
        };
        let requirements = text_of("docs/requirements.md");
        let mut findings = Vec::new();
        for document in NAME_TESTS {
            for test in named_tests(text_of(document)) {
                let (function, check) = (format!("fn {test}("), format!("name: \"{test}\""));
                if !rust.iter().any(|text| text.contains(&function) || text.contains(&check)) {
                    findings.push(format!("{document}: no test {test}"));
                }
            }
            for id in named_requirements(text_of(document)) {
                let kept = |line: &str| {
                    line.starts_with(&format!("| {id} |")) && !line.contains("| not claimed yet")
                };
                if !requirements.lines().any(kept) {
                    findings.push(format!("{document}: {id} is no requirement that is kept"));
                }
            }
        }
        verdict(findings)
    }

    fn tracks(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.texts.iter().any(|(name, _)| name == path || name.starts_with(&folder))
    }

    fn find(&self, which: impl Fn(&str) -> bool, bad: impl Fn(&str) -> bool) -> Result<(), String> {
        let mut findings = Vec::new();
        for (name, text) in self.texts.iter().filter(|(name, _)| which(name)) {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| bad(line)) {
                findings.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
        verdict(findings)
    }
}

fn is_prose_or_code(name: &str) -> bool {
    let known = [".md", ".rs", ".toml", ".sh", ".service", ".conf", ".yml"];
    known.iter().any(|ending| name.ends_with(ending)) || name == ".ci/run"
}

/// Whether a line of Rust uses the keyword to open a block, a function, an implementation, a trait or an extern block,
/// or allows others to.
fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or("");
    let code = code.replace("\\\"", "").split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let opens = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait", "unsafe extern"];
    let allows = ["allow(unsafe_code", "expect(unsafe_code"];
    opens.iter().chain(&allows).any(|words| code.contains(words))
}

/// Whether a line names `place` or something below it, as a whole path component.
fn names_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        let part = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        !before.is_some_and(part) && !after.is_some_and(|c| c.is_alphanumeric() || "-_".contains(c))
    })
}

/// The largest number of `../` in a row on a line, counted only where they begin a path.
fn climbs(line: &str) -> usize {
    let mut most = 0;
    for (at, _) in line.match_indices("../") {
        let starts = !line[..at].ends_with(['.', '/'])
            && !line[..at].ends_with(|c: char| c.is_alphanumeric());
        if starts {
            let rest = &line[at..];
            let count = rest.as_bytes().chunks(3).take_while(|chunk| chunk == b"../").count();
            most = most.max(count);
        }
    }
    most
}

/// Targets of a Markdown text's links that name files.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .match_indices("](")
        .filter_map(|(at, _)| text[at + 2..].split([')', ' ', '\n']).next());
    let targets = targets.map(|target| target.split('#').next().unwrap_or(""));
    targets.filter(|target| !target.is_empty() && !target.contains(':'))
}

/// What stands in backticks in a table and is a test's name by its looks: a sentence of at least three words.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|word| {
        word.matches('_').count() >= 2
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

/// What is a requirement's id by its looks: two capitals, a hyphen, two digits.
fn named_requirements(text: &str) -> impl Iterator<Item = &str> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|row| row.split([' ', ',', '|'])).filter(|word| {
        let octets = word.as_bytes();
        octets.len() == 5
            && octets[..2].iter().all(u8::is_ascii_uppercase)
            && octets[2] == b'-'
            && octets[3..].iter().all(u8::is_ascii_digit)
    })
}

/// A relative path without `.` and `..`; `None` if it leaves the tree.
fn inside(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Files {
        let texts = texts.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        Files { root: PathBuf::from("/plot/house"), texts }
    }

    fn check(result: Result<(), String>, expected: &[&str]) {
        let found = result.err().unwrap_or_default();
        assert_eq!(found.lines().count(), expected.len(), "{found}");
        for part in expected {
            assert!(found.contains(part), "{found}");
        }
    }

    #[test]
    fn unsafe_is_found_outside_its_folders() {
        let block = concat!("let x = uns", "afe { *p };\n");
        check(
            files(&[("crates/nts/src/lib.rs", block)]).check_unsafe(),
            &["crates/nts/src/lib.rs:1"],
        );
        check(files(&[("crates/os/src/udp.rs", block)]).check_unsafe(), &[]);
        check(files(&[("conformance/rig/src/bin/x.rs", block)]).check_unsafe(), &[]);
        check(files(&[("crates/siv/src/aesni.rs", block)]).check_unsafe(), &[]);
        check(
            files(&[("crates/siv/src/siv.rs", block)]).check_unsafe(),
            &["crates/siv/src/siv.rs:1"],
        );
        check(
            files(&[("crates/nts/src/lib.rs", "// unsafe { in a comment }\n")]).check_unsafe(),
            &[],
        );
        check(
            files(&[("crates/nts/src/lib.rs", "let s = \"\\\"unsafe { in text }\";\n")])
                .check_unsafe(),
            &[],
        );
        let allow = concat!("#![allow(uns", "afe_code)]\n");
        check(
            files(&[("crates/ke/src/lib.rs", allow)]).check_unsafe(),
            &["crates/ke/src/lib.rs:1"],
        );
    }

    #[test]
    fn a_path_of_this_machine_is_found() {
        check(files(&[("a.md", "see /plot/house/docs\n")]).check_paths(), &["a.md:1"]);
        check(files(&[("a.md", "see /plot/shared\n")]).check_paths(), &["a.md:1"]);
        check(files(&[("a.md", "see /plotting and /garden/plot\n")]).check_paths(), &[]);
    }

    #[test]
    fn a_path_out_of_the_tree_is_found() {
        check(files(&[("a.md", "see ../b/c\n")]).check_escapes(), &["a.md"]);
        check(files(&[("docs/a.md", "see ../README.md\n")]).check_escapes(), &[]);
        check(files(&[("docs/a.md", "see ../../x\n")]).check_escapes(), &["docs/a.md"]);
    }

    #[test]
    fn a_test_or_requirement_that_is_not_there_is_found() {
        let table =
            "| a | `what_is_here_passes`, KE-01 |\n| b | `what_is_not_here`, KE-02, KE-03 |\n";
        let list = [
            ("SECURITY.md", table),
            ("docs/requirements.md", "| KE-01 | MUST |\n| KE-02 | MUST | not claimed yet: x |\n"),
            ("a.rs", "fn what_is_here_passes() {"),
        ];
        check(files(&list).check_named_tests(), &["what_is_not_here", "KE-02", "KE-03"]);
        check(files(&[("SECURITY.md", "`no_table_row_here` KE-09\n")]).check_named_tests(), &[]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let list = [
            ("README.md", "[a](docs/b.md#x) [c](docs) [d](https://x/y) [e](#f)"),
            ("docs/b.md", "[r](../README.md)"),
        ];
        check(files(&list).check_links(), &[]);
        check(files(&[("README.md", "[a](docs/none.md)")]).check_links(), &["docs/none.md"]);
        check(files(&[("docs/a.md", "[a](../../x.md)")]).check_links(), &["../../x.md"]);
    }
}
