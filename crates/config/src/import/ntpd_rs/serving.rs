//! `[[server]]`, `[[nts-ke-server]]`, `[keyset]`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeTable;

use super::{Conf, Value, items, number, table, text, truth};
use crate::import::ledger::{At, Outcome};
use crate::import::number::{duration, list, quoted};

/// Addresses at most, as our reader has it.
const LISTEN_MAX: usize = 64;

/// What the lists of all servers add up to.
#[derive(Default)]
struct Lists {
    /// What becomes of those whom no list of those allowed has.
    others: Option<(String, At)>,
    allowed: Vec<(IpNet, At)>,
    denied: Vec<(IpNet, String, At)>,
}

impl Conf<'_, '_, '_> {
    pub(super) fn servers(&mut self, value: &Value<'_>) {
        let mut listen: Vec<(SocketAddr, At)> = Vec::new();
        let mut lists = Lists::default();
        for item in items(value) {
            let at = self.at(item.span().start);
            let Some(keys) = table(item) else {
                self.refused(at, "server");
                continue;
            };
            self.server(keys, &mut listen, &mut lists);
        }
        let addresses: Vec<String> =
            listen.iter().map(|(address, _)| quoted(&address.to_string())).collect();
        if let Some((_, at)) = listen.first() {
            self.work.set(*at, ("server", "listen"), list(&addresses), "");
        }
        self.push_lists(lists);
    }

    fn server(
        &mut self,
        keys: &DeTable<'_>,
        listen: &mut Vec<(SocketAddr, At)>,
        lists: &mut Lists,
    ) {
        let (mut size, mut cutoff) = (None, None);
        for (key, value) in keys {
            let at = self.at(key.span().start);
            match (key.get_ref().as_ref(), number(value)) {
                ("listen", _) => self.listen(at, value, "[server] listen", listen),
                ("rate-limiting-cache-size", Some(number)) => size = Some((number, at)),
                ("rate-limiting-cutoff-ms", Some(number)) => cutoff = Some((number, at)),
                ("allowlist" | "denylist", _) => {
                    let is_allowed = key.get_ref() == "allowlist";
                    if self.list(at, value, is_allowed, lists).is_none() {
                        self.refused(at, key.get_ref());
                    }
                }
                ("require-nts", _) if truth(value) == Some(false) => {
                    self.work.note(at, Outcome::Kept, "");
                }
                ("require-nts", _) => {
                    self.work.lost(at, "plain requests are answered as well: keep them out with a firewall if they must not be");
                }
                ("accept-ntp-versions", _) => {
                    let known: Vec<String> = ["1", "2", "3", "4"]
                        .into_iter()
                        .filter(|version| {
                            items(value).iter().any(|item| number(item) == version.parse().ok())
                        })
                        .map(str::to_owned)
                        .collect();
                    let is_same = known.len() == items(value).len();
                    if known.is_empty() {
                        self.refused(at, "accept-ntp-versions");
                    } else {
                        let note = if is_same { "" } else { "version 5 is a draft and not spoken" };
                        self.work.set(at, ("server", "versions"), list(&known), note);
                    }
                }
                (other, _) => self.refused(at, other),
            }
        }
        self.rate_limit(size, cutoff);
    }

    fn listen(
        &mut self,
        at: At,
        value: &Value<'_>,
        note: &str,
        listen: &mut Vec<(SocketAddr, At)>,
    ) {
        let found = text(value).and_then(|text| {
            text.parse::<SocketAddr>()
                .ok()
                .or_else(|| Some(SocketAddr::new(text.parse().ok()?, 123)))
        });
        let Some(address) = found.filter(|address| can_listen(address.ip())) else {
            return self.refused(at, "listen");
        };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let overlaps = |(known, _): &(SocketAddr, At)| {
            known.port() == address.port()
                && known.is_ipv4() == address.is_ipv4()
                && (known.ip() == address.ip()
                    || known.ip().is_unspecified()
                    || address.ip().is_unspecified())
        };
        if listen.iter().any(overlaps) {
            self.work.note(at, Outcome::Ignored, "another address stands for it already");
        } else if listen.len() == LISTEN_MAX {
            self.work.lost(at, "more addresses than noonmarkd opens");
        } else {
            listen.push((address, at));
            self.work.note(at, Outcome::Kept, note);
        }
    }

    fn rate_limit(&mut self, size: Option<(f64, At)>, cutoff: Option<(f64, At)>) {
        match (size, cutoff) {
            (Some((size, size_at)), Some((cutoff, cutoff_at))) if size >= 1.0 && cutoff >= 1.0 => {
                let (interval, _) = duration(cutoff / 1000.0, 0.001, 3600.0);
                let note = "a mean: of what comes sooner it lets one at once, and says so to who is over the limit";
                self.work.set(cutoff_at, ("rate-limit", "interval"), interval, note);
                let size = size.clamp(1.0, 1_048_576.0);
                self.work.set(size_at, ("rate-limit", "table-size"), format!("{size:.0}"), "");
                self.work.draft.assume(
                    ("rate-limit", "burst"),
                    "1",
                    "ntpd-rs lets nothing through that comes sooner",
                );
            }
            (size, cutoff) => {
                for (_, at) in size.into_iter().chain(cutoff) {
                    self.work.note(
                        at,
                        Outcome::Kept,
                        "both have to be more than 0: there is no limit",
                    );
                }
            }
        }
    }

    fn list(
        &mut self,
        at: At,
        value: &Value<'_>,
        is_allowed: bool,
        lists: &mut Lists,
    ) -> Option<()> {
        let keys = table(value)?;
        let action = keys.get("action").map_or(Some("ignore"), text)?.to_ascii_lowercase();
        let action = ["deny", "ignore"].contains(&action.as_str()).then_some(action)?;
        let mut prefixes = Vec::new();
        for item in items(keys.get("filter")?) {
            let written = text(item)?;
            let prefix =
                written.parse::<IpNet>().or_else(|_| written.parse::<IpAddr>().map(IpNet::from));
            let prefix = prefix.ok()?.trunc();
            if matches!(prefix, IpNet::V6(prefix) if prefix.addr().to_ipv4_mapped().is_some()) {
                return None;
            }
            prefixes.push(prefix);
        }
        if is_allowed {
            lists.others.get_or_insert((action, at));
            lists.allowed.extend(prefixes.into_iter().map(|prefix| (prefix, at)));
        } else {
            lists.denied.extend(prefixes.into_iter().map(|prefix| (prefix, action.clone(), at)));
        }
        self.work.note(at, Outcome::Kept, "[[access]], for all addresses");
        Some(())
    }

    /// Those denied are denied whatever the other list says of a part of them.
    fn push_lists(&mut self, lists: Lists) {
        let mut rules: Vec<(IpNet, String, At)> = Vec::new();
        let mut add = |prefix: IpNet, action: &str, at: At| {
            if !rules.iter().any(|(known, _, _)| *known == prefix) {
                rules.push((prefix, action.to_owned(), at));
            }
        };
        for (prefix, action, at) in &lists.denied {
            add(*prefix, action, *at);
        }
        for (prefix, at) in &lists.allowed {
            let over = lists.denied.iter().find(|(denied, _, _)| denied.contains(prefix));
            add(*prefix, over.map_or("allow", |(_, action, _)| action), *at);
        }
        if let Some((action, at)) = &lists.others {
            for prefix in ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse().ok()) {
                add(prefix, action, *at);
            }
        }
        for (prefix, action, at) in rules {
            let because = self.work.ledger.origin(at);
            let keys =
                vec![("prefix", format!("\"{prefix}\"")), ("action", format!("\"{action}\""))];
            self.work.draft.push("access", because, keys, false);
        }
    }

    pub(super) fn key_exchange(&mut self, value: &Value<'_>) {
        for (place, item) in items(value).iter().enumerate() {
            let Some(keys) = table(item) else { continue };
            if place > 0 {
                self.every_key(keys, "one key establishment is served: give its certificate all names, and listen all addresses");
                continue;
            }
            let file = |key: &str| keys.get(key).and_then(text).and_then(|name| self.path(name));
            if file("certificate-chain-path").is_none() || file("private-key-path").is_none() {
                self.every_key(
                    keys,
                    "ntpd-rs does not start without certificate-chain-path and private-key-path",
                );
                continue;
            }
            for (key, value) in keys {
                let at = self.at(key.span().start);
                self.key_exchange_key(at, key.get_ref(), value);
            }
        }
    }

    fn key_exchange_key(&mut self, at: At, key: &str, value: &Value<'_>) {
        let path = text(value).and_then(|name| self.path(name));
        match (key, number(value), path) {
            ("listen", _, _) => {
                let mut listen = Vec::new();
                self.listen(at, value, "", &mut listen);
                if let Some((address, _)) = listen.first() {
                    let list = list(&[quoted(&address.to_string())]);
                    self.work.set(at, ("nts", "listen"), list, "");
                }
            }
            ("certificate-chain-path", _, Some(path)) => {
                self.work.set(at, ("nts", "certificate"), path, "");
            }
            ("private-key-path", _, Some(path)) => {
                let note = "the file has to belong to root or to the running user, its group may at most read it";
                self.work.set(at, ("nts", "key"), path, note);
            }
            ("key-exchange-timeout-ms", Some(number), _) => {
                let (limit, is_same) = duration(number / 1000.0, 1.0, 10.0);
                let note = if is_same { "" } else { "from 1s to 10s" };
                self.work.set(at, ("nts", "time-limit"), limit, note);
            }
            ("concurrent-connections", Some(number), _) => {
                let count = number.clamp(1.0, 65535.0);
                self.work.set(
                    at,
                    ("nts", "max-connections"),
                    format!("{count:.0}"),
                    "one more is closed at once",
                );
                self.work.draft.assume(
                    ("nts", "max-per-prefix"),
                    format!("{:.0}", count.min(32.0)),
                    "no more than max-connections",
                );
            }
            ("longlived-connections", _, _) => {
                self.work.note(at, Outcome::Ignored, "connections of pools are not taken");
            }
            ("ntp-port", Some(number), _) if (1.0..=65535.0).contains(&number) => {
                self.work.set(at, ("nts", "ntp-port"), format!("{number:.0}"), "");
            }
            ("ntp-server", _, _) => {
                let host = text(value).filter(|host| !host.contains('%') && is_host(host));
                match host {
                    Some(host) => {
                        self.work.set(at, ("nts", "ntp-servers"), list(&[quoted(host)]), "");
                    }
                    None => self.refused(at, key),
                }
            }
            ("accept-ntp-versions", _, _) => {
                self.work.note(at, Outcome::Changed, "NTS is for version 4");
            }
            ("accepted-pool-authentication-tokens", _, _) => {
                self.work.lost(
                    at,
                    "connections of pools are not taken: their servers need another daemon",
                );
            }
            _ => self.refused(at, key),
        }
    }

    pub(super) fn keyset(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            let at = self.at(key.span().start);
            match (key.get_ref().as_ref(), number(value)) {
                ("stale-key-count", Some(count)) => {
                    let held = count.clamp(1.0, 64.0);
                    let note = if held == count { "" } else { "from 1 to 64" };
                    self.work.set(at, ("cookies", "retention"), format!("{held:.0}"), note);
                }
                ("key-rotation-interval", Some(seconds)) => {
                    let (length, is_same) = duration(seconds.round(), 60.0, 90.0 * 86_400.0);
                    let note = if is_same { "" } else { "from 1m to 90d" };
                    self.work.set(at, ("cookies", "rotation"), length, note);
                }
                ("key-storage-path", _) => {
                    let note = "cookie keys are kept in the state folder and begin anew: each client establishes keys once";
                    self.work.note(at, Outcome::Changed, note);
                }
                (other, _) => self.refused(at, other),
            }
        }
    }
}

fn can_listen(ip: IpAddr) -> bool {
    !ip.is_multicast() && ip != IpAddr::from([255, 255, 255, 255])
}

fn is_host(host: &str) -> bool {
    let text = format!("[[source]]\nserver = {}\n", quoted(host));
    crate::parse(&text, std::path::Path::new("/")).is_ok()
}
