//! What a person and a program are told about a wrong configuration, word for word.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use noonmark_config::{Report, load, parse};
use proptest::prelude::*;

fn refused(text: &str) -> Report {
    parse(text, Path::new("noonmark.toml")).expect_err(text)
}

/// Line, column and message of each problem found in `text`.
fn places(text: &str) -> Vec<String> {
    let line = |problem: &noonmark_config::Problem| match (problem.line, problem.column) {
        (Some(line), Some(column)) => format!("{line}:{column} {}", problem.message),
        _ => problem.message.clone(),
    };
    refused(text).problems().iter().map(line).collect()
}

#[test]
fn person_sees_line_caret_and_what_would_be_accepted() {
    let text = "[server]\nlisen = [\"[::]:123\"]\ndscp = 64\n[log]\nformat = \"jsn\"\n";
    let expected = "\
error: [server]: no key is called `lisen`; did you mean `listen`?
 --> noonmark.toml:2:1
  |
2 | lisen = [\"[::]:123\"]
  | ^^^^^
  |
  = accepted: in [server]: listen, interfaces, threads, dscp, versions, interleaved-clients, fast-path, fast-path-interfaces, fast-path-vlans, local-stratum, local-orphan, local-distance, local-activate, local-wait, reference-id, leap-smear, leap-smear-length

error: server.dscp: 64 is too large
 --> noonmark.toml:3:8
  |
3 | dscp = 64
  |        ^^
  |
  = accepted: a DiffServ code point from 0 to 63

error: log.format: \"jsn\" is not known; did you mean \"json\"?
 --> noonmark.toml:5:10
  |
5 | format = \"jsn\"
  |          ^^^^^
  |
  = accepted: \"text\", \"json\" or \"journald\"";
    assert_eq!(refused(text).render(false), expected);
}

#[test]
fn colour_comes_only_when_asked_for() {
    let report = refused("[server]\ndscp = 64\n");
    assert!(report.render(true).contains('\u{1b}'));
    assert!(!report.render(false).contains('\u{1b}'));
}

#[test]
fn program_sees_stable_fields() {
    let found = serde_json::to_string(&refused("[log]\nlevel = \"loud\"\n")).expect("JSON");
    let expected = r#"[{"file":"noonmark.toml","line":2,"column":9,"key":"log.level","#.to_owned()
        + r#""message":"log.level: \"loud\" is not known","#
        + r#""accepted":"\"error\", \"warn\", \"info\", \"debug\" or \"trace\""}]"#;
    assert_eq!(found, expected);
    let found = serde_json::to_value(refused("")).expect("JSON");
    assert!(found[0]["line"].is_null() && found[0]["column"].is_null(), "{found}");
}

#[test]
fn each_mistake_is_named_at_its_place() {
    let check = |text: &str, expected: &[&str]| assert_eq!(places(text), expected, "{text}");
    let empty = "nothing is configured; an empty file does not stand for the defaults";
    check("", &[empty]);
    check("\n# only a comment\n", &[empty]);

    // Tables and keys.
    check("[sever]\n", &["1:2 no table is called `sever`; did you mean [server]?"]);
    check("[ntp]\n", &["1:2 no table is called `ntp`; did you mean [nts]?"]);
    check("[wibble]\n", &["1:2 no table is called `wibble`"]);
    check("dscp = 1\n", &["1:1 no table holds the key `dscp`; did you mean it below [server]?"]);
    check("[[log]]\n", &["1:3 log: is one table, not a list"]);
    check("[access]\n", &["1:2 access: is a list of tables, each with its own header"]);
    check("state = 1\n", &["1:1 state: is a table, not a value"]);
    check("access = [1]\n", &["1:11 access: holds something that is not a table"]);
    check("[server]\nwibble = 1\n", &["2:1 [server]: no key is called `wibble`"]);
    check(
        "[server]\nlocal_stratum = 1\n",
        &["2:1 [server]: no key is called `local_stratum`; did you mean `local-stratum`?"],
    );
    check(
        "[cookies]\nntsrotate = 1\n",
        &["2:1 [cookies]: no key is called `ntsrotate`; did you mean `rotation`?"],
    );
    check(
        "[server]\nburst = 1\n",
        &["2:1 [server]: no key is called `burst`; did you mean `burst` in [rate-limit]?"],
    );
    check(
        "[server]\nserver.dscp = 1\n",
        &["2:1 [server]: no key is called `server`; did you mean `server` in [[source]]?"],
    );

    // Sources and the clock.
    let source = |keys: &str| format!("[[source]]\n{keys}\n");
    let check_source = |keys: &str, expected: &[&str]| check(&source(keys), expected);
    check_source(
        "minpoll = 4",
        &["1:1 source.server: none of server, pool, nts and nts-pool says whom to ask"],
    );
    check_source(
        "server = \"a.example\"\nnts = \"b.example\"",
        &["3:7 source.nts: the table has `server` already: one source each"],
    );
    check_source(
        "server = \"a b\"",
        &["2:10 source.server: \"a b\" is neither a host name nor an address"],
    );
    check_source(
        "server = \"fe80::1%\"",
        &["2:10 source.server: \"fe80::1%\" is neither a host name nor an address"],
    );
    check_source("nts-pool = []", &["2:12 source.nts-pool: the list has 0 hosts"]);
    check_source(
        "server = \"a.example\"\nminpoll = -5\nmaxpoll = 18",
        &["3:11 source.minpoll: -5 is too small", "4:11 source.maxpoll: 18 is too large"],
    );
    check_source(
        "server = \"a.example\"\nminpoll = 8\nmaxpoll = 6",
        &["4:11 source.maxpoll: 6 is less than minpoll, which is 8"],
    );
    check_source(
        "server = \"a.example\"\niburst = 1",
        &["3:10 source.iburst: number 1 is neither true nor false"],
    );
    check_source(
        "server = \"a.example\"\nca = \"x.pem\"\nmax-sources = 2",
        &[
            "3:6 source.ca: given for a source without NTS",
            "4:15 source.max-sources: given for a source that is not a pool",
        ],
    );
    check_source(
        "server = \"a.example\"\nnoselect = true\nrequire = true",
        &["1:1 source.noselect: a source that is never followed cannot be required"],
    );
    check_source(
        "server = \"a.example\"\noperator = \"\"",
        &["3:12 source.operator: \"\" is not a label"],
    );
    check_source(
        "server = \"a.example\"\n[[source]]\nserver = \"A.example\"",
        &["3:1 source.server: \"A.example\" is a source already"],
    );
    let many = |count: usize| {
        (0..count).map(|at| format!("[[source]]\npool = \"p{at}.example\"\n")).collect::<String>()
    };
    assert!(parse(&many(16), Path::new("x")).is_ok());
    check(&many(17), &["33:1 source.pool: 68 servers would be asked at a time, more than 64"]);
    check(
        "[clock]\nclock = \"keep\"\n",
        &["2:9 clock.clock: \"keep\" without a [[source]]: there is nothing to go by"],
    );
    check(
        "[clock]\nclock = \"kep\"\nstep-updates = \"ever\"\nmax-slew = 0\npriority = 100\n",
        &[
            "2:9 clock.clock: \"kep\" is not known; did you mean \"keep\"?",
            "3:16 clock.step-updates: \"ever\" is not known",
            "4:12 clock.max-slew: 0 is too small",
            "5:12 clock.priority: 100 is too large",
        ],
    );
    // What is smeared has to be known in time, and the clock beneath has to be UTC.
    check(
        "[server]\nleap-smear = \"linear\"\nleap-smear-length = \"2d\"\n[clock]\nleap = \"kernel\"\n",
        &["3:21 server.leap-smear-length: \"2d\" is too long"],
    );
    check(
        "[server]\nleap-smear = \"quadratic\"\n[clock]\nleap = \"slew\"\n",
        &[
            "3:2 clock.leap-seconds: missing, with leap-smear in [server]: sources may announce a leap second when its smear should have begun",
            "4:8 clock.leap: \"slew\" with leap-smear in [server], which needs a clock that is set at the leap second",
        ],
    );
    check(
        "[clock]\nmakestep = 1\n",
        &["2:1 [clock]: no key is called `makestep`; did you mean `step-threshold`?"],
    );

    // Addresses.
    check(
        "[server]\nlisten = \"[::]:123\"\n",
        &["2:10 server.listen: text \"[::]:123\" is not a list in brackets"],
    );
    check(
        "[server]\nlisten = [\"0.0.0.0:65536\", 5, \"localhost:123\", \":123\"]\n",
        &[
            "2:11 server.listen: \"0.0.0.0:65536\" is not an address",
            "2:28 server.listen: number 5 is not text in quotes",
            "2:31 server.listen: \"localhost:123\" is not an address",
            "2:48 server.listen: \":123\" has no address; every one is \"[::]\" and \"0.0.0.0\"",
        ],
    );
    check(
        "[server]\nlisten = [\"[::1]:123\", \"::1\"]\n",
        &["2:24 server.listen: \"::1\" is listed twice"],
    );
    check(
        "[server]\nlisten = [\"127.0.0.1\", \"[::]:1123\", \"0.0.0.0\", \"[::1]:1123\", \"[::1]:1124\"]\n",
        &[
            "2:37 server.listen: \"0.0.0.0:123\" and \"127.0.0.1:123\" overlap: one stands for all",
            "2:48 server.listen: \"[::1]:1123\" and \"[::]:1123\" overlap: one stands for all",
        ],
    );
    let many: Vec<String> = (1..=65).map(|last| format!("\"192.0.2.{last}\"")).collect();
    check(
        &format!("[server]\nlisten = [{}]\n", many.join(", ")),
        &["2:10 server.listen: the list has 65 addresses"],
    );
    let devices =
        |count: usize| (0..count).map(|at| format!("\"eth{at}\"")).collect::<Vec<_>>().join(", ");
    check(
        &format!("[server]\ninterfaces = [{}]\n", devices(65)),
        &["2:14 server.interfaces: the list has 65 devices"],
    );
    check(
        &format!(
            "[server]\nlisten = [\"::1\", \"127.0.0.1\", \"127.0.0.2\"]\ninterfaces = [{}]\n",
            devices(43)
        ),
        &["3:14 server.interfaces: 3 addresses on 43 devices are 129 sockets for each thread"],
    );
    check(
        &format!("[server]\nlisten = [\"::1\"]\nthreads = 400\ninterfaces = [{}]\n", devices(41)),
        &["3:11 server.threads: 400 threads with 41 sockets each are more than 16384"],
    );
    check(
        "[server]\nlisten = [\"224.0.1.1\", \"ff02::101\", \"255.255.255.255\"]\n",
        &[
            "2:11 server.listen: \"224.0.1.1\" is not an address a host can have",
            "2:24 server.listen: \"ff02::101\" is not an address a host can have",
            "2:37 server.listen: \"255.255.255.255\" is not an address a host can have",
        ],
    );
    check(
        "[server]\nlisten = [\"::ffff:192.0.2.1\"]\n",
        &["2:11 server.listen: \"::ffff:192.0.2.1\" is an IPv4 address: write it as one"],
    );
    check(
        "[server]\nlisten = []\n",
        &[
            "2:10 server.listen: no address to listen on, and neither [nts] nor [[source]]: nothing would be done",
        ],
    );
    check(
        "[server]\ninterfaces = [\"eth0\", \"eth0\", \"a/b\", \"sixteen-letters-\"]\n",
        &[
            "2:23 server.interfaces: \"eth0\" is listed twice",
            "2:31 server.interfaces: \"a/b\" cannot be a device's name",
            "2:38 server.interfaces: \"sixteen-letters-\" cannot be a device's name",
        ],
    );

    // Numbers.
    check(
        "[server]\nthreads = \"4\"\n",
        &["2:11 server.threads: text \"4\" is not a whole number"],
    );
    check(
        "[server]\nthreads = 4.0\n",
        &["2:11 server.threads: fraction 4.0 is not a whole number"],
    );
    check("[server]\nthreads = true\n", &["2:11 server.threads: true is not a whole number"]);
    check("[server]\nthreads = -1\n", &["2:11 server.threads: -1 is too small"]);
    check("[server]\nthreads = 0x401\n", &["2:11 server.threads: 0x401 is too large"]);
    let long = "9".repeat(50);
    check(
        &format!("[server]\ndscp = {long}\n"),
        &[&format!("2:8 server.dscp: {long} is too large")],
    );
    check("[server]\nlocal-stratum = 0\n", &["2:17 server.local-stratum: 0 is too small"]);
    check("[server]\nlocal-stratum = 16\n", &["2:17 server.local-stratum: 16 is too large"]);
    check("[server]\nversions = [4, 5]\n", &["2:16 server.versions: 5 is too large"]);
    check("[server]\nversions = [4, 4]\n", &["2:16 server.versions: 4 is listed twice"]);
    check(
        "[server]\nversions = []\n",
        &["2:12 server.versions: the list is empty: nothing would be answered"],
    );

    // What goes with what.
    check(
        "[server]\nreference-id = \"GPS\"\n",
        &["2:16 server.reference-id: given without local-stratum"],
    );
    check(
        "[server]\nlocal-orphan = true\nlocal-wait = \"1m\"\n",
        &[
            "2:16 server.local-orphan: true without local-stratum",
            "3:14 server.local-wait: given without local-stratum",
        ],
    );
    check(
        "[server]\nlocal-stratum = 9\nlocal-distance = \"17s\"\n",
        &["3:18 server.local-distance: \"17s\" is too long"],
    );
    check(
        "[server]\nlocal-stratum = 1\nreference-id = \"ATOMS\"\n",
        &["3:16 server.reference-id: \"ATOMS\" does not fit stratum 1"],
    );
    check(
        "[server]\nlocal-stratum = 2\nreference-id = \"GPS\"\n",
        &["3:16 server.reference-id: \"GPS\" does not fit stratum 2"],
    );
    check("[nts]\nkey = \"key.pem\"\n", &["1:2 nts.certificate: is missing"]);
    check("[nts]\ncertificate = \"chain.pem\"\n", &["1:2 nts.key: is missing"]);
    check("[nts]\n", &["1:2 nts.certificate: is missing", "1:2 nts.key: is missing"]);
    check(
        "[rate-limit]\nburst = 0\n",
        &["1:2 rate-limit.interval: is missing", "2:9 rate-limit.burst: 0 is too small"],
    );
    let nts = |more: &str| format!("[nts]\ncertificate = \"c\"\nkey = \"k\"\n{more}\n");
    check(
        &nts("max-connections = 8\nmax-per-prefix = 9"),
        &["5:18 nts.max-per-prefix: 9 is more than max-connections, which is 8"],
    );
    check(
        &nts("listen = []"),
        &["4:10 nts.listen: the list is empty; without the table [nts] is off"],
    );
    check(
        &nts("aeads = [30, 17]"),
        &["4:9 nts.aeads: 15, which RFC 8915 §4.1.5 demands, is not in the list"],
    );
    check(
        &nts("aeads = [15, \"AES-SIV-CMAC-256\", 16, \"AES-GCM-SIV\"]"),
        &[
            "4:14 nts.aeads: \"AES-SIV-CMAC-256\" is listed twice",
            "4:34 nts.aeads: 16 is not an algorithm of ours",
            "4:38 nts.aeads: \"AES-GCM-SIV\" is not an algorithm of ours; did you mean \"AES-128-GCM-SIV\"?",
        ],
    );
    for host in ["", "a..b", "-a.example", "fe80::1%eth0", "zeit.exämple", "1.2.3", "a b", "[::1]"]
    {
        let message =
            format!("4:16 nts.ntp-servers: {host:?} is neither a host name nor an address");
        check(&nts(&format!("ntp-servers = [{host:?}]")), &[&message]);
    }
    check(&nts("ntp-port = 0"), &["4:12 nts.ntp-port: 0 is too small"]);

    // Durations.
    let time_limit = |value: &str| nts(&format!("time-limit = {value}"));
    check(&time_limit("5"), &["4:14 nts.time-limit: 5 has no unit; did you mean \"5s\"?"]);
    check(&time_limit("\"999ms\""), &["4:14 nts.time-limit: \"999ms\" is too short"]);
    check(&time_limit("\"11s\""), &["4:14 nts.time-limit: \"11s\" is too long"]);
    for (written, why) in [
        ("", "it is empty"),
        ("5", "it ends without a unit"),
        ("s", "a whole number comes before each unit"),
        ("5 s", "the units are ms, s, m, h, d and w"),
        ("5y", "the units are ms, s, m, h, d and w"),
        ("-5s", "a whole number comes before each unit"),
        ("99999999999999999999s", "it is too long"),
        ("18446744073709551615w", "it is too long"),
    ] {
        let message = format!("4:14 nts.time-limit: {written:?} is not a duration: {why}");
        check(&time_limit(&format!("{written:?}")), &[&message]);
    }
    check(
        "[cookies]\nrotation = \"1h1ms\"\n",
        &["2:12 cookies.rotation: the duration is not one of whole seconds"],
    );

    // Access rules.
    check(
        "[[access]]\nprefix = \"10.0.0.1/8\"\naction = \"alow\"\n",
        &[
            "2:10 access.prefix: \"10.0.0.1/8\" has bits outside its mask; did you mean \"10.0.0.0/8\"?",
            "3:10 access.action: \"alow\" is not known; did you mean \"allow\"?",
        ],
    );
    check(
        "[[access]]\nprefix = \"10.0.0.0/08\"\naction = \"deny\"\n",
        &["2:10 access.prefix: \"10.0.0.0/08\" is not a prefix"],
    );
    check(
        "[[access]]\nprefix = \"10.0.0.0/33\"\naction = \"deny\"\n[[access]]\naction = \"deny\"\n",
        &["2:10 access.prefix: \"10.0.0.0/33\" is not a prefix", "4:1 access.prefix: is missing"],
    );
    check(
        "[[access]]\nprefix = \"::1\"\naction = \"deny\"\n[[access]]\nprefix = \"::1/128\"\naction = \"deny\"\n",
        &["5:10 access.prefix: ::1/128 has a rule already"],
    );
    check(
        "[[access]]\nprefix = \"::ffff:0:0/96\"\naction = \"deny\"\n",
        &["2:10 access.prefix: \"::ffff:0:0/96\" is an IPv4 prefix: write it as one"],
    );

    // Paths.
    check("[state]\nfolder = \"\"\n", &["2:10 state.folder: \"\" is not a path"]);
    check("[state]\nfolder = \"a\\u0000b\"\n", &["2:10 state.folder: \"a\\0b\" is not a path"]);
    check(
        &format!("[status]\nsocket = \"/{}\"\n", "s".repeat(107)),
        &["2:10 status.socket: the path is 108 octets long with its folder, too long for a socket"],
    );
}

#[test]
fn broken_syntax_is_told_once_per_line_and_the_rest_is_checked_too() {
    let check = |text: &str, expected: &[&str]| assert_eq!(places(text), expected, "{text}");
    check(
        "[server\ndscp = 64\n[log]\nlevel = 3\n",
        &[
            "1:8 not TOML: unclosed table, expected `]`",
            "4:9 log.level: number 3 is not text in quotes",
        ],
    );
    check(
        "[server]\ndscp =\nthreads = \"x\n[log]\nlevel = 3\n",
        &[
            "2:7 not TOML: string values must be quoted, expected literal string",
            "3:13 not TOML: invalid basic string, expected `\"`",
            "5:9 log.level: number 3 is not text in quotes",
        ],
    );
    check(
        "[server]\nlisten = [\"[::]:123\",\ndscp = 3\nthreads = 4\n",
        &["3:1 not TOML: unclosed array, expected `]` before this"],
    );
    check("[server]\ndscp = 1\ndscp = 2\n", &["3:1 not TOML: duplicate key"]);
    check(
        "[nts]\ncertificate = c\n",
        &["2:15 not TOML: string values must be quoted, expected literal string"],
    );
}

#[test]
fn control_characters_never_reach_a_terminal() {
    let text =
        "[server]\n\"a\\u001b[31m\" = 1\nb = \"\u{1b}[31m\"\nlisten = [\"\\u001b]0;x\\u0007\"]\n";
    let report = parse(text, Path::new("a\u{1b}[31m\n.toml")).expect_err("wrong");
    assert!(report.render(false).chars().all(|c| c == '\n' || !c.is_control()), "{report}");
}

/// A folder of this test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("noonmark-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("writable");
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        path
    }

    /// The problems of loading `path`, its folder left out.
    fn problems(&self, path: &Path) -> Vec<String> {
        let folder = format!("{}/", self.0.display());
        let report = load(path).err().expect("refused");
        let line = |problem: &noonmark_config::Problem| {
            let line = problem.line.map_or(String::new(), |line| format!("{line}: "));
            format!("{line}{}", problem.message.replace(&folder, ""))
        };
        report.problems().iter().map(line).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const NTS: &str = "[nts]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n";

#[test]
fn files_are_read_if_their_owner_alone_may_change_them() {
    let folder = Folder::new("files");
    let config = folder.write("noonmark.toml", NTS, 0o644);
    folder.write("chain.pem", "chain", 0o644);
    for mode in [0o600, 0o400, 0o440, 0o640] {
        folder.write("key.pem", "key", mode);
        let loaded = load(&config).expect("accepted");
        let identity = loaded.identity.expect("configured");
        assert_eq!((&identity.certificate[..], &identity.key[..]), (&b"chain"[..], &b"key"[..]));
        assert_eq!(loaded.text, NTS);
        assert_eq!(parse(&loaded.text, &loaded.origin).expect("accepted"), loaded.settings);
        fs::remove_file(folder.0.join("key.pem")).expect("ours");
    }
}

#[test]
fn files_open_to_others_are_refused_with_their_mode() {
    let folder = Folder::new("modes");
    let config = folder.write("noonmark.toml", NTS, 0o644);
    folder.write("chain.pem", "chain", 0o664);
    folder.write("key.pem", "key", 0o644);
    assert_eq!(
        folder.problems(&config),
        [
            "2: nts.certificate: \"chain.pem\" may be written by others (mode 0664)",
            "3: nts.key: \"key.pem\" is open to others (mode 0644)",
        ]
    );
    for mode in [0o620, 0o602, 0o666, 0o777] {
        let config = folder.write("noonmark.toml", NTS, mode);
        let message = format!("the configuration may be written by others (mode {mode:04o})");
        assert_eq!(folder.problems(&config), [message]);
    }
}

#[test]
fn files_that_cannot_be_read_are_an_error() {
    let folder = Folder::new("unreadable");
    let config = folder.write("noonmark.toml", NTS, 0o644);
    folder.write("key.pem", vec![b'k'; (1 << 18) + 1], 0o600);
    let missing = "No such file or directory (os error 2)";
    assert_eq!(
        folder.problems(&config),
        [
            format!("2: nts.certificate: \"chain.pem\" cannot be read: {missing}"),
            "3: nts.key: \"key.pem\" has 262145 octets, more than 262144".to_owned(),
        ]
    );
    let absent = folder.0.join("absent.toml");
    assert_eq!(folder.problems(&absent), [format!("the configuration cannot be read: {missing}")]);
    assert_eq!(folder.problems(&folder.0), ["the configuration is not an ordinary file"]);
    symlink(&absent, folder.0.join("dangling.toml")).expect("writable");
    assert_eq!(
        folder.problems(&folder.0.join("dangling.toml")),
        [format!("the configuration cannot be read: {missing}")]
    );
    let empty = folder.write("empty.toml", "", 0o644);
    let nothing = "nothing is configured; an empty file does not stand for the defaults";
    assert_eq!(folder.problems(&empty), [nothing]);
    let latin1 = folder.write("latin1.toml", b"[server]\n# \xe4\n", 0o644);
    assert_eq!(folder.problems(&latin1), ["2: not TOML: octet 0xe4 is not UTF-8"]);
}

#[test]
fn key_files_stay_closed_while_the_configuration_is_wrong() {
    let folder = Folder::new("order");
    // The key file does not exist, which would be told if anybody had tried to open it.
    let config = folder.write("noonmark.toml", format!("{NTS}aeads = [1]\n"), 0o644);
    assert_eq!(folder.problems(&config), ["4: nts.aeads: 1 is not an algorithm of ours"]);
}

/// Lines that are nearly configuration, so that random files reach beyond the parser.
fn line() -> impl Strategy<Value = String> {
    let tables = noonmark_config::TABLES;
    let header = proptest::sample::select(
        tables.iter().map(noonmark_config::Table::header).collect::<Vec<_>>(),
    );
    let keys: Vec<&str> = tables.iter().flat_map(|table| table.keys).map(|key| key.name).collect();
    let value = prop_oneof![
        proptest::sample::select(
            tables
                .iter()
                .flat_map(|t| t.keys)
                .map(|key| key.example.to_owned())
                .collect::<Vec<_>>()
        ),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,12}",
        ".{0,12}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,12}".prop_map(|text| format!("[\"{text}\", [{{}}], {{a=1}}")),
    ];
    prop_oneof![
        header,
        (proptest::sample::select(keys), value).prop_map(|(key, value)| format!("{key} = {value}")),
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_is_accepted_or_reported_and_never_panics(text in any::<String>()) {
        report_is_sound(&text)?;
    }

    #[test]
    fn nearly_right_text_is_accepted_or_reported_and_never_panics(
        lines in proptest::collection::vec(line(), 0..30),
    ) {
        report_is_sound(&lines.join("\n"))?;
    }
}

/// A refusal has a problem; each place lies within the text; both renderings work.
fn report_is_sound(text: &str) -> Result<(), TestCaseError> {
    let Err(report) = parse(text, Path::new("x")) else { return Ok(()) };
    prop_assert!(!report.problems().is_empty());
    let lines = text.split('\n').count();
    for problem in report.problems() {
        prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)));
        prop_assert!(!problem.message.contains('\n'), "{}", problem.message);
    }
    prop_assert!(!report.render(false).is_empty() && !report.render(true).is_empty());
    prop_assert!(serde_json::to_string(&report).is_ok());
    Ok(())
}
