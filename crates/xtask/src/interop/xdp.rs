//! Cells of the fast path: frames as no socket sends them, to a noonmarkd that answers in the kernel, in the driver and behind it.

use std::time::Duration;

use serde_json::{Value, json};

use super::cells::{Cell, Figures, Miss, cell};
use super::lab::{Lab, Place};
use super::server::Server;
use crate::netns::{
    CLIENT_INTERFACE, CLIENT_V4, CLIENT_V6, Namespace, SERVER_INTERFACE, SERVER_V4, SERVER_V6,
};

/// All of them.
pub fn all() -> Vec<Cell> {
    vec![
        cell(
            "noonmarkd answers odd frames in the kernel, at the driver, as on its sockets",
            in_the_driver,
        ),
        cell(
            "noonmarkd answers odd frames in the kernel, behind the driver, as on its sockets",
            behind_the_driver,
        ),
        cell("noonmarkd in the kernel tells the time as its sockets do", as_true),
        cell("noonmarkd answers in the kernel while its roles end, and not after it", through_ends),
        cell("noonmarkd takes another configuration into the kernel", reconfigured),
        cell("noonmarkd without the right to answer in the kernel says so", without_right),
    ]
}

const LIMIT: Duration = Duration::from_secs(60);

fn in_the_driver(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    odd_frames(lab, place, SERVER_INTERFACE, "native")
}

/// To a peer with frames longer than a page the driver refuses programs.
fn behind_the_driver(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    place.pair.client.ip(&["link", "set", CLIENT_INTERFACE, "mtu", "9000"])?;
    odd_frames(lab, place, SERVER_INTERFACE, "generic")
}

/// Every odd frame is answered by whom it should be, which the counters tell.
fn odd_frames(lab: &Lab, place: &Place, device: &str, mode: &str) -> Result<Figures, Miss> {
    let server = Server::start_ours(lab, place, &configuration("xdp", device, ""))?;
    let found = attached(&server)?;
    if found != (device.to_owned(), mode.to_owned()) {
        return Err(format!("attached as {found:?}, not {mode} to {device}").into());
    }
    let mac = mac(&place.pair.server, device)?;
    warm(lab, place, &mac)?;
    let before = counts(&server)?;
    let rows = prove(lab, place, &mac, &[], 1)?;
    let after = counts(&server)?;
    let mut wrong = Vec::new();
    let (mut fast, mut sockets) = (0, 0);
    for row in &rows {
        let (answered, expected) = (row["answered"] == 1, &row["expected"]);
        if answered != (expected != "none") {
            wrong.push(format!("{}: answered {answered}, expected from {expected}", row["name"]));
        }
        fast += u64::from(expected == "fast");
        sockets += u64::from(expected == "sockets");
    }
    let grown = (after.fast - before.fast, after.sockets - before.sockets);
    if grown != (fast, sockets) {
        wrong.push(format!(
            "{grown:?} answers from the kernel and the sockets, not {:?}",
            (fast, sockets)
        ));
    }
    if !wrong.is_empty() {
        return Err(format!("{}\n{}", wrong.join("\n"), server.status()?["counters"]).into());
    }
    Ok(figures([("fast", json!(fast)), ("sockets", json!(sockets)), ("frames", json!(rows.len()))]))
}

/// Offset of the server as asked over one way and the other, and how long it held requests.
fn as_true(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let server = Server::start_ours(lab, place, &configuration("xdp", SERVER_INTERFACE, ""))?;
    let mac = mac(&place.pair.server, SERVER_INTERFACE)?;
    warm(lab, place, &mac)?;
    let before = counts(&server)?;
    let rows = prove(lab, place, &mac, &["IPv4", "IPv4 version 2"], TIMES)?;
    let after = counts(&server)?;
    let [fast, sockets] = rows.as_slice() else {
        return Err("two rows were asked for".to_owned().into());
    };
    let of =
        |row: &Value, name: &str| row[name].as_f64().ok_or_else(|| format!("no {name}: {row}"));
    let mut figures = Figures::new();
    for (name, row, grown) in [
        ("fast", fast, after.fast - before.fast),
        ("sockets", sockets, after.sockets - before.sockets),
    ] {
        let (offset, held) = (of(row, "offset_s")?, of(row, "held_s")?);
        if grown != u64::from(TIMES) {
            return Err(format!("{grown} answers from {name}, not {TIMES}").into());
        }
        // Both read the same clock: what is left is how long a busy machine takes on the way. Stamps that are seconds off would be another matter.
        if offset.abs() > OFFSET_BOUND_S || !(0.0..HELD_BOUND_S).contains(&held) {
            return Err(format!("{name}: offset {offset} s, held for {held} s").into());
        }
        figures.insert(format!("{name}_offset_us"), json!((offset * 1e7).round() / 10.0));
        figures.insert(format!("{name}_held_us"), json!((held * 1e7).round() / 10.0));
    }
    Ok(figures)
}

const TIMES: u32 = 50;
const OFFSET_BOUND_S: f64 = 0.02;
const HELD_BOUND_S: f64 = 0.1;

/// Whoever ends of the roles, plain requests go on being answered in the kernel; when the launcher has ended, nobody answers.
fn through_ends(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let mut server = Server::start_ours(lab, place, &configuration("xdp", SERVER_INTERFACE, ""))?;
    let mac = mac(&place.pair.server, SERVER_INTERFACE)?;
    warm(lab, place, &mac)?;
    let mut figures = Figures::new();
    for role in ["ntp", "warden"] {
        let pid = pid(&server, role)?;
        let before = counts(&server)?;
        let mut kill = std::process::Command::new("kill");
        kill.args(["-KILL", &pid.to_string()]);
        crate::child::output(LIMIT, &kill)?;
        let rows = prove(lab, place, &mac, &["IPv4", "IPv6"], 10)?;
        if rows.iter().any(|row| row["answered"] != 10) {
            return Err(format!("{role} ended, and not all were answered: {rows:?}").into());
        }
        let grown = counts(&server)?.fast - before.fast;
        if grown < 20 {
            return Err(
                format!("{role} ended, and {grown} of 20 were answered in the kernel").into()
            );
        }
        server = server.await_ready()?;
        figures.insert(format!("without_{role}"), json!(grown));
    }
    // A new warden goes on to speak for the clock: the page would be stale by then.
    std::thread::sleep(STALE);
    let before = counts(&server)?;
    let rows = prove(lab, place, &mac, &["IPv4"], 3)?;
    let grown = counts(&server)?.fast - before.fast;
    if grown != 3 {
        return Err(format!("{grown} of 3 in the kernel under a new warden: {rows:?}").into());
    }
    drop(server);
    let rows = prove(lab, place, &mac, &["IPv4"], 2)?;
    if rows.iter().any(|row| row["answered"] != 0) {
        return Err(format!("answered by nobody: {rows:?}").into());
    }
    Ok(figures)
}

/// Longer than the program believes a page that nobody writes.
const STALE: Duration = Duration::from_secs(6);

/// Access rules and addresses are taken over while it runs, and "off" is.
fn reconfigured(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let server = Server::start_ours(lab, place, &configuration("auto", SERVER_INTERFACE, ""))?;
    let mac = mac(&place.pair.server, SERVER_INTERFACE)?;
    warm(lab, place, &mac)?;
    let check = |server: &Server<'_>, what: &str, answered: u64, fast: u64| -> Result<(), Miss> {
        let before = counts(server)?;
        let rows = prove(lab, place, &mac, &["IPv4", "IPv6"], 1)?;
        let came: u64 = rows.iter().filter_map(|row| row["answered"].as_u64()).sum();
        let grown = counts(server)?.fast - before.fast;
        if (came, grown) != (answered, fast) {
            return Err(format!("{what}: {came} answered, {grown} of them in the kernel").into());
        }
        Ok(())
    };
    check(&server, "at first", 2, 2)?;
    let rule = format!("[[access]]\nprefix = \"{CLIENT_V4}\"\naction = \"ignore\"\n");
    let server = server.reload(&configuration("auto", SERVER_INTERFACE, &rule))?;
    check(&server, "with a rule", 1, 1)?;
    // An address that goes, and comes back.
    place.pair.server.ip(&[
        "address",
        "del",
        &format!("{SERVER_V6}/64"),
        "dev",
        SERVER_INTERFACE,
    ])?;
    std::thread::sleep(NOTICED);
    check(&server, "without an address", 0, 0)?;
    let add = ["address", "add", &format!("{SERVER_V6}/64"), "dev", SERVER_INTERFACE, "nodad"];
    place.pair.server.ip(&add)?;
    std::thread::sleep(NOTICED);
    check(&server, "with the address again", 1, 1)?;
    let server = server.reload(&configuration("off", SERVER_INTERFACE, ""))?;
    if !server.status()?["fast_path"].is_null() {
        return Err(format!("off, and said to be there: {}", server.status()?["fast_path"]).into());
    }
    check(&server, "switched off", 2, 0)?;
    Ok(Figures::new())
}

/// The launcher looks for addresses every second.
const NOTICED: Duration = Duration::from_millis(2500);

/// Without rights "auto" goes on without it and says why, and "xdp" does not start.
fn without_right(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    place.private_folder("state")?;
    for (mode, starts) in [("auto", true), ("xdp", false)] {
        let file = place.write("limited.toml", &configuration(mode, SERVER_INTERFACE, ""))?;
        let mut daemon = lab.program("noonmarkd");
        daemon.arg("--config").arg(file);
        let mut limited = std::process::Command::new("setpriv");
        limited.args(["--bounding-set", "-bpf,-sys_admin,-net_admin", "--"]);
        crate::child::transplant(&daemon, &mut limited);
        let log = place.path(&format!("{mode}.log"));
        let mut daemon = place.pair.server.start_here(&limited, &log)?;
        if !starts {
            let ended = (0..100).find_map(|_| {
                std::thread::sleep(Duration::from_millis(100));
                daemon.ended()
            });
            let said = daemon.said();
            if ended.is_none() || !said.contains("CAP_BPF and CAP_NET_ADMIN") {
                return Err(format!("required, {ended:?}: {said}").into());
            }
            continue;
        }
        let status = daemon.wait_for(LIMIT, || {
            let octets = place.read_socket("status.sock")?;
            let status: Value = serde_json::from_slice(&octets).map_err(|e| e.to_string())?;
            if status["ready"] == true { Ok(status) } else { Err(status.to_string()) }
        })?;
        let reason = status["fast_path"]["reason"].as_str().unwrap_or_default();
        if !reason.contains("CAP_BPF and CAP_NET_ADMIN")
            || status["fast_path"]["devices"] != json!([])
        {
            return Err(format!("no reason: {}", status["fast_path"]).into());
        }
        daemon.terminate(LIMIT)?;
    }
    Ok(Figures::new())
}

/// Answers in all.
struct Counts {
    fast: u64,
    sockets: u64,
}

fn counts(server: &Server<'_>) -> Result<Counts, String> {
    let status = server.status()?;
    let count = |part: &str, name: &str| status["counters"][part][name].as_u64().unwrap_or(0);
    Ok(Counts { fast: count("fast_path", "answered"), sockets: count("ntp", "answered_plain") })
}

fn attached(server: &Server<'_>) -> Result<(String, String), String> {
    let status = server.status()?;
    let device = &status["fast_path"]["devices"][0];
    let text = |name: &str| device[name].as_str().map(str::to_owned);
    text("name")
        .zip(text("mode"))
        .ok_or_else(|| format!("attached nowhere: {}", status["fast_path"]))
}

fn pid(server: &Server<'_>, role: &str) -> Result<u64, String> {
    let status = server.status()?;
    let roles = status["roles"].as_array().into_iter().flatten();
    let mut of = roles.filter(|one| one["role"] == role);
    of.next().and_then(|one| one["pid"].as_u64()).ok_or_else(|| format!("no process {role}"))
}

/// The first answer takes a while: neighbours, programs at both ends.
fn warm(lab: &Lab, place: &Place, mac: &str) -> Result<(), String> {
    let mut command = proof(lab, place, mac, 1);
    command.args(["--only", "IPv4", "--warm-up", "10"]);
    place.pair.client.output(LIMIT, &command).map(drop)
}

/// What came back for each frame.
fn prove(
    lab: &Lab,
    place: &Place,
    mac: &str,
    only: &[&str],
    times: u32,
) -> Result<Vec<Value>, String> {
    let mut command = proof(lab, place, mac, times);
    only.iter().for_each(|name| {
        command.args(["--only", name]);
    });
    let said = place.pair.client.output(LIMIT, &command)?;
    serde_json::from_str(&said).map_err(|e| format!("{e}: {said}"))
}

fn proof(lab: &Lab, _place: &Place, mac: &str, times: u32) -> std::process::Command {
    let mut command = lab.tool("frame-proof");
    command.args(["--interface", CLIENT_INTERFACE, "--server-mac", mac]);
    command.args(["--v4", SERVER_V4, "--v6", SERVER_V6]);
    command.args(["--from-v4", CLIENT_V4, "--from-v6", CLIENT_V6]);
    command.args(["--times", &times.to_string()]);
    command
}

/// The hardware address of a device.
fn mac(namespace: &Namespace, device: &str) -> Result<String, String> {
    let mut show = std::process::Command::new("ip");
    show.args(["-json", "link", "show", "dev", device]);
    let said = namespace.output(LIMIT, &show)?;
    let shown: Value = serde_json::from_str(&said).map_err(|e| format!("{e}: {said}"))?;
    shown[0]["address"].as_str().map(str::to_owned).ok_or_else(|| format!("no address: {said}"))
}

fn figures<const N: usize>(rows: [(&str, Value); N]) -> Figures {
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn configuration(mode: &str, device: &str, more: &str) -> String {
    format!(
        "[server]\nlisten = [\"0.0.0.0:123\", \"[::]:123\"]\nversions = [1, 2, 3, 4]\nlocal-stratum = 1\n\
         fast-path = \"{mode}\"\nfast-path-interfaces = [\"{device}\"]\nfast-path-vlans = [5]\n{more}\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"status.sock\"\n"
    )
}
