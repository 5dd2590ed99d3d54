//! The lines that point clients at a run.

use std::fmt::Write as _;
use std::path::Path;

use super::post::Post;

/// Whose configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Program {
    /// chrony's chronyd.
    Chrony,
    /// NTPsec's ntpd.
    Ntpsec,
    /// ntpd-rs' ntp-daemon.
    NtpdRs,
    /// noonmarkd.
    Noonmark,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chrony, Self::Ntpsec, Self::NtpdRs, Self::Noonmark];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chrony => "chronyd",
            Self::Ntpsec => "ntpd (NTPsec)",
            Self::NtpdRs => "ntp-daemon (ntpd-rs)",
            Self::Noonmark => "noonmarkd",
        }
    }

    /// The file its lines are written to.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Chrony => "prober-chrony.conf",
            Self::Ntpsec => "prober-ntp.conf",
            Self::NtpdRs => "prober-ntp.toml",
            Self::Noonmark => "prober-noonmark.toml",
        }
    }

    /// How it is started so that it sets no clock, for a line beside the others.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Chrony => "start it with -x, which keeps its hands off the clock",
            Self::Ntpsec => "`disable ntp` keeps its hands off the clock",
            Self::NtpdRs => {
                "without the right to set the clock it leaves; run it where the clock does not matter"
            }
            Self::Noonmark => "start it with --dry-run, which keeps its hands off the clock",
        }
    }
}

/// The lines of a configuration that points the program at every post, with the authority in `ca`.
#[must_use]
pub fn lines(program: Program, posts: &[Post], ca: &Path) -> String {
    let ca = ca.display();
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = match program {
        Program::Chrony => writeln!(text, "ntstrustedcerts {ca}\nauthselectmode require"),
        Program::Ntpsec => writeln!(text, "disable ntp"),
        Program::NtpdRs => writeln!(
            text,
            "[synchronization]\nminimum-agreeing-sources = 1\n\n[source-defaults]\npoll-interval-limits = {{ min = 0, max = 4 }}\ninitial-poll-interval = 0"
        ),
        Program::Noonmark => Ok(()),
    };
    for post in posts {
        let host = post.name.clone().unwrap_or_else(|| post.address.to_string());
        let (ke, max) = (post.ke_end().port(), post.script.max_poll);
        let bracketed = if post.name.is_none() && post.address.is_ipv6() {
            format!("[{host}]")
        } else {
            host.clone()
        };
        let _ = match program {
            Program::Chrony => {
                writeln!(text, "server {host} nts ntsport {ke} iburst minpoll 0 maxpoll {max}")
            }
            Program::Ntpsec => {
                writeln!(text, "server {bracketed}:{ke} nts ca {ca} iburst minpoll 0 maxpoll {max}")
            }
            Program::NtpdRs => writeln!(
                text,
                "\n[[source]]\nmode = \"nts\"\naddress = \"{bracketed}:{ke}\"\ncertificate-authority = \"{ca}\""
            ),
            Program::Noonmark => {
                writeln!(
                    text,
                    "[[source]]\nnts = \"{host}\"\nport = {ke}\nca = \"{ca}\"\nminpoll = 0\nmaxpoll = {max}\n"
                )
            }
        };
    }
    text
}
