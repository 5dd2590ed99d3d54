//! The configurations in `examples/` are accepted and mean what their comments say.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use noonmark_config::{Action, ClockMode, Settings, parse};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn example(name: &str) -> Settings {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).expect("readable");
    parse(&text, &path).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn every_example_is_accepted_and_keeps_its_files_beside_it() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).expect("examples") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let settings = example(path.file_name().and_then(|name| name.to_str()).expect("ASCII"));
        assert!(settings.nts.is_some() || settings.asks_sources(), "{path:?} has no NTS");
        if let Some(nts) = settings.nts {
            assert_eq!(nts.certificate, folder().join("chain.pem"), "{path:?}");
            assert_eq!(nts.key, folder().join("key.pem"), "{path:?}");
        }
        assert_eq!(settings.state.folder, folder().join("state"), "{path:?}");
        assert_eq!(settings.status.socket, folder().join("status.sock"), "{path:?}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} examples found");
}

#[test]
fn configuration_in_the_readme_is_accepted_as_it_stands() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let text = fs::read_to_string(readme).expect("readable");
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the block ends").0)
        .collect();
    let [block, client] = blocks.as_slice() else { panic!("{} blocks of TOML", blocks.len()) };
    let client = parse(client, Path::new("/etc/noonmark/noonmark.toml"))
        .unwrap_or_else(|report| panic!("{report}"));
    assert!(client.server.listen.is_empty() && client.asks_sources());
    assert_eq!((client.sources.len(), client.clock.mode), (3, ClockMode::Observe));
    let settings = parse(block, Path::new("/etc/noonmark/noonmark.toml"))
        .unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(settings.server.listen.len(), 2);
    assert_eq!(settings.server.local.map(|local| local.stratum), Some(2));
    let nts = settings.nts.expect("a server of authenticated time");
    assert_eq!(nts.key, Path::new("/etc/noonmark/privkey.pem"));
}

#[test]
fn client_watches_the_clock_and_serves_nobody() {
    let client = example("client.toml");
    assert!(client.server.listen.is_empty() && client.nts.is_none() && client.asks_sources());
    assert_eq!((client.clock.mode, client.clock.min_sources), (ClockMode::Observe, 2));
    let asked: usize = client.sources.iter().map(|source| source.kind.servers()).sum();
    assert_eq!(asked, 1 + 2 + 1 + 4);
    assert_eq!(client.clock.max_per_hour, Some(Duration::from_secs(1)));
}

#[test]
fn lab_takes_free_loopback_ports_and_rotates_quickly() {
    let lab = example("lab.toml");
    let nts = lab.nts.expect("on");
    assert!(
        lab.server.listen.iter().chain(&nts.listen).all(|a| a.ip().is_loopback() && a.port() == 0)
    );
    assert_eq!(lab.cookies.rotation, Duration::from_mins(1));
    assert_eq!(lab.server.local.map(|local| local.stratum), Some(10));
}

#[test]
fn longest_prefix_decides_who_is_served() {
    let check = |name: &str, rows: &[(&str, Action)]| {
        let settings = example(name);
        for (address, action) in rows {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(settings.action_for(address), *action, "{name} {address}");
        }
    };
    check(
        "public.toml",
        &[
            ("192.0.2.1", Action::Allow),
            ("10.1.2.3", Action::Ignore),
            ("2001:db8:bad:2::1", Action::Deny),
            ("2001:db8:bad:1::1", Action::Allow),
            ("2001:db8::1", Action::Allow),
        ],
    );
    check(
        "appliance.toml",
        &[
            ("192.0.2.1", Action::Ignore),
            ("192.168.7.1", Action::Allow),
            ("2001:db8::1", Action::Ignore),
            ("fe80::1", Action::Allow),
            ("::1", Action::Allow),
        ],
    );
    check("minimal.toml", &[("192.0.2.1", Action::Allow), ("2001:db8::1", Action::Allow)]);
}
