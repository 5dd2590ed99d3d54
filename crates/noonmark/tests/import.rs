//! `noonmark import` as people and programs call it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("noonmark-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("room");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("room");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn import(file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noonmark"));
    command.arg("import").arg(file).args(arguments).output().expect("it runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("text")
}

const LOSSY: &str = "driftfile /var/lib/ntp/drift\nserver a.example.net iburst\nkeys /etc/ntp.keys\nbroadcast 192.0.2.255\n";
const WHOLE: &str = "server a.example.net iburst\nmakestep 1 3\nrtcsync\n";

#[test]
fn the_configuration_goes_out_and_the_report_beside_it() {
    let folder = Folder::new("import-out");
    let file = folder.file("ntp.conf", LOSSY);
    let out = import(&file, &[]);
    assert_eq!(out.status.code(), Some(1));
    let (configuration, report) = (text(&out.stdout), text(&out.stderr));
    noonmark_config::parse(&configuration, Path::new("/etc/noonmark/noonmark.toml")).expect("good");
    assert!(configuration.contains("ntp.conf:4: broadcast 192.0.2.255"), "{configuration}");
    assert!(report.contains("     4  unsupported  broadcast 192.0.2.255"), "{report}");
    assert!(report.contains("1 kept, 2 changed, 1 unsupported, 0 ignored"), "{report}");
    assert!(report.contains("drift file"), "{report}");
}

#[test]
fn a_file_is_written_once_and_replaced_only_when_asked() {
    let folder = Folder::new("import-file");
    let file = folder.file("chrony.conf", WHOLE);
    let output = folder.0.join("noonmark.toml");
    let output_text = output.to_string_lossy().into_owned();
    let to = |more: &[&str]| import(&file, &[&["--output", &output_text], more].concat());
    let out = to(&[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("makestep 1 3"), "{}", text(&out.stdout));
    noonmark_config::load(&output).map(|_| ()).expect("good");
    fs::write(&output, "mine").expect("room");
    let out = to(&[]);
    assert_eq!(
        (out.status.code(), fs::read_to_string(&output).ok().as_deref()),
        (Some(2), Some("mine"))
    );
    assert!(text(&out.stderr).contains("--replace"), "{}", text(&out.stderr));
    assert_eq!(to(&["--replace"]).status.code(), Some(0));
    noonmark_config::load(&output).map(|_| ()).expect("good");
    let names = fs::read_dir(&folder.0).expect("ours").count();
    assert_eq!(names, 2, "nothing else is left behind");
}

#[test]
fn strict_writes_nothing_where_a_line_is_lost() {
    let folder = Folder::new("import-strict");
    let (lossy, whole) = (folder.file("ntp.conf", LOSSY), folder.file("chrony.conf", WHOLE));
    let output = folder.0.join("noonmark.toml");
    let output_text = output.to_string_lossy().into_owned();
    let out = import(&lossy, &["--strict", "-o", &output_text]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        !output.exists() && text(&out.stderr).contains("1 of its lines"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(import(&whole, &["--strict", "-o", &output_text]).status.code(), Some(0));
    assert!(output.exists());
}

#[test]
fn programs_get_every_line() {
    let folder = Folder::new("import-json");
    let file = folder.file("ntp.conf", LOSSY);
    let out = import(&file, &["--json"]);
    let json: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(1), ""));
    assert_eq!((&json["dialect"], &json["unsupported"]), (&"ntp".into(), &1.into()));
    let lines = json["lines"].as_array().expect("a list");
    assert_eq!(lines.len(), 4);
    for (number, line) in lines.iter().enumerate() {
        let members: Vec<&String> = line.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["file", "line", "note", "outcome", "text"]);
        assert_eq!(line["line"], number + 1);
    }
    assert_eq!(
        (&lines[3]["outcome"], &lines[3]["text"]),
        (&"unsupported".into(), &"broadcast 192.0.2.255".into())
    );
    assert!(json["configuration"].as_str().is_some_and(|text| text.contains("[[source]]")));
    assert!(
        json["output"].is_null()
            && json["differences"].as_array().is_some_and(|list| !list.is_empty())
    );
    let missing: Value =
        serde_json::from_slice(&import(&folder.0.join("no"), &["--json"]).stdout).expect("JSON");
    assert!(
        missing["error"].as_str().is_some_and(|error| error.contains("no such file")),
        "{missing}"
    );
}

#[test]
fn a_wrong_file_is_refused_with_what_it_is() {
    let folder = Folder::new("import-wrong");
    let check = |name: &str, content: &str, arguments: &[&str], words: &str| {
        let out = import(&folder.file(name, content), arguments);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(out.stdout.is_empty() && said.contains(words), "{said}");
    };
    check("ntp.conf", "restrict a\nmakestep 1 3\n", &[], "--from");
    check("ntp.conf", "restrict a\n", &["--from", "chrony"], "no line of it is of chrony.conf");
    check("timesyncd.conf", "[Time]\nNTP=a\n", &[], "systemd-timesyncd's");
    check("noonmark.toml", "[server]\nlisten = []\n", &[], "of noonmarkd already");
    let out = import(&folder.0, &[]);
    assert!(text(&out.stderr).contains("not an ordinary file"), "{}", text(&out.stderr));
}
