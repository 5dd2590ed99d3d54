//! What becomes of other servers' configurations, line by line, as it was reviewed.
//!
//! Each file in `imports/` holds cases: `=== NAME PATH`, the lines of that file, and after `+++ PATH` those of files that it includes.
//! Behind each line stands, after a tab and `!`, what is said of it, and at the end of a case, after a tab and `=`, what came out, without
//! its comments. With `NOONMARK_REVIEW` set the test writes down what it finds; whoever does that reads the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use noonmark_config::import::{Dialect, Files, Import, ImportError, Outcome, Unread, import};
use noonmark_config::{Action, ClockMode, InterfaceName, Settings, SourceKind, Steps, parse};

/// Files that are not on a disk.
#[derive(Default)]
struct Made(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Made {
    fn read(&self, path: &Path) -> Result<Vec<u8>, Unread> {
        self.0.get(path).cloned().ok_or(Unread::Missing)
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>, Unread> {
        let names: Vec<String> = self
            .0
            .keys()
            .filter(|path| path.parent() == Some(folder))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        if names.is_empty() { Err(Unread::Missing) } else { Ok(names) }
    }
}

fn made(files: &[(&str, &str)]) -> Made {
    Made(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
}

/// A case of the corpus: its name, its files, the first being the one to import.
struct Case {
    name: String,
    files: Vec<(String, Vec<String>)>,
}

impl Case {
    fn import(&self) -> Result<Import, ImportError> {
        let files =
            self.files.iter().map(|(path, lines)| (path.into(), (lines.join("\n") + "\n").into()));
        import(Path::new(&self.files[0].0), None, &Made(files.collect()))
    }

    /// The case as it stands in its file.
    fn print(&self) -> String {
        let mut out = String::new();
        let made = self.import();
        for (number, (path, lines)) in self.files.iter().enumerate() {
            let _ = match number {
                0 => writeln!(out, "=== {} {path}", self.name),
                _ => writeln!(out, "+++ {path}"),
            };
            for (at, line) in lines.iter().enumerate() {
                let _ = writeln!(out, "{line}");
                let said = made.iter().flat_map(|made| &made.lines);
                for said in said
                    .filter(|said| said.file == *path && said.line == at + 1 && !said.is_comment())
                {
                    let note = if said.note.is_empty() {
                        String::new()
                    } else {
                        format!(": {}", said.note)
                    };
                    let _ = writeln!(out, "\t! {}{note}", said.outcome.as_str());
                }
            }
        }
        match made {
            Ok(made) => {
                let shown =
                    |line: &&str| !line.starts_with("# ") && *line != "#" && !line.is_empty();
                for line in made.toml.lines().filter(shown) {
                    let _ = writeln!(out, "\t= {line}");
                }
            }
            Err(error) => {
                let _ = writeln!(out, "\t= error: {error}");
            }
        }
        out
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports")
}

fn cases(file: &str) -> Vec<Case> {
    let text = fs::read_to_string(folder().join(file)).expect("the corpus is there");
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("\t!") && !line.starts_with("\t=")) {
        if let Some(head) = line.strip_prefix("=== ") {
            let (name, path) = head.split_once(' ').expect("a name and a path");
            cases.push(Case { name: name.to_owned(), files: vec![(path.to_owned(), Vec::new())] });
        } else if let Some(path) = line.strip_prefix("+++ ") {
            let case = cases.last_mut().expect("a case before its second file");
            case.files.push((path.to_owned(), Vec::new()));
        } else {
            let case = cases.last_mut().expect("a case before its lines");
            case.files.last_mut().expect("a file").1.push(line.to_owned());
        }
    }
    cases
}

const CORPUS: [&str; 4] = ["defaults.txt", "ntp.txt", "chrony.txt", "ntpd-rs.txt"];

#[test]
fn every_line_comes_out_as_it_was_reviewed() {
    let mut total = 0;
    for file in CORPUS {
        let cases = cases(file);
        total += cases.len();
        let found: String = cases.iter().map(Case::print).collect();
        let path = folder().join(file);
        if std::env::var_os("NOONMARK_REVIEW").is_some() {
            fs::write(&path, &found).expect("room");
            continue;
        }
        let reviewed = fs::read_to_string(&path).expect("the corpus is there");
        for (number, (found, reviewed)) in found.lines().zip(reviewed.lines()).enumerate() {
            assert_eq!(found, reviewed, "{file}:{}", number + 1);
        }
        assert_eq!(found.lines().count(), reviewed.lines().count(), "{file}");
    }
    assert!(total >= 60, "{total} cases");
}

#[test]
fn what_comes_out_is_a_configuration_and_every_line_has_its_outcome() {
    for file in CORPUS {
        for case in cases(file) {
            let Ok(made) = case.import() else { continue };
            let origin = Path::new("/etc/noonmark/noonmark.toml");
            let settings = parse(&made.toml, origin)
                .unwrap_or_else(|report| panic!("{}: {report}", case.name));
            let lines = case.files[0].1.iter().filter(|line| !line.trim().is_empty()).count();
            let said = made.lines.iter().filter(|line| line.file == case.files[0].0).count();
            assert_eq!(lines, said, "{}", case.name);
            for line in &made.lines {
                let is_silent = line.note.is_empty() && line.outcome != Outcome::Kept;
                assert!(!is_silent && line.note != "not understood", "{}: {line:?}", case.name);
            }
            // What is written behind # is a source all the same, once the # is taken away, unless our reader refuses it.
            assert!(
                !settings.asks_sources() || settings.clock.mode != ClockMode::Off,
                "{}",
                case.name
            );
        }
    }
}

fn of_defaults(name: &str) -> (Import, Settings) {
    let cases = cases("defaults.txt");
    let case = cases.iter().find(|case| case.name == name).expect(name);
    let made = case.import().unwrap_or_else(|error| panic!("{error}"));
    let settings = parse(&made.toml, Path::new("/etc/noonmark/noonmark.toml")).expect("good");
    (made, settings)
}

fn action(settings: &Settings, address: &str) -> Action {
    settings.action_for(address.parse::<IpAddr>().expect("an address"))
}

/// Whom each default asks, whom it serves, and when it steps, as the programs they are for would.
#[test]
fn defaults_of_distributions_keep_their_meaning() {
    struct Row {
        name: &'static str,
        hosts: &'static [&'static str],
        listens: usize,
        threshold_ms: u64,
        steps: Steps,
        largest_step_s: Option<u64>,
        min_sources: u32,
        rate_ms: Option<u64>,
        lost: usize,
    }
    let debian: &[&str] = &[
        "0.debian.pool.ntp.org",
        "1.debian.pool.ntp.org",
        "2.debian.pool.ntp.org",
        "3.debian.pool.ntp.org",
    ];
    let rhel: &[&str] = &[
        "0.rhel.pool.ntp.org",
        "1.rhel.pool.ntp.org",
        "2.rhel.pool.ntp.org",
        "3.rhel.pool.ntp.org",
    ];
    let base = Row {
        name: "",
        hosts: &[],
        listens: 2,
        threshold_ms: 128,
        steps: Steps::Always,
        largest_step_s: Some(1000),
        min_sources: 1,
        rate_ms: None,
        lost: 0,
    };
    let chrony = Row {
        listens: 0,
        threshold_ms: 1000,
        steps: Steps::First(3),
        largest_step_s: None,
        ..base
    };
    let rows = [
        Row {
            name: "debian-12-ntpsec",
            hosts: debian,
            min_sources: 3,
            rate_ms: Some(1000),
            ..base
        },
        Row { name: "debian-11-ntp", hosts: debian, rate_ms: Some(8000), lost: 4, ..base },
        Row { name: "debian-12-chrony", hosts: &["2.debian.pool.ntp.org"], lost: 1, ..chrony },
        Row { name: "rhel-7-ntp", hosts: rhel, ..base },
        Row { name: "rhel-7-chrony", hosts: rhel, ..chrony },
        Row { name: "rhel-8-chrony", hosts: &["2.rhel.pool.ntp.org"], lost: 1, ..chrony },
        Row {
            name: "rhel-9-chrony",
            hosts: &["2.rhel.pool.ntp.org", "192.0.2.7"],
            lost: 1,
            ..chrony
        },
        Row {
            name: "freebsd-14",
            hosts: &["0.freebsd.pool.ntp.org", "2.freebsd.pool.ntp.org"],
            rate_ms: Some(8000),
            ..base
        },
        Row {
            name: "sonic-ntp",
            hosts: &["pool.example.net"],
            largest_step_s: None,
            lost: 5,
            ..base
        },
        Row {
            name: "sonic-chrony",
            hosts: &["192.0.2.1"],
            steps: Steps::First(0),
            lost: 4,
            ..chrony
        },
        Row {
            name: "opnsense",
            hosts: &[
                "0.opnsense.pool.ntp.org",
                "1.opnsense.pool.ntp.org",
                "2.opnsense.pool.ntp.org",
            ],
            largest_step_s: None,
            rate_ms: Some(8000),
            lost: 7,
            ..base
        },
        Row {
            name: "pfsense",
            hosts: &["2.pfsense.pool.ntp.org"],
            listens: 3,
            largest_step_s: None,
            rate_ms: Some(8000),
            lost: 3,
            ..base
        },
        Row {
            name: "ntpd-rs-1.9",
            hosts: &["ntpd-rs.pool.ntp.org"],
            listens: 0,
            threshold_ms: 10,
            largest_step_s: Some(1800),
            min_sources: 3,
            ..base
        },
    ];
    for row in rows {
        let (made, settings) = of_defaults(row.name);
        let hosts: Vec<&str> = settings
            .sources
            .iter()
            .flat_map(|source| source.kind.hosts())
            .map(String::as_str)
            .collect();
        assert_eq!(hosts, row.hosts, "{}", row.name);
        assert_eq!(settings.server.listen.len(), row.listens, "{}", row.name);
        let clock = &settings.clock;
        assert_eq!((clock.mode, clock.steps), (ClockMode::Keep, row.steps), "{}", row.name);
        assert_eq!(clock.step_threshold, Duration::from_millis(row.threshold_ms), "{}", row.name);
        assert_eq!(clock.largest_step, row.largest_step_s.map(Duration::from_secs), "{}", row.name);
        assert_eq!(clock.min_sources, row.min_sources, "{}", row.name);
        let rate = settings.rate_limit.as_ref().map(|limit| limit.interval);
        assert_eq!(rate, row.rate_ms.map(Duration::from_millis), "{}", row.name);
        assert_eq!(made.count(Outcome::Unsupported), row.lost, "{}", row.name);
    }
}

#[test]
fn defaults_of_distributions_serve_whom_they_served() {
    let check = |name: &str, rows: &[(&str, Action)]| {
        let (_, settings) = of_defaults(name);
        for (address, expected) in rows {
            assert_eq!(action(&settings, address), *expected, "{name} {address}");
        }
    };
    let open = [("192.0.2.1", Action::Allow), ("2001:db8::1", Action::Allow)];
    for name in
        ["debian-12-ntpsec", "debian-11-ntp", "rhel-7-ntp", "freebsd-14", "sonic-ntp", "opnsense"]
    {
        check(name, &open);
    }
    check(
        "pfsense",
        &[
            ("192.168.1.7", Action::Allow),
            ("192.0.2.1", Action::Ignore),
            ("2001:db8::1", Action::Ignore),
        ],
    );
    let (_, opnsense) = of_defaults("opnsense");
    let devices: Vec<&str> = opnsense.server.interfaces.iter().map(InterfaceName::as_str).collect();
    assert_eq!(devices, ["em0", "igb1", "lo"]);
    let local = opnsense.server.local.expect("orphan");
    assert_eq!((local.stratum, local.orphan), (12, true));
    assert!(
        opnsense.sources[1].prefer
            && opnsense.sources[2].noselect
            && opnsense.sources[0].maxpoll == 9
    );
    let (_, debian) = of_defaults("debian-12-ntpsec");
    assert!(
        debian
            .sources
            .iter()
            .all(|source| matches!(source.kind, SourceKind::Pool { max_sources: 3, .. })
                && source.iburst)
    );
    assert_eq!(
        debian.clock.leap_seconds.as_deref(),
        Some(Path::new("/usr/share/zoneinfo/leap-seconds.list"))
    );
}

#[test]
fn what_cannot_be_imported_is_said_in_one_line() {
    let check = |files: &Made, from: Option<Dialect>, words: &str| {
        let error = import(Path::new("/etc/x"), from, files).expect_err(words).to_string();
        assert!(
            error.starts_with("/etc/x: ") && error.contains(words) && !error.contains('\n'),
            "{error}"
        );
    };
    check(&Made::default(), None, "there is no such file");
    check(&made(&[("/etc/x", "server a\0b\n")]), None, "NUL octet");
    check(&made(&[("/etc/x", "")]), None, "say so with --from");
    check(
        &made(&[("/etc/x", "restrict a\nmakestep 1 3\n")]),
        None,
        "line 1, \"restrict\", is ntpd's",
    );
    check(
        &made(&[("/etc/x", "restrict a\n")]),
        Some(Dialect::Chrony),
        "no line of it is of chrony.conf",
    );
    check(&made(&[("/etc/x", "[nts]\ncertificate = \"a\"\n")]), None, "of noonmarkd already");
    check(&made(&[("/etc/x", "[Time]\nNTP=a\n")]), None, "systemd-timesyncd's");
    struct Locked;
    impl Files for Locked {
        fn read(&self, _: &Path) -> Result<Vec<u8>, Unread> {
            Err(Unread::Io(io::ErrorKind::PermissionDenied.into()))
        }

        fn names(&self, _: &Path) -> Result<Vec<String>, Unread> {
            Err(Unread::TooLong)
        }
    }
    let error = import(Path::new("/etc/x"), None, &Locked).expect_err("locked").to_string();
    assert!(error.contains("permission denied"), "{error}");
}

#[test]
fn includes_are_bounded_in_depth_and_number() {
    let deep: Vec<(String, String)> = (0..13)
        .map(|n| (format!("/etc/{n}"), format!("includefile /etc/{}\ntos minsane 2\n", n + 1)))
        .collect();
    let files: Vec<(&str, &str)> =
        deep.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let import_of = |files: &Made, path: &str| {
        import(Path::new(path), Some(Dialect::Ntp), files).unwrap_or_else(|error| panic!("{error}"))
    };
    let lines = import_of(&made(&files), "/etc/0").lines;
    let refused: Vec<&str> = lines
        .iter()
        .filter(|it| it.outcome == Outcome::Unsupported)
        .map(|it| it.file.as_str())
        .collect();
    assert_eq!(refused, ["/etc/10"]);

    let wide: String = (0..300).map(|_| "includefile /etc/one\n").collect();
    let files = made(&[("/etc/wide", &wide), ("/etc/one", "tos minsane 2\n")]);
    let made_of = import_of(&files, "/etc/wide");
    assert_eq!(made_of.lines.iter().filter(|it| it.note.contains("256 files")).count(), 300 - 256);

    let circle = made(&[("/etc/a", "includefile /etc/b\n"), ("/etc/b", "includefile /etc/a\n")]);
    assert!(import_of(&circle, "/etc/a").lines[1].note.contains("includes itself"));
}

#[test]
fn a_long_file_of_servers_and_rules_is_read_and_bounded() {
    let mut text = String::new();
    for number in 0..3000_u32 {
        let _ = writeln!(text, "server s{number}.example.net iburst");
        let _ = writeln!(
            text,
            "restrict 10.{}.{}.0 mask 255.255.255.0 ignore",
            number / 250,
            number % 250
        );
    }
    let made = import(Path::new("/etc/ntp.conf"), None, &made(&[("/etc/ntp.conf", &text)]))
        .unwrap_or_else(|error| panic!("{error}"));
    let settings = parse(&made.toml, Path::new("/x")).expect("good");
    assert_eq!((settings.sources.len(), settings.access.len()), (64, 3000));
    assert_eq!(made.count(Outcome::Unsupported), 3000 - 64);
}

#[test]
fn every_difference_stands_on_the_page_of_its_predecessor() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migration");
    let pages = [
        ("ntpd.md", Dialect::Ntp),
        ("ntpsec.md", Dialect::Ntp),
        ("chrony.md", Dialect::Chrony),
        ("ntpd-rs.md", Dialect::NtpdRs),
    ];
    for (page, dialect) in pages {
        let text = fs::read_to_string(docs.join(page)).expect("a page for each");
        for difference in dialect.differences() {
            assert!(text.contains(difference), "{page}: {difference}");
        }
    }
}

#[test]
fn secrets_stay_where_they_are() {
    for (path, text) in [
        ("/etc/ntp.conf", "crypto pw sesame\n"),
        ("/e/ntp.toml", "[[nts-ke-server]]\naccepted-pool-authentication-tokens = [\"sesame\"]\n"),
        (
            "/e/ntp.toml",
            "[[nts-ke-server]]\naccepted-pool-authentication-tokens = [\n  \"sesame\",\n]\n",
        ),
    ] {
        let made = import(Path::new(path), None, &made(&[(path, text)]))
            .unwrap_or_else(|error| panic!("{error}"));
        let all = serde_json::to_string(&made).expect("JSON");
        assert!(!all.contains("sesame"), "{all}");
    }
}
