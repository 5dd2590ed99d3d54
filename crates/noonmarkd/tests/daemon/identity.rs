//! Throw-away certificates.

use std::path::Path;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certification authority that exists for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// PEM of its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes `chain.pem` and `key.pem` for the name localhost into `folder`, each in one step.
    pub fn issue(&self, folder: &Path) {
        self.sign(folder, CertificateParams::new(vec!["localhost".to_owned()]).expect("a name"));
    }

    /// The same with a certificate that is valid from one instant to another.
    pub fn issue_for(&self, folder: &Path, from: SystemTime, to: SystemTime) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (from.into(), to.into());
        self.sign(folder, params);
    }

    fn sign(&self, folder: &Path, params: CertificateParams) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        replace(folder, "key.pem", &key.serialize_pem());
        replace(folder, "chain.pem", &certificate.pem());
    }
}

/// Puts a new file, readable by its owner only, in the place of an old one.
pub fn replace(folder: &Path, name: &str, content: &str) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = folder.join(format!("{name}.new"));
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .expect("a writable folder");
    file.write_all(content.as_bytes()).expect("room");
    std::fs::rename(&new, folder.join(name)).expect("the same folder");
}
