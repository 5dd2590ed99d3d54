//! Cells of noonmarkd as a client whose network changes: routes, address families, interfaces.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::cells::{Cell, Figures, Miss, cell};
use super::lab::{Lab, Place};
use super::server::Server;
use crate::child::transplant;
use crate::netns::{CLIENT_INTERFACE, Daemon, SERVER_INTERFACE, SERVER_V4};

/// All of them.
pub fn all() -> Vec<Cell> {
    vec![
        cell("noonmarkd asks anew when another way leads to its server", another_way),
        cell("noonmarkd goes over to IPv4 when IPv6 is switched off", other_family),
        cell("noonmarkd finds a server on an interface that comes late and again", late_interface),
    ]
}

/// A route changed where it matters is followed by a burst; a change that leaves the way as it is, by nothing.
fn another_way(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let _server = serve(lab, place)?;
    let client = &place.pair.client;
    // After what it asks at first it has nothing to ask for a minute.
    let mut watcher = watch(lab, place, &format!("server = \"{SERVER_V4}\"\nminpoll = 6"))?;
    let first = watcher.wait_for(3 * LIMIT, || {
        let now = source(place)?;
        match now.get("next_question_seconds").and_then(Value::as_f64) {
            Some(seconds) if seconds > QUIET_S => count(&now, "asked"),
            _ => Err(now.to_string()),
        }
    })?;
    client.ip(&["address", "add", "10.93.0.3/24", "dev", CLIENT_INTERFACE])?;
    client.ip(&["route", "add", "198.51.100.0/24", "dev", CLIENT_INTERFACE])?;
    std::thread::sleep(SETTLED);
    let quiet = count(&source(place)?, "asked")?;
    if quiet != first {
        return Err(format!("{first} questions became {quiet} though no way changed").into());
    }
    let another = ["route", "add", SERVER_V4, "dev", CLIENT_INTERFACE, "src", "10.93.0.3"];
    client.ip(&another)?;
    let after = watcher.wait_for(BURST_WITHIN, || {
        let now = source(place)?;
        let asked = count(&now, "asked")?;
        if asked >= first + LEAST_BURST { Ok(asked) } else { Err(now.to_string()) }
    })?;
    Ok(Figures::from_iter([
        ("before".to_owned(), json!(first)),
        ("after".to_owned(), json!(after)),
    ]))
}

/// A name with addresses of both families: without IPv6 the other is asked, and no question is lost.
fn other_family(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let _server = serve(lab, place)?;
    // C libraries agree that such an address comes before IPv4 (RFC 6724 §2.1); of local ones (fc00::/7) some say so and some do not.
    place.pair.server.ip(&[
        "address",
        "add",
        &format!("{GLOBAL_V6}/64"),
        "dev",
        SERVER_INTERFACE,
        "nodad",
    ])?;
    place.pair.client.ip(&[
        "address",
        "add",
        "2001:db8:93::2/64",
        "dev",
        CLIENT_INTERFACE,
        "nodad",
    ])?;
    place.write("hosts", &format!("{GLOBAL_V6} both.test\n{SERVER_V4} both.test\n"))?;
    let mut watcher = watch(lab, place, "server = \"both.test\"\nminpoll = 0\nmaxpoll = 1")?;
    asked(&mut watcher, place, FIRST_BURST)?;
    is_at(&source(place)?, &format!("[{GLOBAL_V6}]:123"))?;
    shell(place, "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")?;
    let gone_over = watcher.wait_for(LIMIT, || {
        let now = source(place)?;
        is_at(&now, &format!("{SERVER_V4}:123"))?;
        if count(&now, "measured")? >= FIRST_BURST { Ok(now) } else { Err(now.to_string()) }
    })?;
    let unanswered = count(&gone_over, "unanswered")?;
    if unanswered > 1 {
        return Err(format!("{unanswered} questions went unanswered: {gone_over}").into());
    }
    Ok(Figures::from_iter([("unanswered".to_owned(), json!(unanswered))]))
}

/// A link-local address by the name of an interface that is not there at the start, and has another number the second time.
fn late_interface(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let _server = serve(lab, place)?;
    let kind = format!("server = \"fe80::93%{LATE}\"\nminpoll = 0\nmaxpoll = 1");
    let mut watcher = watch(lab, place, &kind)?;
    let mut figures = Figures::new();
    for time in ["first", "second"] {
        let (server, client) = (&place.pair.server, &place.pair.client);
        let link = ["link", "add", LATE, "type", "veth", "peer", "name", "far", "netns"];
        client.ip(&[&link[..], &[server.name()]].concat())?;
        server.ip(&["address", "add", "fe80::93/64", "dev", "far", "nodad"])?;
        server.ip(&["link", "set", "far", "up"])?;
        client.ip(&["link", "set", LATE, "up"])?;
        let found = watcher.wait_for(LIMIT, || {
            let now = source(place)?;
            match now.get("reach").and_then(Value::as_u64) {
                Some(reach) if reach & 3 == 3 => Ok(now),
                _ => Err(now.to_string()),
            }
        })?;
        figures
            .insert(format!("{time}_address"), found.get("address").cloned().unwrap_or_default());
        client.ip(&["link", "del", LATE])?;
        watcher.wait_for(LIMIT, || {
            let now = source(place)?;
            match now.get("reach").and_then(Value::as_u64) {
                Some(0) | None => Ok(()),
                _ => Err(now.to_string()),
            }
        })?;
    }
    if figures.get("first_address") == figures.get("second_address") {
        return Err(format!("the interface has the same number twice: {figures:?}").into());
    }
    Ok(figures)
}

fn serve<'a>(lab: &'a Lab, place: &'a Place) -> Result<Server<'a>, String> {
    Server::start_ours(
        lab,
        place,
        "[server]\nlisten = [\"0.0.0.0:123\", \"[::]:123\"]\nlocal-stratum = 1\n\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"status.sock\"\n",
    )
}

/// noonmarkd in the client's namespace, with one source, and without touching any clock. Names are those of the file `hosts` of the
/// place, if there is one.
fn watch(lab: &Lab, place: &Place, source: &str) -> Result<Daemon, String> {
    place.private_folder("watcher")?;
    let file = place.write(
        "watcher.toml",
        &format!(
            "[[source]]\n{source}\n[clock]\nclock = \"observe\"\n\
             [state]\nfolder = \"watcher\"\n[status]\nsocket = \"{SOCKET}\"\n"
        ),
    )?;
    let mut named = Command::new("sh");
    named.args(["-euc", "if [ -e \"$0\" ]; then mount --bind \"$0\" /etc/hosts; fi; exec \"$@\""]);
    named.arg(place.path("hosts"));
    transplant(&lab.program("noonmarkd"), &mut named);
    named.arg("--config").arg(file);
    place.pair.client.start_here(&named, &place.path("watcher.out"))
}

/// Waits until the only source was asked so often and answered as often, and returns how often it was asked.
fn asked(watcher: &mut Daemon, place: &Place, least: u64) -> Result<u64, String> {
    watcher.wait_for(LIMIT, || {
        let now = source(place)?;
        let (asked, measured) = (count(&now, "asked")?, count(&now, "measured")?);
        if measured >= least { Ok(asked) } else { Err(now.to_string()) }
    })
}

/// What the client says of its only source.
fn source(place: &Place) -> Result<Value, String> {
    let octets = place.read_socket(SOCKET)?;
    let status: Value = serde_json::from_slice(&octets).map_err(|e| format!("status: {e}"))?;
    status.pointer("/sources/0").cloned().ok_or_else(|| format!("no source: {status}"))
}

fn count(source: &Value, name: &str) -> Result<u64, String> {
    source.get(name).and_then(Value::as_u64).ok_or_else(|| format!("no {name}: {source}"))
}

fn is_at(source: &Value, address: &str) -> Result<(), String> {
    if source.get("address").and_then(Value::as_str) == Some(address) {
        Ok(())
    } else {
        Err(format!("not asked at {address}: {source}"))
    }
}

/// A line of shell in the client's namespace.
fn shell(place: &Place, line: &str) -> Result<(), String> {
    let mut shell = Command::new("sh");
    shell.args(["-euc", line]);
    place.pair.client.output(LIMIT, &shell).map(drop)
}

const SOCKET: &str = "watcher.sock";
const GLOBAL_V6: &str = "2001:db8:93::1";
const LATE: &str = "late0";
const LIMIT: Duration = Duration::from_secs(40);
/// Longer than a change needs to be looked at.
const SETTLED: Duration = Duration::from_secs(5);
/// Without a change nothing is asked for so long: longer than looking at a change and the burst after it take.
const QUIET_S: f64 = 30.0;
const BURST_WITHIN: Duration = Duration::from_secs(20);
/// Questions of a burst after a change, at least.
const LEAST_BURST: u64 = 3;
/// Answers that end a first burst.
const FIRST_BURST: u64 = 4;
