//! What a server's certificate says, as commands and their JSON tell it.

use noonmark_nts::{CertificateFacts, ValidityPeriod};
use noonmark_units::UnixTime;
use serde::Serialize;

/// The facts of one X.509 certificate (RFC 5280) as text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CertificateText {
    /// The names it is for: DNS names and addresses of the subject alternative name.
    pub names: Vec<String>,
    /// The subject as a distinguished name; may be empty.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// First instant it is valid, RFC 3339.
    pub not_before: String,
    /// Last instant it is valid, RFC 3339.
    pub not_after: String,
    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal: what a pin is made of.
    pub spki_sha256: String,
    /// The validity, for comparing.
    #[serde(skip)]
    pub(crate) period: ValidityPeriod,
}

impl CertificateText {
    /// Reads a certificate in DER; `None` if it is none, which a verified one cannot be.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let facts = CertificateFacts::read(der)?;
        let rfc3339 = |time: UnixTime| time.to_string().replace(".000000000", "");
        Some(Self {
            spki_sha256: facts.spki_hex(),
            not_before: rfc3339(facts.period.not_before),
            not_after: rfc3339(facts.period.not_after),
            period: facts.period,
            names: facts.names,
            subject: facts.subject,
            issuer: facts.issuer,
        })
    }

    /// Whether it is valid at `time`.
    #[must_use]
    pub fn covers(&self, time: UnixTime) -> bool {
        (self.period.not_before.seconds..=self.period.not_after.seconds).contains(&time.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn the_facts_of_a_certificate_are_told() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["time.example".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2040, 1, 2);
        let certificate = params.self_signed(&key).expect("a certificate");
        let facts = CertificateText::read(certificate.der()).expect("facts");
        assert_eq!(facts.names, ["time.example"]);
        assert_eq!(facts.not_before, "2026-01-02T00:00:00Z");
        assert_eq!(facts.not_after, "2040-01-02T00:00:00Z");
        assert_eq!(facts.spki_sha256.len(), 64);
        assert!(facts.covers(UnixTime { seconds: 1_800_000_000, nanos: 0 }));
        assert!(!facts.covers(UnixTime { seconds: 2_300_000_000, nanos: 0 }));
        assert!(!facts.covers(UnixTime { seconds: 0, nanos: 0 }));
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        assert_eq!(CertificateText::read(b"nonsense"), None);
    }
}
