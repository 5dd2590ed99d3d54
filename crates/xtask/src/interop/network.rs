//! Cells of our server alone, about what needs a network of its own: the example configurations as shipped, one
//! interface, addresses that come and go, how answers are marked, a VRF.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::authority::Authority;
use super::cells::{Cell, Figures, Miss, cell};
use super::lab::{Family, Lab, Place};
use super::server::Server;
use crate::netns::{CLIENT_INTERFACE, Namespace, SERVER_INTERFACE, SERVER_V4, SERVER_V6};
use crate::workspace;

/// All of them.
pub fn all() -> Vec<Cell> {
    let mut cells: Vec<Cell> = examples().into_iter().map(example).collect();
    for family in Family::ALL {
        let mut both = |name: &str, run: fn(&Lab, &Place, Family) -> Result<Figures, Miss>| {
            cells.push(Cell {
                name: format!("noonmarkd {name}, {}", family.label()),
                run: Box::new(move |lab, place| run(lab, place, family)),
            });
        };
        both("on one interface answers there and nowhere else", one_interface);
        both("on an address that comes and goes", coming_and_going);
    }
    cells.push(cell("noonmarkd marks its answers as configured", marked));
    cells.push(cell("noonmarkd in a VRF", vrf));
    cells
}

const LIMIT: Duration = Duration::from_secs(20);

/// Names of the shipped example configurations.
fn examples() -> Vec<String> {
    let folder =
        std::fs::read_dir(workspace::root().join("examples")).into_iter().flatten().flatten();
    let names = folder.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".toml")).collect();
    names.sort();
    names
}

/// An example starts as it is shipped and answers this machine, plain and under NTS; one that serves nobody asks its sources.
fn example(name: String) -> Cell {
    Cell {
        name: format!("examples/{name} starts and answers"),
        run: Box::new(move |lab, place| {
            let path = workspace::root().join("examples").join(&name);
            let text =
                std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let server = Server::start_ours(lab, place, &text)?;
            let status = server.status()?;
            if status.get("listening").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                return asks(&status);
            }
            let (ntp, ke) = (port(&status, "ntp")?, port(&status, "nts-ke")?);
            let here = &place.pair.server;
            ask(lab, here, &["127.0.0.1", "--port", &ntp])?;
            let ca = place.path(Authority::CA).display().to_string();
            ask(lab, here, &["127.0.0.1", "--nts", "--ca", &ca, "--ke-port", &ke, "--port", &ntp])?;
            let mut figures = Figures::new();
            figures.insert("ntp_port".into(), json!(ntp));
            figures.insert("ke_port".into(), json!(ke));
            Ok(figures)
        }),
    }
}

/// That a client without a network has begun to ask: every source is listed, and the clock follows none.
fn asks(status: &Value) -> Result<Figures, Miss> {
    let sources = status.get("sources").and_then(Value::as_array).map_or(0, Vec::len);
    let state = status.pointer("/tracking/state").and_then(Value::as_str);
    if sources == 0 || state != Some("unsynchronised") {
        return Err(format!("{sources} sources and a clock that is {state:?}: {status}").into());
    }
    let mut figures = Figures::new();
    figures.insert("sources".into(), json!(sources));
    Ok(figures)
}

/// The port bound for a protocol on an IPv4 address, from our server's account of itself.
fn port(status: &Value, protocol: &str) -> Result<String, String> {
    let listening = status.get("listening").and_then(Value::as_array).into_iter().flatten();
    let of_protocol =
        listening.filter(|one| one.get("protocol").and_then(Value::as_str) == Some(protocol));
    let mut addresses = of_protocol.filter_map(|one| one.get("address")?.as_str());
    let address = addresses.find(|address| !address.starts_with('['));
    let port = address.and_then(|address| address.rsplit(':').next());
    port.map(str::to_owned).ok_or_else(|| format!("no IPv4 address for {protocol}: {status}"))
}

/// Our own client's question, from inside a namespace.
fn ask(lab: &Lab, from: &Namespace, arguments: &[&str]) -> Result<String, String> {
    let mut query = lab.program("noonmark");
    query.arg("query").args(arguments).args(["--json", "--time-out", "2"]);
    from.output(LIMIT, &query)
}

/// The same, repeated for a while: an address just added takes a moment to be known to its neighbours.
fn ask_soon(lab: &Lab, from: &Namespace, address: &str) -> Result<(), String> {
    let mut last = Ok(());
    for _ in 0..5 {
        last = ask(lab, from, &[address]).map(drop);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// That nobody answers at an address; any other outcome is a failure.
fn ask_in_vain(lab: &Lab, from: &Namespace, address: &str) -> Result<(), String> {
    let mut query = lab.program("noonmark");
    query.args(["query", address, "--json", "--time-out", "1"]);
    let mut quiet = Command::new("sh");
    // Status 2 is "no answer"; that is what has to be.
    quiet.args(["-c", "\"$@\"; test $? -eq 2", "sh"]);
    crate::child::transplant(&query, &mut quiet);
    from.output(LIMIT, &quiet).map(drop).map_err(|e| format!("{address} should be silent: {e}"))
}

fn one_interface(lab: &Lab, place: &Place, family: Family) -> Result<Figures, Miss> {
    let (any, there, elsewhere) = match family {
        Family::V4 => ("0.0.0.0", SERVER_V4, "127.0.0.1"),
        Family::V6 => ("[::]", SERVER_V6, "::1"),
    };
    let text = configuration(
        &format!("[\"{any}:123\"]"),
        &format!("interfaces = [\"{SERVER_INTERFACE}\"]\n"),
    );
    let _server = Server::start_ours(lab, place, &text)?;
    ask(lab, &place.pair.client, &[there])?;
    ask_in_vain(lab, &place.pair.server, elsewhere)?;
    Ok(Figures::new())
}

fn coming_and_going(lab: &Lab, place: &Place, family: Family) -> Result<Figures, Miss> {
    let (late, listen, length) = match family {
        Family::V4 => ("10.93.0.9", "10.93.0.9:123", 24),
        Family::V6 => ("fd93::9", "[fd93::9]:123", 64),
    };
    let Place { pair, .. } = place;
    let text = configuration(&format!("[\"{listen}\"]"), "");
    let _server = Server::start_ours(lab, place, &text)?;
    ask_in_vain(lab, &pair.client, late)?;
    let subnet = format!("{late}/{length}");
    for _ in 0..2 {
        let mut add = vec!["address", "add", &subnet, "dev", SERVER_INTERFACE];
        if family == Family::V6 {
            // Without duplicate address detection the address can be used at once.
            add.push("nodad");
        }
        pair.server.ip(&add)?;
        ask_soon(lab, &pair.client, late)?;
        pair.server.ip(&["address", "del", &subnet, "dev", SERVER_INTERFACE])?;
        ask_in_vain(lab, &pair.client, late)?;
    }
    Ok(Figures::new())
}

/// The DS field of answers as it is on the wire, over both families, for two settings.
fn marked(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let mut tap = lab.tool("ntp-tap");
    tap.args(["--interface", CLIENT_INTERFACE]);
    let log = place.path("tap.out");
    let mut tap = place.pair.client.start(&tap, &log)?;
    tap.wait_for(LIMIT, || if read(&log)?.is_empty() { Err("not ready".into()) } else { Ok(()) })?;
    let mut figures = Figures::new();
    let mut seen_before = 0;
    // Expedited forwarding (RFC 3246), and assured forwarding AF21 (RFC 2597).
    for dscp in [46, 18] {
        let text = configuration("[\"0.0.0.0:123\", \"[::]:123\"]", &format!("dscp = {dscp}\n"));
        let _server = Server::start_ours(lab, place, &text)?;
        for address in [SERVER_V4, SERVER_V6] {
            ask(lab, &place.pair.client, &[address])?;
        }
        let marks = tap.wait_for(LIMIT, || {
            let marks: Vec<Value> =
                read(&log)?.lines().skip(1 + seen_before).map(mark).collect::<Result<_, _>>()?;
            if marks.len() >= 2 { Ok(marks) } else { Err(format!("seen: {marks:?}")) }
        })?;
        seen_before += marks.len();
        for family in Family::ALL {
            let is_of = |mark: &&Value| mark.get("family") == Some(&json!(family.label()));
            let of: Vec<&Value> = marks.iter().filter(is_of).collect();
            let as_wanted = |mark: &&Value| mark.get("dscp") == Some(&json!(dscp));
            if of.is_empty() || !of.iter().all(as_wanted) {
                return Err(
                    format!("DSCP {dscp} was wanted, {} shows {of:?}", family.label()).into()
                );
            }
            figures.insert(format!("{}_dscp_{dscp}", family.label()), json!(of.len()));
        }
    }
    Ok(figures)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn mark(line: &str) -> Result<Value, String> {
    serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))
}

fn vrf(lab: &Lab, place: &Place) -> Result<Figures, Miss> {
    let server = &place.pair.server;
    if let Err(problem) = server.ip(&["link", "add", "vrf0", "type", "vrf", "table", "10"]) {
        return if problem.contains("Unknown device type") {
            Err(Miss::NotRun("this kernel has no VRFs".into()))
        } else {
            Err(problem.into())
        };
    }
    server.ip(&["link", "set", "vrf0", "up"])?;
    server.ip(&["link", "set", SERVER_INTERFACE, "master", "vrf0"])?;
    let text = configuration("[\"0.0.0.0:123\"]", "interfaces = [\"vrf0\"]\n");
    let _server = Server::start_ours(lab, place, &text)?;
    ask(lab, &place.pair.client, &[SERVER_V4])?;
    ask_in_vain(lab, server, "127.0.0.1")?;
    Ok(Figures::new())
}

fn configuration(listen: &str, more: &str) -> String {
    format!(
        "[server]\nlisten = {listen}\nlocal-stratum = 1\n{more}\
         [state]\nfolder = \"state\"\n[status]\nsocket = \"status.sock\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_bound_is_found() {
        let status = json!({ "listening": [
            { "protocol": "ntp", "address": "[::1]:1001" },
            { "protocol": "ntp", "address": "127.0.0.1:1002" },
            { "protocol": "nts-ke", "address": "0.0.0.0:4460" },
        ] });
        assert_eq!(port(&status, "ntp").as_deref(), Ok("1002"));
        assert_eq!(port(&status, "nts-ke").as_deref(), Ok("4460"));
        assert!(port(&status, "http").is_err());
    }

    #[test]
    fn there_are_examples() {
        assert!(!examples().is_empty());
    }
}
