//! Everything a query learned, before it is put into words.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use noonmark_client::{
    Established, EstablishmentError, Event, Exchange, GiveUp, KeFailure, Refusal, Unresolved,
    Unusable,
};
use noonmark_packet::KissCode;

use crate::Verdict;
use crate::trust::NoTrust;
use noonmark_config::CertificateText;

/// What a query learned.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) server: Option<SocketAddr>,
    pub(super) established: Option<Established>,
    pub(super) certificate: Option<CertificateText>,
    pub(super) cookies_left: Option<usize>,
    /// Answers that passed every check.
    pub(super) samples: Vec<Exchange>,
    /// The last answer whose time is not to be used.
    pub(super) unusable: Option<(Unusable, Exchange)>,
    /// Datagrams dropped: how many for each reason, and the last one in words.
    pub(super) refused: BTreeMap<&'static str, (u32, String)>,
    pub(super) kisses: Vec<(KissCode, bool)>,
    pub(super) unanswered: u32,
    /// Questions for which something came, and nothing that could be used.
    pub(super) dropped: u32,
    /// What the network said when it refused a question.
    pub(super) unreachable: Option<String>,
    pub(super) failure: Option<Failure>,
    /// Somebody wanted an end before the plan was carried out.
    pub(super) interrupted: bool,
}

/// What ended a query before its plan was carried out.
#[derive(Debug)]
pub(super) enum Failure {
    Unresolved(Unresolved),
    NoRoute,
    Trust(NoTrust),
    NotEstablished(EstablishmentError),
    GaveUp(GiveUp),
    /// Something about this machine, not about the server.
    Machine(String),
}

impl Findings {
    pub(super) fn failed(mut self, failure: Failure) -> Self {
        self.failure = Some(failure);
        self
    }

    /// Takes note of what the client tells.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Established(established) => {
                self.certificate =
                    established.certificates.first().and_then(|der| CertificateText::read(der));
                self.established = Some(established);
            }
            Event::Measured(exchange) => self.samples.push(exchange),
            Event::Refused(refusal) => {
                if let Refusal::Unusable { why, exchange } = refusal {
                    self.unusable = Some((why, exchange));
                }
                let entry = self.refused.entry(refusal.name()).or_default();
                *entry = (entry.0.saturating_add(1), refusal.to_string());
            }
            Event::Kiss { code, authenticated } => {
                if self.kisses.len() < MAX_KISSES {
                    self.kisses.push((code, authenticated));
                }
            }
            Event::Unanswered => self.unanswered += 1,
            Event::Dropped(_) => self.dropped += 1,
            Event::Unreachable(error) => self.unreachable = Some(error.to_string()),
            Event::NotEstablished(error) => self.failure = Some(Failure::NotEstablished(error)),
            Event::GaveUp(reason) => {
                // The error of key establishment says more than that it failed.
                if self.failure.is_none() {
                    self.failure = Some(Failure::GaveUp(reason));
                }
            }
        }
    }

    /// Whether the server asked for less, or for nothing at all.
    pub(super) fn must_be_quiet(&self) -> bool {
        self.kisses
            .iter()
            .any(|(code, _)| matches!(*code, KissCode::RATE | KissCode::DENY | KissCode::RSTR))
    }

    /// The sample to believe: the one with the least delay had the least room for error.
    pub(super) fn best(&self) -> Option<&Exchange> {
        self.samples.iter().min_by_key(|sample| sample.delay())
    }

    /// Whether the time answered lies outside the certificate's validity, so that one of the two is wrong (RFC 8915 §8.5).
    pub(super) fn is_outside_validity(&self) -> bool {
        let (Some(certificate), Some(best)) = (&self.certificate, self.best()) else {
            return false;
        };
        !certificate.covers(best.transmit.unix_near(noonmark_os::clock::realtime()))
    }

    /// Whether something came that did not prove its origin although it should have, or the server refused our proof.
    fn has_refused_authentication(&self) -> bool {
        self.refused.contains_key("not-authenticated")
            || self.kisses.iter().any(|(code, _)| *code == KissCode::NTSN)
    }

    pub(super) fn verdict(&self) -> Verdict {
        match &self.failure {
            Some(failure) => failure.verdict(),
            None if self.is_outside_validity() => Verdict::Unknown,
            None if !self.samples.is_empty() => {
                if self.unanswered + self.dropped == 0 && !self.has_refused_authentication() {
                    Verdict::Good
                } else {
                    Verdict::Warning
                }
            }
            None if self.has_refused_authentication() => Verdict::Unknown,
            None if self.unusable.is_some() => Verdict::Warning,
            None => Verdict::Critical,
        }
    }

    /// What went wrong, if nothing good can be said.
    pub(super) fn error(&self, host: &str) -> Option<String> {
        if let Some(failure) = &self.failure {
            return Some(failure.to_string());
        }
        if self.is_outside_validity() {
            return Some(
                "the time answered lies outside the validity of the server's certificate"
                    .to_owned(),
            );
        }
        if !self.samples.is_empty() {
            return None;
        }
        let server = self.server.map_or_else(|| host.to_owned(), |server| server.to_string());
        if let Some((_, reason)) = self.refused.get("not-authenticated") {
            return Some(format!("no answer from {server} could be authenticated: {reason}"));
        }
        if let Some((code, authenticated)) = self.kisses.first() {
            let proof = if *authenticated { "authenticated" } else { "not authenticated" };
            return Some(format!(
                "{server} does not answer but sends the kiss code {code} ({proof})"
            ));
        }
        if let Some((why, _)) = &self.unusable {
            return Some(format!("the answer is not to be used: {why}"));
        }
        if self.interrupted && self.unanswered == 0 && self.refused.is_empty() {
            return Some("interrupted before an answer came".to_owned());
        }
        let detail =
            self.unreachable.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
        let dropped =
            self.refused.values().next().map(|(_, reason)| format!("; what came was {reason}"));
        Some(format!("no answer from {server}{detail}{}", dropped.unwrap_or_default()))
    }
}

impl Failure {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Unresolved(_) | Self::NoRoute | Self::Machine(_) => Verdict::Critical,
            Self::Trust(_) => Verdict::Unknown,
            Self::NotEstablished(error) => of_key_establishment(error.failure()),
            Self::GaveUp(GiveUp::KeyEstablishment(failure)) => of_key_establishment(*failure),
            Self::GaveUp(GiveUp::CookiesRefused) => Verdict::Unknown,
            Self::GaveUp(GiveUp::Denied(_)) => Verdict::Critical,
        }
    }
}

fn of_key_establishment(failure: KeFailure) -> Verdict {
    match failure {
        KeFailure::Unreachable => Verdict::Critical,
        KeFailure::Untrusted | KeFailure::Refused { .. } | KeFailure::Unacceptable => {
            Verdict::Unknown
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unresolved(error) => error.fmt(f),
            Self::NoRoute => f.write_str("this machine has no route to any address of the server"),
            Self::Trust(error) => error.fmt(f),
            Self::NotEstablished(error) => {
                let said = error.to_string();
                f.write_str(&said)?;
                // The one name of TLS's that says who is missing, not what is wrong.
                let unknown =
                    error.failure() == KeFailure::Untrusted && said.contains("UnknownIssuer");
                f.write_str(if unknown {
                    "; --ca names a file with the authority to trust"
                } else {
                    ""
                })
            }
            Self::GaveUp(reason) => reason.fmt(f),
            Self::Machine(reason) => f.write_str(reason),
        }
    }
}

impl From<Unresolved> for Failure {
    fn from(error: Unresolved) -> Self {
        Self::Unresolved(error)
    }
}

impl From<NoTrust> for Failure {
    fn from(error: NoTrust) -> Self {
        Self::Trust(error)
    }
}

/// No honest server sends more in one query.
const MAX_KISSES: usize = 16;
