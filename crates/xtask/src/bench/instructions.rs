//! `cargo xtask bench instructions`: how many instructions the pure responder takes for a request, counted by callgrind.
//!
//! A count does not depend on what else the machine does, so a change of a few per cent can be seen where a time cannot show it. The
//! counts are kept in the repository and compared by the test command; whoever means to spend more writes the new ones with `--write`.
//! They hold for one toolchain, one C library and one kind of processor, which are kept beside them: elsewhere nothing is compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::apt::{self, Consent, Needed};
use crate::child;
use crate::report::Tally;
use crate::workspace::{self, Metadata};

/// How to count.
#[derive(clap::Args)]
pub struct Wish {
    /// Keep the counts as those to compare with from now on
    #[arg(long)]
    write: bool,
    /// Install missing Debian packages without asking
    #[arg(long)]
    yes: bool,
}

/// What was counted, and where.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Counts {
    /// What a count depends on besides our code.
    place: BTreeMap<String, String>,
    /// Instructions per request by case and size of the batch.
    per_request: BTreeMap<String, u64>,
}

const CALLGRIND: &[Needed] = &[Needed { program: "valgrind", package: "valgrind" }];
/// Where the counts are kept.
const KEPT: &str = "crates/server/benches/instructions.json";
/// How much more than what is kept is too much, in per cent.
const TOLERATED: u64 = 2;
const LIMIT: Duration = Duration::from_secs(600);
/// The function that is counted.
const SECTION: &str = "instructions::counted_section";

/// Counts, prints every case beside what is kept, and keeps it if asked to.
///
/// # Errors
/// What is missing, or what failed.
pub fn run(wish: &Wish) -> Result<ExitCode, String> {
    apt::ensure(CALLGRIND, Consent { given: wish.yes })?;
    let counts = count()?;
    let kept = read();
    for (case, now) in &counts.per_request {
        let before = kept.as_ref().ok().and_then(|kept| kept.per_request.get(case));
        let before = before.map_or_else(|| "-".into(), u64::to_string);
        println!("{case:<48} {now:>8}  kept {before:>8}");
    }
    counts.place.iter().for_each(|(what, value)| println!("{what}: {value}"));
    if wish.write {
        let text = serde_json::to_string_pretty(&counts).map_err(|e| e.to_string())?;
        let path = kept_at();
        std::fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
        println!("written to {KEPT}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What the test command says: whether a request takes more than it took.
pub fn check(tally: &mut Tally, consent: Consent) {
    const NAME: &str = "instructions per request are within 2 % of those kept";
    if let Err(reason) = apt::ensure(CALLGRIND, consent) {
        return tally.record_not_run(NAME, &reason);
    }
    let compared = read().and_then(|kept| {
        let elsewhere = difference(&kept.place, &place()?);
        if !elsewhere.is_empty() {
            return Ok(Err(elsewhere));
        }
        Ok(Ok(judge(&kept.per_request, &count()?.per_request)))
    });
    match compared {
        Ok(Err(elsewhere)) => {
            tally.record_not_run(NAME, &format!("they were counted elsewhere: {elsewhere}"));
        }
        Ok(Ok(result)) => tally.record(NAME, result),
        Err(problem) => tally.record(NAME, Err(problem)),
    }
}

/// Every case that takes too much, or that only one of the two knows.
fn judge(kept: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Result<(), String> {
    let mut findings = Vec::new();
    for (case, now) in now {
        match kept.get(case) {
            None => findings.push(format!("{case}: {now} instructions, none are kept")),
            Some(kept) if now * 100 > kept * (100 + TOLERATED) => {
                findings.push(format!("{case}: {now} instructions, {kept} are kept"));
            }
            // Less is kept when somebody writes the counts anew.
            Some(_) => {}
        }
    }
    let lost = kept.keys().filter(|case| !now.contains_key(*case));
    findings.extend(lost.map(|case| format!("{case}: kept, and no longer counted")));
    if findings.is_empty() {
        return Ok(());
    }
    findings.push(format!("if that is meant: cargo xtask bench instructions --write ({KEPT})"));
    Err(findings.join("\n"))
}

fn count() -> Result<Counts, String> {
    let target = Metadata::read()?.target_directory;
    let program = build()?;
    let folder = target.join("instructions");
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(problem)?;
    }
    std::fs::create_dir_all(&folder).map_err(problem)?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--collect-atstart=no"]);
    valgrind.arg(format!("--toggle-collect={SECTION}")).arg(format!("--dump-after={SECTION}"));
    valgrind.arg(format!("--callgrind-out-file={}", folder.join(DUMP).display()));
    // What the environment holds lies on the stack, and where the stack begins can move a copy by an instruction.
    valgrind.arg(program).env_clear();
    let said = child::output(LIMIT, &valgrind)?;
    let mut per_request = BTreeMap::new();
    for (number, line) in said.lines().enumerate() {
        let (size, name) = line.split_once(' ').ok_or_else(|| format!("not a case: {line}"))?;
        let size: u64 = size.parse().map_err(|_| format!("not a case: {line}"))?;
        let dump = folder.join(format!("{DUMP}.{}", number + 1));
        let text =
            std::fs::read_to_string(&dump).map_err(|e| format!("{}: {e}", dump.display()))?;
        let counted = summary(&text).ok_or_else(|| format!("{name}: nothing was counted"))?;
        per_request.insert(format!("{name}, in batches of {size}"), counted / size);
    }
    if per_request.is_empty() {
        return Err("no case was counted".into());
    }
    Ok(Counts { place: place()?, per_request })
}

const DUMP: &str = "counted";
/// That of a release, without what only makes dependencies fast that are not called.
const PROFILE: &str = "counted";

/// The instructions of one of callgrind's files; none if there were none.
fn summary(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("summary: "))?;
    line.trim().parse().ok().filter(|count| *count > 0)
}

/// Builds what is counted, as it is shipped; where it is.
fn build() -> Result<PathBuf, String> {
    let mut build = workspace::cargo();
    build.args(["build", "--profile", PROFILE, "--locked", "--package", "noonmark-server"]);
    build.args(["--bench", "instructions", "--message-format", "json-render-diagnostics"]);
    let said = child::output(Duration::from_secs(1800), &build)?;
    let built = said.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    built
        .filter(|built| built.target.name == "instructions")
        .find_map(|built| built.executable)
        .ok_or_else(|| "cargo did not say what it built".into())
}

/// One of cargo's messages, as far as it is looked at.
#[derive(Deserialize)]
struct Built {
    target: BuiltTarget,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct BuiltTarget {
    name: String,
}

/// What a count depends on: compiler, C library, callgrind, and which instructions the processor offers to cryptography and copying.
fn place() -> Result<BTreeMap<String, String>, String> {
    let ask = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(workspace::root());
        let said = child::output(Duration::from_secs(60), &command)?;
        Ok::<_, String>(said.lines().next().unwrap_or_default().to_owned())
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> = flags
        .lines()
        .find_map(|line| line.strip_prefix("flags")?.split_once(':'))
        .map(|(_, flags)| flags.split_whitespace().collect())
        .unwrap_or_default();
    let offered: Vec<&str> =
        PROCESSOR.iter().copied().filter(|flag| flags.contains(flag)).collect();
    Ok(BTreeMap::from([
        ("compiler".to_owned(), ask(&rustc, &["--version"])?),
        ("C library".to_owned(), ask("getconf", &["GNU_LIBC_VERSION"])?),
        ("callgrind".to_owned(), ask("valgrind", &["--version"])?),
        ("processor".to_owned(), format!("{} {}", std::env::consts::ARCH, offered.join(" "))),
    ]))
}

/// Of what valgrind passes on to a program: what chooses between ways to encrypt and to copy.
const PROCESSOR: &[&str] = &["aes", "pclmulqdq", "ssse3", "avx", "avx2", "bmi2", "erms"];

/// What differs between two places, as words; empty if nothing does.
fn difference(kept: &BTreeMap<String, String>, here: &BTreeMap<String, String>) -> String {
    let differing = here.iter().filter(|(what, value)| kept.get(*what) != Some(*value));
    let told = differing.map(|(what, value)| {
        let before = kept.get(what).map_or("unknown", String::as_str);
        format!("{what} {before}, here {value}")
    });
    told.collect::<Vec<_>>().join("; ")
}

fn kept_at() -> PathBuf {
    workspace::root().join(Path::new(KEPT))
}

fn read() -> Result<Counts, String> {
    let text = std::fs::read_to_string(kept_at()).map_err(|e| format!("{KEPT}: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("{KEPT}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
        rows.iter().map(|&(case, count)| (case.to_owned(), count)).collect()
    }

    #[test]
    fn two_per_cent_more_are_tolerated_and_no_more() {
        let check = |now: &[(&str, u64)], expected: Result<(), &str>| {
            let result = judge(&counts(&[("plain", 1000), ("NTS", 5000)]), &counts(now));
            match (result, expected) {
                (Ok(()), Ok(())) => {}
                (Err(found), Err(part)) => {
                    assert!(found.contains(part) && found.contains("--write"), "{found}");
                }
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        };
        check(&[("plain", 1000), ("NTS", 5000)], Ok(()));
        check(&[("plain", 1020), ("NTS", 4000)], Ok(()));
        check(&[("plain", 1021), ("NTS", 5000)], Err("plain: 1021 instructions, 1000 are kept"));
        check(&[("plain", 1000)], Err("NTS: kept"));
        check(&[("plain", 1000), ("NTS", 5000), ("new", 1)], Err("new: 1 instructions, none"));
    }

    #[test]
    fn a_file_of_callgrind_tells_its_sum_or_nothing() {
        let check = |text: &str, expected| assert_eq!(summary(text), expected, "{text}");
        check("events: Ir\nfn=x\n3 4\nsummary: 881\n", Some(881));
        check("summary: 0\n", None);
        check("events: Ir\n", None);
    }

    #[test]
    fn another_compiler_is_another_place() {
        let place = |rustc: &str| BTreeMap::from([("compiler".to_owned(), rustc.to_owned())]);
        assert_eq!(difference(&place("1.95.0"), &place("1.95.0")), "");
        assert_eq!(difference(&place("1.95.0"), &place("1.96.0")), "compiler 1.95.0, here 1.96.0");
    }
}
