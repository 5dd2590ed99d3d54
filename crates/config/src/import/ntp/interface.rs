//! `interface` and `nic`: where ntpd listens. Of several rules for an address the last one counts.

use std::net::IpAddr;

use super::Conf;
use crate::import::ledger::{At, Outcome};
use crate::import::number::{list, quoted};
use crate::settings::InterfaceName;

/// What `interface` lines add up to: ntpd begins with everything.
#[derive(Default)]
pub(super) struct Interfaces {
    rules: Vec<(Does, Where, At)>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Does {
    Listen,
    /// `ignore` and `drop`.
    Not,
}

enum Where {
    All,
    V4,
    V6,
    Wildcard,
    Address(IpAddr),
    Prefix,
    Device(String),
}

/// Sockets at most, as our reader has it.
const LISTEN_MAX: usize = 62;

impl Conf<'_, '_> {
    pub(super) fn interface(&mut self, at: At, rest: &[String]) {
        let (does, place) = match rest {
            [does, place] => (does.as_str(), place.as_str()),
            _ => return self.refused(at, rest.last().map_or("", String::as_str)),
        };
        let does = match does {
            "listen" => Does::Listen,
            "ignore" | "drop" => Does::Not,
            other => return self.refused(at, other),
        };
        let place = match place {
            "all" => Where::All,
            "ipv4" => Where::V4,
            "ipv6" => Where::V6,
            "wildcard" => Where::Wildcard,
            text => match (text.parse::<IpAddr>(), InterfaceName::new(text)) {
                (Ok(ip), _) => Where::Address(ip.to_canonical()),
                (_, _) if text.contains('/') => Where::Prefix,
                (_, Some(_)) => Where::Device(text.to_owned()),
                _ => {
                    return self.work.lost(
                        at,
                        "no device can have that name: write its address in [server] listen",
                    );
                }
            },
        };
        self.interfaces.rules.push((does, place, at));
    }

    pub(super) fn finish_interfaces(&mut self) {
        let rules = std::mem::take(&mut self.interfaces.rules);
        let Some(&(_, _, first)) =
            rules.iter().find(|(_, place, _)| !matches!(place, Where::Wildcard))
        else {
            for (_, _, at) in rules {
                self.work.note(at, Outcome::Kept, "answers leave from the address that was asked");
            }
            return;
        };
        let (mut v4, mut v6) = (true, true);
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut devices: Vec<(String, At)> = Vec::new();
        for (does, place, at) in &rules {
            let listens = *does == Does::Listen;
            let mut note = "in [server]";
            match place {
                Where::All => {
                    (v4, v6) = (listens, listens);
                    addresses.clear();
                    for (_, before) in devices.drain(..) {
                        self.work.ledger.note(
                            before,
                            Outcome::Ignored,
                            "a later line says otherwise",
                        );
                    }
                }
                Where::V4 => {
                    v4 = listens;
                    addresses.retain(IpAddr::is_ipv6);
                }
                Where::V6 => {
                    v6 = listens;
                    addresses.retain(IpAddr::is_ipv4);
                }
                Where::Wildcard => note = "answers leave from the address that was asked",
                Where::Address(ip) => {
                    addresses.retain(|known| known != ip);
                    let is_open = if ip.is_ipv4() { v4 } else { v6 };
                    if listens && !is_open {
                        addresses.push(*ip);
                    } else if !listens && is_open {
                        self.work.lost(*at, "write the other addresses in [server] listen");
                        continue;
                    }
                }
                Where::Device(name) => {
                    let work = &mut *self.work;
                    devices.retain(|(known, before)| {
                        if known == name {
                            work.note(*before, Outcome::Ignored, "a later line says otherwise");
                        }
                        known != name
                    });
                    // Loopback is listened on whatever is said.
                    let is_loopback = name == "lo" || name == "lo0";
                    if listens && !is_loopback && !(v4 && v6) {
                        devices.push((name.clone(), *at));
                        continue;
                    } else if !listens && (v4 || v6) && !is_loopback {
                        self.work.lost(*at, "write the other devices in [server] interfaces");
                        continue;
                    }
                }
                Where::Prefix => {
                    self.work.lost(*at, "write the addresses of that network in [server] listen");
                    continue;
                }
            }
            self.work.note(*at, Outcome::Kept, note);
        }
        if v4 && v6 {
            for (_, at) in devices {
                self.work.note(at, Outcome::Kept, "in [server]");
            }
            return;
        }
        self.listen(first, (v4, v6), addresses, devices);
    }

    /// Loopback addresses are always listened on, as by ntpd.
    fn listen(
        &mut self,
        at: At,
        (v4, v6): (bool, bool),
        addresses: Vec<IpAddr>,
        devices: Vec<(String, At)>,
    ) {
        let has_others = v4 || v6 || addresses.iter().any(|ip| !ip.is_loopback());
        let fits = !has_others && devices.len() < LISTEN_MAX;
        for (_, at) in &devices {
            if fits {
                self.work.note(*at, Outcome::Kept, "in [server]");
            } else {
                self.work.lost(*at, "devices and addresses cannot both be named: write its addresses in [server] listen");
            }
        }
        if fits && !devices.is_empty() {
            let names: Vec<String> =
                devices.iter().map(|(name, _)| quoted(name)).chain([quoted("lo")]).collect();
            return self.work.set(at, ("server", "interfaces"), list(&names), "");
        }
        let all = |open: bool, ip: &str| open.then(|| ip.parse::<IpAddr>()).and_then(Result::ok);
        let mut listen: Vec<IpAddr> =
            [all(v6, "::"), all(v4, "0.0.0.0"), all(!v4, "127.0.0.1"), all(!v6, "::1")]
                .into_iter()
                .flatten()
                .collect();
        for ip in addresses {
            if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255, 255, 255, 255])
            {
                self.work.lost(at, format!("{ip} is no address that a host has"));
            } else if !listen.contains(&ip) && listen.len() < LISTEN_MAX {
                listen.push(ip);
            } else if !listen.contains(&ip) {
                self.work.lost(at, "more addresses than noonmarkd opens");
            }
        }
        let listen: Vec<String> = listen
            .iter()
            .map(|ip| quoted(&std::net::SocketAddr::new(*ip, 123).to_string()))
            .collect();
        self.work.set(at, ("server", "listen"), list(&listen), "");
    }
}
