//! A throw-away certificate authority and one server certificate under it.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::netns::{SERVER_V4, SERVER_V6};

/// Server's name that leads to its IPv4 address.
pub const NAME_V4: &str = "v4.noonmark.test";
/// Server's name that leads to its IPv6 address.
pub const NAME_V6: &str = "v6.noonmark.test";

/// The three PEM files every cell needs, as text.
#[derive(Debug)]
pub struct Authority {
    ca: String,
    chain: String,
    key: String,
}

impl Authority {
    /// File with the authority's certificate.
    pub const CA: &str = "ca.pem";
    /// File with the server's certificate.
    pub const CHAIN: &str = "chain.pem";
    /// File with the server's key.
    pub const KEY: &str = "key.pem";

    /// Makes new ones (ECDSA P-256).
    ///
    /// # Errors
    /// What the certificate library says.
    pub fn new() -> Result<Self, String> {
        Self::make().map_err(|e| format!("making certificates: {e}"))
    }

    fn make() -> Result<Self, rcgen::Error> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "Noonmark test authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let mut server = CertificateParams::new(vec![NAME_V4.to_owned(), NAME_V6.to_owned()])?;
        for address in [SERVER_V4, SERVER_V6, "127.0.0.1"] {
            let address = address.parse().expect("the addresses of the namespaces are well formed");
            server.subject_alt_names.push(SanType::IpAddress(address));
        }
        server.distinguished_name.push(DnType::CommonName, NAME_V4);
        server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &ca)?;
        Ok(Self { ca: ca.pem(), chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// The authority's own certificate, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// Writes the three files into a folder; the key is readable by its owner alone.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let files = [
            (Self::CA, &self.ca, 0o644),
            (Self::CHAIN, &self.chain, 0o644),
            (Self::KEY, &self.key, 0o600),
        ];
        for (name, text, mode) in files {
            let path = folder.join(name);
            fs::write(&path, text)
                .and_then(|()| {
                    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
                })
                .map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(())
    }
}
