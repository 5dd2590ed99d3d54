//! The configuration on its way from the launcher to the roles.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use noonmark_config::Settings;
use noonmark_os::sealed;

use crate::exit::{Failure, Status};

/// Puts the path the text came from, a zero octet and the text into a sealed file.
///
/// # Errors
/// What the kernel answers.
pub fn seal(origin: &Path, text: &str) -> std::io::Result<OwnedFd> {
    let octets = [origin.as_os_str().as_bytes(), b"\0", text.as_bytes()].concat();
    sealed::seal(c"noonmark-configuration", &octets)
}

/// Reads in a role what the launcher sealed. The launcher has checked it with this same code, so a mistake is its own.
///
/// # Errors
/// [`Status::Internal`] for anything that is not a checked configuration.
pub fn open(file: &OwnedFd) -> Result<Settings, Failure> {
    let broken = |why: &dyn std::fmt::Display| {
        Failure::new(Status::Internal, format_args!("the configuration handed over: {why}"))
    };
    let octets = sealed::read(file.as_fd(), LIMIT).map_err(|error| broken(&error))?;
    let end = octets.iter().position(|octet| *octet == 0).ok_or_else(|| broken(&"no origin"))?;
    let (origin, text) = octets.split_at(end);
    let text = text.get(1..).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|error| broken(&error))?;
    noonmark_config::parse(text, Path::new(OsStr::from_bytes(origin)))
        .map_err(|report| broken(&report))
}

/// The most octets a configuration file may have, and a path.
const LIMIT: usize = (1 << 20) + 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_arrive_as_they_were_understood() {
        let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[state]\nfolder = \"state\"\n";
        let origin = Path::new("/somewhere/noonmark.toml");
        let settings = open(&seal(origin, text).expect("memory")).expect("checked");
        assert_eq!(
            settings.state.folder,
            Path::new("/somewhere/state"),
            "relative to where the file was"
        );
        assert_eq!(settings, noonmark_config::parse(text, origin).expect("good"));
    }

    #[test]
    fn what_is_no_configuration_is_the_launchers_mistake() {
        for octets in [&b""[..], b"/etc/x", b"/etc/x\0", b"/etc/x\0[serve]\n", b"/etc/x\0\xff"] {
            let file = sealed::seal(c"test", octets).expect("memory");
            assert_eq!(open(&file).expect_err("broken").status, Status::Internal, "{octets:?}");
        }
    }
}
