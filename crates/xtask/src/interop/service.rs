//! Cells of our server as a service of a whole system: as an ordinary user, with credentials, with a journal, by the init
//! script.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::authority::Authority;
use super::cells::{Cell, Figures, Miss, cell, query};
use super::journal::{Entry, Journal};
use super::lab::{Family, Lab, Place};
use super::room::Room;
use crate::child::transplant;
use crate::netns::Daemon;
use crate::workspace;

/// All of them.
pub fn all() -> Vec<Cell> {
    vec![
        cell("noonmarkd as an ordinary user serves ports 123 and 4460", ordinary_user),
        cell("noonmarkd as an ordinary user without the capability says so", without_capability),
        cell("noonmarkd takes its key from credentials by access list", |lab, place| {
            credentials(lab, place, Credentials::ByAccessList)
        }),
        cell("noonmarkd takes its key from credentials by owner", |lab, place| {
            credentials(lab, place, Credentials::ByOwner)
        }),
        cell("noonmarkd writes to the journal", to_the_journal),
        cell("noonmarkd without a journal writes to standard error", without_journal),
        cell("init script starts and stops noonmarkd as an account", init_script),
    ]
}

/// An ordinary user's id, and their group's. Its name is [`ACCOUNT`].
const USER: u32 = 65534;
/// An account that every machine has and that owns nothing.
const ACCOUNT: &str = "nobody";

/// The capabilities of the shipped unit.
const AS_SHIPPED: &str = "-all,+net_bind_service";

/// `inner` as an ordinary user, with these capabilities and no others, as a service manager starts it.
fn as_user(inner: &Command, capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = USER.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
    for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
        command.args([set, capabilities]);
    }
    command.arg("--");
    transplant(inner, &mut command);
    command
}

/// Our daemon with the configuration of a place.
fn noonmarkd(place: &Place) -> Command {
    let mut command = Room::program("noonmarkd");
    command.arg("--config").arg(format!("{}/{CONFIGURATION}", place.inside));
    command
}

const CONFIGURATION: &str = "noonmark.toml";
const SOCKET: &str = "run/status.sock";

/// The default configuration but for where its files are; `certificate` and `key` as they are to be written.
fn configure(place: &Place, certificate: &str, key: &str, more: &str) -> Result<(), String> {
    let text = format!(
        "[server]\nlocal-stratum = 1\n[nts]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"{SOCKET}\"\n{more}"
    );
    place.write(CONFIGURATION, &text).map(drop)
}

/// Makes the folders that a service manager makes for a user, where others may go by.
fn make_folders(place: &Place, owner: u32) -> Result<(), String> {
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let make = || {
        mode(&place.outside, 0o755)?;
        for (name, bits) in [("state", 0o700), ("run", 0o755)] {
            let path = place.path(name);
            fs::create_dir_all(&path)?;
            mode(&path, bits)?;
            chown(&path, Some(owner), Some(owner))?;
        }
        Ok(())
    };
    make().map_err(|e: std::io::Error| format!("{}: {e}", place.outside.display()))
}

/// Makes a key as the manual wants it for an account: root's, and readable by the account's group.
fn share_key(place: &Place) -> Result<(), String> {
    let path = place.path(Authority::KEY);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))
        .and_then(|()| chown(&path, Some(0), Some(USER)))
        .map_err(|e| format!("{}: {e}", path.display()))
}

fn status(place: &Place) -> Result<Value, String> {
    let octets = place.read_socket(SOCKET)?;
    serde_json::from_slice(&octets).map_err(|e| format!("status: {e}"))
}

/// Starts our daemon in a room and waits until it serves.
fn serve(room: &Room, place: &Place, command: &Command, log: &str) -> Result<Daemon, String> {
    let mut daemon = room.start(command, &place.path(log))?;
    daemon.wait_for(LIMIT, || match status(place)?.get("ready") {
        Some(Value::Bool(true)) => Ok(()),
        other => Err(format!("ready is {other:?}")),
    })?;
    Ok(daemon)
}

/// Ends it as a service manager would; it has to leave in good order.
fn stop(room: &Room, place: &Place, daemon: Daemon) -> Result<(), String> {
    let launcher = process(&status(place)?, "launcher")?;
    room.shell(&format!("kill -TERM {launcher}"))?;
    let left = daemon.wait(LIMIT)?;
    if left.success() { Ok(()) } else { Err(format!("noonmarkd left with {left} on SIGTERM")) }
}

/// Processes of our daemon by role, as its room counts them.
fn processes(status: &Value) -> Vec<(&str, u64)> {
    let roles = status.get("roles").and_then(Value::as_array).into_iter().flatten();
    roles
        .filter_map(|role| Some((role.get("role")?.as_str()?, role.get("pid")?.as_u64()?)))
        .collect()
}

fn process(status: &Value, role: &str) -> Result<u64, String> {
    let found = processes(status).into_iter().find(|(name, _)| *name == role);
    found.map(|(_, id)| id).ok_or_else(|| format!("no {role}: {status}"))
}

/// Every process of the daemon runs as the user and holds nothing beyond the one capability.
fn judge_processes(room: &Room, status: &Value) -> Result<Figures, String> {
    let processes = processes(status);
    for (role, id) in &processes {
        let account = room.shell(&format!("cat /proc/{id}/status"))?;
        judge_account(&account).map_err(|what| format!("{role}: {what}"))?;
    }
    // Launcher, warden, ntp, ke, observe.
    if processes.len() != 5 {
        return Err(format!("not five processes: {status}"));
    }
    Ok(Figures::from_iter([("processes".to_owned(), json!(processes.len()))]))
}

/// The same of one, from the text of its `/proc/PID/status`.
fn judge_account(text: &str) -> Result<(), String> {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    for name in ["Uid", "Gid"] {
        let ids: Vec<&str> = field(name).unwrap_or_default().split_whitespace().collect();
        if ids.is_empty() || ids.iter().any(|id| *id != USER.to_string()) {
            return Err(format!("{name} {ids:?}"));
        }
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let mask = field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok());
        if mask.is_none_or(|mask| mask & !(1 << CAP_NET_BIND_SERVICE) != 0) {
            return Err(format!("{name} {:?}", field(name)));
        }
    }
    Ok(())
}

/// Of linux/capability.h.
const CAP_NET_BIND_SERVICE: u32 = 10;

fn ordinary_user(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    make_folders(place, USER)?;
    share_key(place)?;
    configure(place, Authority::CHAIN, Authority::KEY, "")?;
    let room = Room::new(lab, place, "")?;
    let daemon = serve(&room, place, &as_user(&noonmarkd(place), AS_SHIPPED), LOG)?;
    let mut figures = judge_processes(&room, &status(place)?)?;
    for family in Family::ALL {
        let asked = query(lab, place, family, 30, true)?;
        figures.extend(asked.into_iter().filter(|(name, _)| name == "samples"));
    }
    stop(&room, place, daemon)?;
    Ok(figures)
}

fn without_capability(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    make_folders(place, USER)?;
    share_key(place)?;
    configure(place, Authority::CHAIN, Authority::KEY, "")?;
    let room = Room::new(lab, place, "")?;
    let daemon = room.start(&as_user(&noonmarkd(place), "-all"), &place.path(LOG))?;
    let left = daemon.wait(LIMIT)?;
    let said = fs::read_to_string(place.path(LOG)).unwrap_or_default();
    // sysexits.h: EX_NOPERM.
    if left.code() != Some(77) {
        return Err(format!("it left with {left}: {said}").into());
    }
    for word in ["UDP", ":123", "CAP_NET_BIND_SERVICE"] {
        if !said.contains(word) {
            return Err(format!("{word:?} is not in what it said: {said}").into());
        }
    }
    Ok(Figures::from_iter([("status".to_owned(), json!(77))]))
}

/// How systemd lets a user read a credential, by what the folder's file system can do (systemd.exec(5), `LoadCredential=`).
#[derive(Clone, Copy)]
enum Credentials {
    /// Root's files of mode 0400, with an access list that lets the user read them: the mode shows as 0440.
    ByAccessList,
    /// The user's own files of mode 0400, on a file system that cannot be written.
    ByOwner,
}

/// Configured by the very lines that the shipped unit recommends.
fn credentials(lab: &Lab, place: &Place, kind: Credentials) -> Result<Figures, Miss> {
    let unit = Unit::read()?;
    make_folders(place, USER)?;
    let [certificate, key] = &unit.configured;
    configure(place, certificate, key, "")?;
    let room = Room::new(lab, place, &unit.furnish(lab, place, kind))?;
    // What was laid out is what systemd lays out.
    let seen = room.shell(&format!(
        "stat -c '%u %a' {key} {}; if [ -w {key} ]; then echo writable; fi",
        unit.folder
    ))?;
    let expected = match kind {
        Credentials::ByAccessList => "0 440\n0 550\n",
        Credentials::ByOwner => "65534 400\n65534 500\n",
    };
    if seen != expected {
        return Err(format!("laid out as {seen:?}, not {expected:?}").into());
    }
    let daemon = serve(&room, place, &as_user(&noonmarkd(place), AS_SHIPPED), LOG)?;
    let mut figures = judge_processes(&room, &status(place)?)?;
    figures.extend(query(lab, place, Family::V4, 30, true)?);
    stop(&room, place, daemon)?;
    Ok(figures)
}

/// What the shipped unit says of credentials.
struct Unit {
    /// Where systemd puts them.
    folder: String,
    /// Their names.
    names: Vec<String>,
    /// `certificate` and `key` of the configuration it recommends.
    configured: [String; 2],
}

impl Unit {
    fn read() -> Result<Self, String> {
        let path = workspace::root().join("crates/noonmarkd/dist").join(Self::NAME);
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::from_text(&text).ok_or_else(|| format!("{}: not as expected", path.display()))
    }

    fn from_text(text: &str) -> Option<Self> {
        let configured = |key: &str| {
            let mut lines =
                text.lines().filter_map(|line| line.strip_prefix('#')?.trim().strip_prefix(key));
            lines.find_map(|rest| Some(rest.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned()))
        };
        // They are comments, for whoever has put the key elsewhere.
        let loads = text.lines().filter_map(|line| line.strip_prefix("#LoadCredential="));
        let names = loads.map(|load| Some(load.split_once(':')?.0.to_owned()));
        Some(Self {
            folder: format!("/run/credentials/{}", Self::NAME),
            names: names.collect::<Option<_>>()?,
            configured: [configured("certificate")?, configured("key")?],
        })
    }

    /// Lines of shell that lay credentials out as systemd does.
    fn furnish(&self, lab: &Lab, place: &Place, kind: Credentials) -> String {
        let (folder, inside, outside) = (&self.folder, &place.inside, place.outside.display());
        let names = self.names.join(" ");
        // Where the peers' Python sees it, too: it sets the access lists.
        let made = format!("{outside}/credentials");
        let (kind, grant) = match kind {
            Credentials::ByAccessList => {
                let root = lab.peers.root().display();
                let grant = |perm: u32, what: &str| {
                    format!("chroot {root} /usr/bin/python3 -c '{GRANT}' {USER} {perm} {what}\n")
                };
                let files: Vec<String> =
                    self.names.iter().map(|name| format!("{inside}/credentials/{name}")).collect();
                let lists =
                    grant(4, &files.join(" ")) + &grant(5, &format!("{inside}/credentials"));
                ("tmpfs", lists)
            }
            Credentials::ByOwner => ("ramfs", format!("chown {USER} {made} {made}/*\n")),
        };
        format!(
            "mkdir -p {folder} {made}\n\
             mount -t {kind} -o mode=500 {kind} {made}\n\
             for name in {names}; do install -m 0400 {outside}/$name {made}/$name; done\n\
             {grant}\
             mount --bind {made} {folder}\n\
             mount -o remount,bind,ro {folder}\n"
        )
    }

    const NAME: &str = "noonmarkd.service";
}

/// Lets a user do what the number says with files besides their owner: a list of version 2, of entries of tag, permission and
/// id (linux/posix_acl_xattr.h). Nobody else may do anything.
const GRANT: &str = r#"
import os, struct, sys
user, perm, *paths = sys.argv[1:]
user, perm = int(user), int(perm)
entries = [(1, perm, -1), (2, perm, user), (4, 0, -1), (16, perm, -1), (32, 0, -1)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
for path in paths:
    os.setxattr(path, "system.posix_acl_access", acl)
"#;

const JOURNALD: &str = "[log]\nformat = \"journald\"\nlevel = \"info\"\n";

fn journal_room(lab: &Lab, place: &Place) -> Result<Room, String> {
    make_folders(place, 0)?;
    configure(place, Authority::CHAIN, Authority::KEY, JOURNALD)?;
    let journal = place.path(Journal::FOLDER);
    fs::create_dir_all(&journal).map_err(|e| format!("{}: {e}", journal.display()))?;
    let furnish = format!(
        "mkdir -p /run/systemd/journal\nmount --bind {}/{} /run/systemd/journal\n",
        place.inside,
        Journal::FOLDER
    );
    Room::new(lab, place, &furnish)
}

fn to_the_journal(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let room = journal_room(lab, place)?;
    let journal = Journal::listen(place)?;
    let daemon = serve(&room, place, &noonmarkd(place), LOG)?;
    let fields = [("MESSAGE", "serving"), ("PRIORITY", "6"), ("NOONMARK_PROCESS", "launcher")];
    let entry = wait_for_entry(&journal, &fields)?;
    let told = entry.get("NOONMARK_LISTENING").is_some_and(|list| list.contains("0.0.0.0:123"));
    let named = entry.get("SYSLOG_IDENTIFIER").is_some_and(|name| name == "noonmarkd");
    if !told || !named {
        return Err(format!("an entry with too little in it: {entry:?}").into());
    }
    // Another process than the launcher, since each opens the journal for itself.
    wait_for_entry(&journal, &[("NOONMARK_PROCESS", "warden"), ("PRIORITY", "6")])?;

    room.shell(&format!("kill -KILL {}", process(&status(place)?, "ke")?))?;
    wait_for_entry(
        &journal,
        &[("MESSAGE", "role ended"), ("PRIORITY", "4"), ("NOONMARK_ROLE", "ke")],
    )?;
    place.write(CONFIGURATION, "[server]\nlisten = [\"nowhere\"]\n")?;
    room.shell(&format!("kill -HUP {}", process(&status(place)?, "launcher")?))?;
    let entry = wait_for_entry(
        &journal,
        &[("MESSAGE", "refused; what is in force stays"), ("PRIORITY", "3")],
    )?;
    if entry.get("NOONMARK_REASON").is_none_or(|reason| !reason.contains("nowhere")) {
        return Err(format!("an entry without its reason: {entry:?}").into());
    }

    let before = settled(place, &journal)?;
    let received = clients_of_every_kind(lab, place)?;
    let after = settled(place, &journal)?;
    if after != before {
        let new: Vec<Entry> = journal.entries().split_off(before);
        return Err(format!("what clients did is in the journal: {new:?}").into());
    }
    if !daemon.said().is_empty() {
        return Err(format!("it wrote to standard error, too: {}", daemon.said()).into());
    }
    stop(&room, place, daemon)?;
    wait_for_entry(&journal, &[("MESSAGE", "stopped")])?;
    Ok(Figures::from_iter([
        ("entries".to_owned(), json!(journal.entries().len())),
        ("datagrams_without_one".to_owned(), json!(received)),
    ]))
}

/// Entries so far, once the daemon serves again and has had the time to say so.
fn settled(place: &Place, journal: &Journal) -> Result<usize, String> {
    let deadline = Instant::now() + LIMIT;
    while status(place)?.get("ready") != Some(&Value::Bool(true)) {
        if Instant::now() > deadline {
            return Err("it does not serve again".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    Ok(journal.entries().len())
}

/// Odd datagrams, odd connections, plain and authenticated questions, a client that trusts another authority. The number of
/// datagrams that arrived.
fn clients_of_every_kind(lab: &Lab, place: &Place) -> Result<u64, String> {
    const ODD: &str = r#"
        for length in $(seq 1 120); do
            printf '#%.0s' $(seq "$length") >"/dev/udp/$0/123"
        done
        printf 'GET / HTTP/1.0\r\n\r\n' >"/dev/tcp/$0/4460"
        : >"/dev/tcp/$0/4460"
    "#;
    let mut odd = Command::new("bash");
    odd.args(["-euc", ODD, crate::netns::SERVER_V4]);
    place.pair.client.output(LIMIT, &odd)?;
    query(lab, place, Family::V4, 15, true)?;
    let mut plain = lab.program("noonmark");
    plain.args(["query", crate::netns::SERVER_V6, "--json"]);
    place.pair.client.output(LIMIT, &plain)?;
    place.write(Authority::CA, Authority::new()?.ca())?;
    if query(lab, place, Family::V4, 15, true).is_ok() {
        return Err("a client that trusts another authority was served".into());
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = status(place)?;
        let counter =
            |role: &str, name: &str| status.get("counters")?.get(role)?.get(name)?.as_u64();
        let (received, accepted) = (counter("ntp", "received"), counter("ke", "accepted"));
        if let (Some(received @ 126..), Some(4..)) = (received, accepted) {
            return Ok(received);
        }
        if Instant::now() > deadline {
            return Err(format!("not all arrived: {received:?}, {accepted:?}"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An entry with these fields.
fn wait_for_entry(journal: &Journal, fields: &[(&str, &str)]) -> Result<Entry, String> {
    let fits = |entry: &Entry| {
        fields.iter().all(|(name, value)| entry.get(*name).is_some_and(|found| found == value))
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        let entries = journal.entries();
        if let Some(entry) = entries.iter().find(|entry| fits(entry)) {
            return Ok(entry.clone());
        }
        if Instant::now() > deadline {
            return Err(format!("no entry with {fields:?} among {entries:#?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn without_journal(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let room = journal_room(lab, place)?;
    for (log, with_socket) in [("absent.out", false), ("dead.out", true)] {
        if with_socket {
            Journal::leave(place)?;
        }
        let daemon = serve(&room, place, &noonmarkd(place), log)?;
        stop(&room, place, daemon)?;
        let said = fs::read_to_string(place.path(log)).unwrap_or_default();
        for words in [
            "warn launcher: no journal here; logging to standard error instead",
            "warn ntp: no journal here; logging to standard error instead",
            "info launcher: serving",
        ] {
            if !said.contains(words) {
                return Err(format!("{words:?} is not in {said}").into());
            }
        }
    }
    Ok(Figures::new())
}

/// The init script on a machine without a service manager, as root starts it: two daemons by two settings of it.
fn init_script(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    make_folders(place, 0)?;
    share_key(place)?;
    configure(place, Authority::CHAIN, Authority::KEY, "")?;
    let second = "[server]\nlisten = [\"127.0.0.1:1123\"]\n[state]\nfolder = \"state2\"\n\
                  [status]\nsocket = \"run2/status.sock\"\n";
    place.write("noonmark2.toml", second)?;
    let script = workspace::root().join("crates/noonmarkd/dist/noonmarkd.init");
    let text = fs::read_to_string(&script).map_err(|e| format!("{}: {e}", script.display()))?;
    place.write("init", &text)?;
    let room = Room::new(lab, place, "")?;
    let inside = &place.inside;
    // `number` tells the two apart; what it says is the script's status and words.
    let run = |number: &str, action: &str| {
        room.shell(&format!(
            "export DAEMON={}/noonmarkd CONFIG={inside}/noonmark{number}.toml ACCOUNT={ACCOUNT}\n\
             export RUN={inside}/run{number} STATE={inside}/state{number} LOG={inside}/log{number}\n\
             export PIDFILE=/run/noonmarkd{number}.pid\n\
             status=0; sh {inside}/init {action} 2>&1 || status=$?; echo \"status $status\"",
            Room::PROGRAMS
        ))
    };
    let check = |number: &str, action: &str, status: u8, words: &str| {
        let said = run(number, action)?;
        if said.contains(words) && said.ends_with(&format!("status {status}\n")) {
            Ok(())
        } else {
            let log = fs::read_to_string(place.path(&format!("log{number}"))).unwrap_or_default();
            Err(format!("{action} said {said:?}, not {words:?} and {status}\n{log}"))
        }
    };
    check("", "status", 3, "does not run")?;
    check("", "start", 0, "noonmarkd started")?;
    check("", "start", 0, "runs already")?;
    check("", "status", 0, "noonmarkd runs")?;
    let mut figures = judge_processes(&room, &status(place)?)?;
    query(lab, place, Family::V4, 30, true)?;
    let before = process(&status(place)?, "launcher")?;
    check("", "restart", 0, "noonmarkd stopped\nnoonmarkd started")?;
    let launcher = process(&status(place)?, "launcher")?;
    if launcher == before {
        return Err(format!("process {before} was not started again").into());
    }
    figures.extend(query(lab, place, Family::V6, 30, true)?);

    check("2", "start", 0, "noonmarkd started")?;
    // The one has crashed and left its file; the other has its process id now.
    room.shell(&format!(
        "kill -KILL {launcher}; head -n 1 /run/noonmarkd2.pid >/run/noonmarkd.pid"
    ))?;
    room.shell("echo 1 >>/run/noonmarkd.pid")?;
    check("", "status", 3, "does not run")?;
    check("", "stop", 0, "")?;
    check("2", "status", 0, "noonmarkd runs")?;
    check("", "start", 0, "noonmarkd started")?;
    check("2", "stop", 0, "noonmarkd stopped")?;
    check("2", "status", 3, "does not run")?;
    check("", "reload", 0, "")?;
    check("", "status", 0, "noonmarkd runs")?;
    figures.extend(query(lab, place, Family::V4, 30, true)?);
    check("", "stop", 0, "noonmarkd stopped")?;
    let left = room.shell("grep -lx noonmarkd /proc/[0-9]*/comm || true")?;
    if left.is_empty() { Ok(figures) } else { Err(format!("still there: {left}").into()) }
}

const LIMIT: Duration = Duration::from_secs(20);
/// What the daemon writes to standard output and error.
const LOG: &str = "server.out";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_unit_and_the_configuration_it_recommends_agree() {
        let unit = Unit::read().expect("shipped");
        let paths: Vec<String> =
            unit.names.iter().map(|name| format!("{}/{name}", unit.folder)).collect();
        assert_eq!(paths, unit.configured);
    }

    #[test]
    fn every_id_and_every_capability_set_is_looked_at() {
        let id = "65534\t65534\t65534\t65534";
        let good = format!(
            "Uid:\t{id}\nGid:\t{id}\nCapInh:\t400\nCapPrm:\t400\nCapEff:\t400\nCapBnd:\t400\nCapAmb:\t0\n"
        );
        let check = |from: &str, to: &str, part: Option<&str>| {
            let found = judge_account(&good.replacen(from, to, 1)).err();
            assert_eq!(found.is_some(), part.is_some(), "{from:?} {to:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(part.unwrap_or_default()));
        };
        check("", "", None);
        check("65534\t", "0\t", Some("Uid"));
        check("Gid", "Git", Some("Gid"));
        check("CapEff:\t400", "CapEff:\t2000400", Some("CapEff"));
        check("CapBnd:\t400", "CapBnd:\t1ffffffffff", Some("CapBnd"));
        check("CapAmb:\t0\n", "", Some("CapAmb"));
    }
}
