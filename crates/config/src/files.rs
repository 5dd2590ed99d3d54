//! Opening what a configuration is made of: the file itself, then the files it names.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use noonmark_os::private::{self, Exposure, Refused, Why};
use zeroize::Zeroizing;

use crate::reading::{self, Places, Reading};
use crate::report::{Found, Report};
use crate::settings::{Nts, Settings};

/// Longest configuration read, in octets; a thousand times what a long one has.
const CONFIGURATION_LIMIT: u64 = 1 << 20;

/// Longest certificate chain or key read, in octets.
pub(crate) const PEM_LIMIT: u64 = 1 << 18;

/// A configuration whose file and whose key files have been read and found in order.
pub struct Loaded {
    /// What it means.
    pub settings: Settings,
    /// The text, for handing to processes that [`parse`](crate::parse) it again.
    pub text: String,
    /// The file as it was named, for the same use.
    pub origin: PathBuf,
    /// The identity of the key establishment server, if there is one.
    pub identity: Option<IdentityFiles>,
    /// Where the text names files.
    pub(crate) places: Places,
}

/// Certificate and key as they were in their files; nothing has looked into them yet.
pub struct IdentityFiles {
    /// The certificate chain's PEM.
    pub certificate: Vec<u8>,
    /// The private key's PEM; wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
}

/// Reads the configuration at `path` and, only once it is understood, the files it names.
///
/// The file and the certificate belong to root or to the running user, and neither group nor
/// others may write them. The key's group may at most read it, and others have no right to it.
///
/// # Errors
/// Everything wrong with the text at once; if nothing is, everything wrong with the files.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let file = path.to_string_lossy().into_owned();
    let octets = private::read(path, Exposure::Public, CONFIGURATION_LIMIT)
        .map_err(|refused| Report::new(&file, "", vec![about_file(&refused.why, None, None)]))?;
    let text = match std::str::from_utf8(&octets) {
        Ok(text) => text.to_owned(),
        Err(error) => return Err(not_text(&file, &octets, error.valid_up_to())),
    };
    let Reading { settings, places } =
        reading::read(&text, folder_of(path)).map_err(|found| Report::new(&file, &text, found))?;
    let identity = settings.nts.as_ref().map(|nts| identity_files(nts, &places));
    let identity = identity.transpose().map_err(|found| Report::new(&file, &text, found))?;
    Ok(Loaded { settings, text, origin: path.to_owned(), identity, places })
}

/// Reads certificate and key anew, as [`load`] did, for instance because the files have changed.
///
/// # Errors
/// Everything wrong with the two files, each under its own name.
pub fn read_identity(nts: &Nts) -> Result<IdentityFiles, Report> {
    identity_files(nts, &Places::default()).map_err(|found| Report::new("[nts]", "", found))
}

/// Where the relative paths of the configuration at `path` start from.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn identity_files(nts: &Nts, places: &Places) -> Result<IdentityFiles, Vec<Found>> {
    let certificate = private::read(&nts.certificate, Exposure::Public, PEM_LIMIT);
    // Group access is how a key is shared with a daemon of its own user; what systemd hands over
    // as a credential looks the same.
    let key = private::read(&nts.key, Exposure::Credential, PEM_LIMIT);
    match (certificate, key) {
        (Ok(certificate), Ok(key)) => Ok(IdentityFiles { certificate: certificate.to_vec(), key }),
        (certificate, key) => {
            let complain = |refused: Refused, name, place: &Option<Range<usize>>| {
                about_file(&refused.why, Some((name, &refused.path)), place.clone())
            };
            let certificate =
                certificate.err().map(|it| complain(it, "nts.certificate", &places.certificate));
            let key = key.err().map(|it| complain(it, "nts.key", &places.key));
            Err(certificate.into_iter().chain(key).collect())
        }
    }
}

/// What is wrong with a file: the configuration itself, or the one that a key names.
pub(crate) fn about_file(
    why: &Why,
    named_by: Option<(&str, &Path)>,
    place: Option<Range<usize>>,
) -> Found {
    let accepted = match why {
        Why::Io(_) => "a file that this user may read",
        Why::NotAFile => "an ordinary file",
        Why::Owner { .. } => "a file that belongs to root or to the running user",
        Why::Mode { exposure: Exposure::Public, .. } => {
            "a file that only its owner may write: chmod go-w"
        }
        Why::Mode { .. } => {
            "a file that its group may at most read and others may not touch: chmod g-wx,o-rwx"
        }
        Why::TooLong { .. } => "a file of the size that its kind has",
    };
    let what: String = match why {
        Why::Io(error) => format!("cannot be read: {error}"),
        Why::NotAFile => "is not an ordinary file".to_owned(),
        Why::Owner { owner, .. } => format!("belongs to user {owner}"),
        Why::Mode { mode, exposure: Exposure::Public } => {
            format!("may be written by others (mode {mode:04o})")
        }
        Why::Mode { mode, .. } => format!("is open to others (mode {mode:04o})"),
        Why::TooLong { len, limit } => format!("has {len} octets, more than {limit}"),
    };
    let message = match named_by {
        Some((key, path)) => format!("{key}: {} {what}", quoted(&path.display())),
        None => format!("the configuration {what}"),
    };
    Found {
        place,
        key: named_by.map(|(key, _)| key.to_owned()),
        message,
        accepted: Some(accepted.to_owned()),
    }
}

pub(crate) fn quoted(path: &dyn Display) -> String {
    format!("{:?}", path.to_string())
}

fn not_text(file: &str, octets: &[u8], at: usize) -> Report {
    // What can be shown is the text up to the broken octet, which ends it.
    let text = String::from_utf8_lossy(octets.get(..at).unwrap_or_default());
    let octet = octets.get(at).copied().unwrap_or_default();
    let found = Found {
        place: Some(text.len()..text.len()),
        key: None,
        message: format!("not TOML: octet 0x{octet:02x} is not UTF-8"),
        accepted: Some("text in UTF-8".to_owned()),
    };
    Report::new(file, &text, vec![found])
}
