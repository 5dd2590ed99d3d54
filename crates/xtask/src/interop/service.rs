//! Cells of our server as a service of a whole system: as an ordinary user, by the init script; and what all such cells
//! share. Those about credentials and the journal are in files of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::authority::Authority;
use super::cells::{Cell, Figures, Miss, cell, query};
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
        cell("noonmarkd serves on sockets that a service manager bound", passed_sockets),
        cell("init script starts and stops noonmarkd as an account", init_script),
    ]
}

/// An ordinary user's id, and their group's. Its name is [`ACCOUNT`].
pub(super) const USER: u32 = 65534;
/// An account that every machine has and that owns nothing.
const ACCOUNT: &str = "nobody";

/// The capabilities of the shipped unit.
pub(super) const AS_SHIPPED: &str = "-all,+net_bind_service";

/// `inner` as an ordinary user, with these capabilities and no others, as a service manager starts it.
pub(super) fn as_user(inner: &Command, capabilities: &str) -> Command {
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
pub(super) fn noonmarkd(place: &Place) -> Command {
    let mut command = Room::program("noonmarkd");
    command.arg("--config").arg(format!("{}/{CONFIGURATION}", place.inside));
    command
}

/// The configuration of such a cell in the folder of its place.
pub(super) const CONFIGURATION: &str = "noonmark.toml";
const SOCKET: &str = "run/status.sock";

/// The default configuration but for where its files are; `certificate` and `key` as they are to be written.
pub(super) fn configure(
    place: &Place,
    certificate: &str,
    key: &str,
    more: &str,
) -> Result<(), String> {
    let text = format!(
        "[server]\nlocal-stratum = 1\n[nts]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"{SOCKET}\"\n{more}"
    );
    place.write(CONFIGURATION, &text).map(drop)
}

/// Makes the folders that a service manager makes for a user, where others may go by.
pub(super) fn make_folders(place: &Place, owner: u32) -> Result<(), String> {
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

/// What our daemon says of itself.
pub(super) fn status(place: &Place) -> Result<Value, String> {
    let octets = place.read_socket(SOCKET)?;
    serde_json::from_slice(&octets).map_err(|e| format!("status: {e}"))
}

/// Starts our daemon in a room and waits until it serves.
pub(super) fn serve(
    room: &Room,
    place: &Place,
    command: &Command,
    log: &str,
) -> Result<Daemon, String> {
    let mut daemon = room.start(command, &place.path(log))?;
    daemon.wait_for(LIMIT, || match status(place)?.get("ready") {
        Some(Value::Bool(true)) => Ok(()),
        other => Err(format!("ready is {other:?}")),
    })?;
    Ok(daemon)
}

/// Ends it as a service manager would; it has to leave in good order.
pub(super) fn stop(room: &Room, place: &Place, daemon: Daemon) -> Result<(), String> {
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

/// The process that plays a role.
pub(super) fn process(status: &Value, role: &str) -> Result<u64, String> {
    let found = processes(status).into_iter().find(|(name, _)| *name == role);
    found.map(|(_, id)| id).ok_or_else(|| format!("no {role}: {status}"))
}

/// Every process of the daemon runs as the user and holds nothing beyond the one capability.
pub(super) fn judge_processes(room: &Room, status: &Value) -> Result<Figures, String> {
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

/// As an ordinary user without any right, on ports that only root could bind; neither a reload nor the end of a role loses them.
fn passed_sockets(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    const SOCKETS: [&str; 4] =
        ["udp:0.0.0.0:123", "udp:[::]:123", "tcp:0.0.0.0:4460", "tcp:[::]:4460"];
    make_folders(place, USER)?;
    share_key(place)?;
    configure(place, Authority::CHAIN, Authority::KEY, "")?;
    let room = Room::new(lab, place, "")?;
    let passing = |sockets: &[&str]| {
        let mut passing = Room::program("pass-sockets");
        passing.args(sockets).arg("--");
        transplant(&as_user(&noonmarkd(place), "-all"), &mut passing);
        passing
    };
    let daemon = serve(&room, place, &passing(&SOCKETS), LOG)?;
    let mut figures = Figures::new();
    let mut ask = || {
        for family in Family::ALL {
            let asked = query(lab, place, family, 30, true)?;
            figures.extend(asked.into_iter().filter(|(name, _)| name == "samples"));
        }
        Ok::<_, Miss>(())
    };
    ask()?;
    let launcher = process(&status(place)?, "launcher")?;
    // Every role begins anew.
    configure(place, Authority::CHAIN, Authority::KEY, "[log]\nlevel = \"debug\"\n")?;
    room.shell(&format!("kill -HUP {launcher}"))?;
    settle(place, "the reload", |status| status["configuration"]["generation"] == 2)?;
    ask()?;
    for role in ["ntp", "ke"] {
        let before = process(&status(place)?, role)?;
        room.shell(&format!("kill -KILL {before}"))?;
        settle(place, role, |status| process(status, role).is_ok_and(|now| now != before))?;
    }
    ask()?;
    stop(&room, place, daemon)?;

    let one_more = [&SOCKETS[..], &["udp:0.0.0.0:1123"]].concat();
    let daemon = room.start(&passing(&one_more), &place.path("leftover.out"))?;
    let left = daemon.wait(LIMIT)?;
    let said = fs::read_to_string(place.path("leftover.out")).unwrap_or_default();
    // sysexits.h: EX_CONFIG.
    if left.code() != Some(78) || !said.contains("passed UDP 0.0.0.0:1123 (SOCKET4)") {
        return Err(format!("with one socket too many it left with {left}: {said}").into());
    }
    Ok(figures)
}

/// Waits until everybody serves and `is_so` of what the daemon says.
fn settle(place: &Place, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<(), String> {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let found = status(place);
        match &found {
            Ok(status) if status["ready"] == true && is_so(status) => return Ok(()),
            _ if std::time::Instant::now() >= deadline => return Err(format!("{what}: {found:?}")),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
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

pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// What the daemon writes to standard output and error.
pub(super) const LOG: &str = "server.out";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_of_the_shipped_unit() {
        let unit = include_str!("../../../noonmarkd/dist/noonmarkd.service");
        for line in ["AmbientCapabilities", "CapabilityBoundingSet"] {
            let only = format!("\n{line}=CAP_NET_BIND_SERVICE\n");
            assert_eq!(unit.matches(&format!("\n{line}")).count(), 1);
            assert!(unit.contains(&only), "{line}");
        }
        assert_eq!(AS_SHIPPED, "-all,+net_bind_service");
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
