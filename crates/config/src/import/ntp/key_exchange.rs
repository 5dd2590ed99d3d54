//! `nts` of NTPsec: its key-exchange server.

use std::path::Path;

use super::Conf;
use crate::import::ledger::{At, Outcome};
use crate::import::number::whole;

/// What `nts` lines add up to.
#[derive(Default)]
pub(super) struct KeyExchange {
    is_on: Option<At>,
    certificate: Option<(String, At)>,
    key: Option<(String, At)>,
    port: Option<(i64, At)>,
}

impl Conf<'_, '_> {
    pub(super) fn nts(&mut self, at: At, rest: &[String], folder: &Path) {
        self.is_ntpsec = true;
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            let takes_value = !matches!(word.as_str(), "enable" | "disable");
            let value = if takes_value { words.next() } else { None };
            let file = value.and_then(|name| self.path(folder, name));
            match (word.as_str(), value.map(String::as_str)) {
                ("enable", _) => {
                    let before = self.key_exchange.is_on.replace(at).filter(|before| *before != at);
                    self.taken_back(before, at);
                }
                ("disable", _) => {
                    let before = self.key_exchange.is_on.take();
                    self.taken_back(before, at);
                    self.work.note(at, Outcome::Kept, "");
                }
                ("cert" | "key", Some(name)) => {
                    let Some(file) = file else { return self.refused(at, name) };
                    let place = match word.as_str() {
                        "cert" => &mut self.key_exchange.certificate,
                        _ => &mut self.key_exchange.key,
                    };
                    let before = place.replace((file, at)).map(|(_, before)| before);
                    self.taken_back(before, at);
                }
                ("port", Some(port)) => match whole(port) {
                    Some(number @ 1..=65535) => {
                        let before =
                            self.key_exchange.port.replace((number, at)).map(|(_, before)| before);
                        self.taken_back(before, at);
                    }
                    _ => return self.refused(at, port),
                },
                ("ca", Some(_)) => {
                    self.work.lost(at, "ca: give each [[source]] its authorities with ca");
                }
                ("cookie", Some(_)) => {
                    let note = "cookie: cookie keys are kept in the state folder and begin anew: each client establishes keys once";
                    self.work.note(at, Outcome::Changed, note);
                }
                ("mintls", Some("TLS1.3")) => {
                    self.work.note(at, Outcome::Kept, "mintls: it is always 1.3");
                }
                ("mintls" | "maxtls", Some(_)) => {
                    self.work.note(at, Outcome::Changed, "it is always TLS 1.3");
                }
                ("tlsciphersuites" | "tlsecdhcurves" | "tlscipherserverpreference", Some(_)) => {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        format!("{word}: those of TLS 1.3, none of them weak"),
                    );
                }
                ("aead", Some(_)) => {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "aead: aeads in [nts] says which, 15 always among them",
                    );
                }
                (_, None) => return self.refused(at, ""),
                (other, _) => return self.refused(at, other),
            }
        }
    }

    pub(super) fn finish_key_exchange(&mut self) {
        let KeyExchange { is_on, certificate, key, port } = std::mem::take(&mut self.key_exchange);
        let parts: Vec<At> = [certificate.as_ref(), key.as_ref()]
            .into_iter()
            .flatten()
            .map(|(_, at)| *at)
            .chain(port.map(|(_, at)| at))
            .collect();
        let Some(on) = is_on else {
            for at in parts {
                self.work.note(
                    at,
                    Outcome::Ignored,
                    "`nts enable` is missing, so ntpd establishes no keys",
                );
            }
            return;
        };
        let (Some((certificate, certificate_at)), Some((key, key_at))) = (certificate, key) else {
            self.work.lost(
                on,
                "certificate and key are not both named: write [nts] with certificate and key",
            );
            for at in parts {
                self.work.lost(at, "`nts` names no certificate and key together");
            }
            return;
        };
        self.work.note(on, Outcome::Kept, "[nts]");
        self.work.set(certificate_at, ("nts", "certificate"), certificate, "");
        let note =
            "the file has to belong to root or to the running user, its group may at most read it";
        self.work.set(key_at, ("nts", "key"), key, note);
        if let Some((port, at)) = port {
            let listen = format!("[\"[::]:{port}\", \"0.0.0.0:{port}\"]");
            self.work.set(at, ("nts", "listen"), listen, "");
        }
    }
}
