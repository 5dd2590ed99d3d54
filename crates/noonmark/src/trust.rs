//! Which authorities may vouch for a server.

use std::fmt;
use std::path::{Path, PathBuf};

use noonmark_nts::{ClientTls, TrustRoots, VerificationTime};
use noonmark_os::clock;
use noonmark_units::UnixTime;

/// TLS that trusts the authorities of `file`, or those of the system without one, and judges validity by the machine's clock.
///
/// # Errors
/// [`NoTrust`] if there is nobody to trust.
pub fn tls(file: Option<&Path>) -> Result<ClientTls, NoTrust> {
    let roots = match file {
        Some(file) => from_file(file)?,
        None => from_system(rustls_native_certs::load_native_certs())?,
    };
    Ok(ClientTls::new(roots, MachineClock))
}

/// The machine's clock. The tool is for asking, not for a machine that does not know the year yet.
#[derive(Debug)]
struct MachineClock;

impl VerificationTime for MachineClock {
    fn now(&self) -> Option<UnixTime> {
        Some(clock::realtime())
    }
}

fn from_file(file: &Path) -> Result<TrustRoots, NoTrust> {
    let failed = |reason: String| NoTrust::File { file: file.to_owned(), reason };
    let pem = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let mut roots = TrustRoots::new();
    roots.add_pem(&pem).map_err(|error| failed(error.to_string()))?;
    Ok(roots)
}

fn from_system(found: rustls_native_certs::CertificateResult) -> Result<TrustRoots, NoTrust> {
    let mut roots = TrustRoots::new();
    for certificate in &found.certs {
        // Old stores hold certificates that cannot be used; the others still can.
        let _ = roots.add_der(certificate);
    }
    if roots.is_empty() {
        return Err(NoTrust::System {
            reasons: found.errors.iter().map(ToString::to_string).collect(),
        });
    }
    Ok(roots)
}

/// Nobody is there to vouch for a server.
#[derive(Debug)]
pub enum NoTrust {
    /// A file of authorities that cannot be used.
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no store of authorities.
    System {
        /// What went wrong while looking for it.
        reasons: Vec<String>,
    },
}

impl fmt::Display for NoTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, reason } => {
                write!(f, "no certificate authority can be read from {}: {reason}", file.display())
            }
            Self::System { reasons } => {
                f.write_str(
                    "this system has no store of certificate authorities, so no NTS server can prove who it is: \
                     install the package ca-certificates, or name a file with --ca",
                )?;
                if reasons.is_empty() { Ok(()) } else { write!(f, " ({})", reasons.join("; ")) }
            }
        }
    }
}

impl std::error::Error for NoTrust {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named_with_the_reason() {
        fn check(file: &str, expected: &str) {
            let error = tls(Some(Path::new(file))).err().expect(file).to_string();
            assert!(error.contains(file) && error.contains(expected), "{error}");
        }
        check("/nonexistent/ca.pem", "No such file");
        check("/dev/null", "ertificate");
    }

    #[test]
    fn a_system_without_authorities_is_told_what_to_install() {
        let error = from_system(rustls_native_certs::CertificateResult::default())
            .expect_err("empty")
            .to_string();
        assert!(error.contains("ca-certificates") && error.contains("--ca"), "{error}");
    }
}
