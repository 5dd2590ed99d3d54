//! The certificate and its key: checked before any role sees them, and watched for new ones.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use noonmark_config::{IdentityFiles, Nts};
use noonmark_nts::{CertificateFacts, Identity};
use noonmark_os::private::Fingerprint;
use noonmark_os::sealed;

use crate::exit::{Failure, Status};
use crate::message::Certificate;

/// A certificate chain and key that belong together, sealed for the ke role.
pub struct SealedIdentity {
    /// PEM of the chain.
    pub chain: OwnedFd,
    /// PEM of the key.
    pub key: OwnedFd,
    /// What the chain says of itself.
    pub certificate: Certificate,
}

impl SealedIdentity {
    /// Checks and seals what was read.
    ///
    /// # Errors
    /// [`Status::Certificate`] if it is broken, [`Status::System`] if it cannot be handed on.
    pub fn new(files: &IdentityFiles, nts: &Nts) -> Result<Self, Failure> {
        let refused = |why: &dyn std::fmt::Display| {
            let (chain, key) = (nts.certificate.display(), nts.key.display());
            Failure::new(
                Status::Certificate,
                format_args!("certificate {chain} with key {key}: {why}"),
            )
        };
        let identity =
            Identity::from_pem(&files.certificate, &files.key).map_err(|error| refused(&error))?;
        let certificate =
            certificate(&identity).ok_or_else(|| refused(&"a certificate in it cannot be read"))?;
        let seal = |name, octets| {
            sealed::seal(name, octets)
                .map_err(Failure::while_doing(Status::System, "handing the certificate on"))
        };
        Ok(Self {
            chain: seal(c"noonmark-certificate", &files.certificate)?,
            key: seal(c"noonmark-key", &files.key)?,
            certificate,
        })
    }
}

/// What a chain says of itself: its names and key are those of the server's own certificate, which is the first.
fn certificate(identity: &Identity) -> Option<Certificate> {
    let chain = identity.certificates().map(CertificateFacts::read).collect::<Option<Vec<_>>>()?;
    let own = chain.first()?;
    let all = chain.iter().fold(own.period, |all, one| all.and(one.period));
    let names = own.names.iter().map(String::as_str);
    Some(Certificate::new(names, own.period, all, own.spki_sha256))
}

/// Notices that the files of the identity have changed, and that they have stopped changing.
pub struct Watch {
    certificate: PathBuf,
    key: PathBuf,
    /// The files as they were last judged, good or bad.
    judged: Prints,
    /// How they looked a moment ago.
    last: Prints,
}

type Prints = (Option<Fingerprint>, Option<Fingerprint>);

impl Watch {
    /// Watches the files named by `nts`, which are about to be judged.
    #[must_use]
    pub fn new(nts: &Nts) -> Self {
        let mut watch = Self {
            certificate: nts.certificate.clone(),
            key: nts.key.clone(),
            judged: (None, None),
            last: (None, None),
        };
        watch.judged = watch.prints();
        watch.last = watch.judged;
        watch
    }

    /// Whether there is something new to judge: changed since the last judgement, and the same as at the last look, because
    /// certificate and key are as a rule written one after the other.
    pub fn look(&mut self) -> bool {
        let now = self.prints();
        let settled = now == self.last;
        self.last = now;
        if now == self.judged || !settled {
            return false;
        }
        self.judged = now;
        true
    }

    fn prints(&self) -> Prints {
        (Fingerprint::of(&self.certificate), Fingerprint::of(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn change_is_seen_once_and_only_when_it_has_settled() {
        let folder = std::env::temp_dir().join(format!("noonmark-watch-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a new name");
        let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[nts]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
        let settings = noonmark_config::parse(text, &folder.join("noonmark.toml")).expect("good");
        let write = |name: &str, text: &str| {
            // A new file in its place, as tools that renew certificates do.
            let new = folder.join("new");
            std::fs::write(&new, text).expect("room");
            std::fs::rename(new, folder.join(name)).expect("ours");
        };
        write("c.pem", "one");
        write("k.pem", "one");
        let mut watch = Watch::new(&settings.nts.expect("configured"));
        assert!(!watch.look(), "nothing new");
        write("c.pem", "two");
        assert!(!watch.look(), "may be half of a change");
        write("k.pem", "two");
        assert!(!watch.look(), "still changing");
        assert!(watch.look(), "settled");
        assert!(!watch.look(), "judged");
        std::fs::remove_file(folder.join(Path::new("k.pem"))).expect("ours");
        assert!(!watch.look());
        assert!(watch.look(), "a file that is gone is a change, too");
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}
