//! The configuration of Noonmark: one TOML file in, checked [`Settings`] out.
//!
//! Start with [`load`], which reads a file and the files it names, or with [`parse`], which looks
//! at a text alone. Both end in [`Settings`], where every value is of a type that cannot be wrong
//! and whose parts fit each other, or in a [`Report`] of everything that is wrong: each mistake
//! with its line, a caret under the place and what would be accepted, for people
//! ([`Report::render`]) and for programs (it serialises).
//!
//! Every table and key is described once, in [`TABLES`]. The reader takes defaults and the wording
//! of what is accepted from there; [`default_file`] and [`manual()`] print the commented default
//! configuration and `docs/configuration.md` from it.
//!
//! What makes a configuration wrong:
//! - text that is not TOML, all of it, as far as the parser can go on;
//! - a table or key that is not described, or is written in the wrong shape;
//! - a value of the wrong type or outside its limits;
//! - values that do not fit each other;
//! - an empty file, which never stands for the defaults;
//! - a file that somebody else may write, or a key that somebody else may read.
//!
//! [`examine`] goes on to what is in the files: whether certificate and key belong together, whether
//! the certificate is in its time, whether authorities can be read, whether the list of leap seconds is one.
//!
//! [`import`] makes a configuration of ours from one of ntpd, NTPsec, chrony or ntpd-rs.
//!
//! Deliberately absent: includes, variables and any second file format of our own; understanding certificates
//! (`noonmark-nts` does); resolving names; and any knowledge of what the settings are used for.

mod certificate;
mod clock;
mod daemon;
mod examination;
mod fast_path;
mod files;
pub mod import;
mod keys;
mod leap_list;
mod manual;
mod overload;
mod reading;
mod report;
mod section;
mod settings;
mod source;
mod spelling;
mod value;

use std::path::Path;

pub use certificate::CertificateText;
pub use clock::{AuthenticationRule, Clock, ClockMode, LeapRule, LeapSmear, Steps};
pub use daemon::{Account, Daemon, Sandbox};
pub use examination::{Examination, examine};
pub use fast_path::{FastPath, FastPathMode};
pub use files::{IdentityFiles, Loaded, load, read_identity};
pub use keys::{Key, TABLES, Table};
pub use leap_list::read_leap_seconds;
pub use manual::{default_file, manual};
pub use overload::{Overload, PRIORITY_MAX};
pub use reading::SOCKETS_MAX;
pub use report::{Problem, Report};
pub use settings::{
    AccessRule, Action, AeadId, Cookies, Dscp, InterfaceName, Local, Log, LogFormat, LogLevel, Nts,
    RateLimit, Server, Settings, State, Status, Versions,
};
pub use source::{AddressFamily, Source, SourceKind};

/// Checks `text` and opens nothing. `origin` is the file it came from: reports name it, and
/// relative paths start from its folder.
///
/// # Errors
/// Everything wrong with the text.
pub fn parse(text: &str, origin: &Path) -> Result<Settings, Report> {
    reading::read(text, files::folder_of(origin))
        .map(|reading| reading.settings)
        .map_err(|found| Report::new(&origin.to_string_lossy(), text, found))
}
