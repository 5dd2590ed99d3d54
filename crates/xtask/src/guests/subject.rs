//! Who keeps a guest's clock: the programs, their settings, and the lines that start them. Both ask the one server there is as often.

use std::path::Path;

use super::image::Image;
use super::truth::{STATUS, Wired};
use crate::peers::Peers;

/// The program that keeps the clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// chronyd from its package.
    Chronyd,
    /// Ours, whole, with all its roles.
    Noonmarkd,
}

/// From one question to the next, log2 s, at least and at most.
#[derive(Clone, Copy, Debug)]
pub struct Polls(pub i8, pub i8);

impl Subject {
    /// What it is called in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chronyd => "chronyd",
            Self::Noonmarkd => "noonmarkd",
        }
    }

    /// A guest's files with it, configured. Only chronyd is one of the `peers`.
    ///
    /// # Errors
    /// What cannot be read, or is missing.
    pub fn image(
        self,
        polls: Polls,
        peers: Option<&Peers>,
        programs: &Path,
    ) -> Result<Image, String> {
        let mut image = Image::new()?;
        let (server, Polls(least, most)) = (Wired::SERVER, polls);
        match self {
            Self::Chronyd => {
                let peers = peers.ok_or("chronyd is not here")?;
                image.peer(peers, Peers::CHRONYD, "peer")?;
                // As packaged, but for the server and what needs a network of servers or a disk.
                let settings = format!(
                    "server {server} iburst minpoll {least} maxpoll {most}\nmakestep 1 3\ncmdport 0\n"
                );
                image.file("peer/etc/chrony.conf", 0o644, settings.into_bytes());
            }
            Self::Noonmarkd => {
                for name in ["noonmarkd", "noonmark"] {
                    image.program(&format!("usr/bin/{name}"), &programs.join(name))?;
                }
                let settings = format!(
                    "[[source]]\nserver = \"{server}\"\nminpoll = {least}\nmaxpoll = {most}\n\
                     [clock]\nclock = \"keep\"\n[state]\nfolder = \"/state\"\n[status]\nsocket = \"{STATUS}\"\n"
                );
                image.file("etc/noonmark.toml", 0o600, settings.into_bytes());
            }
        }
        Ok(image)
    }

    /// Lines of a script that make what it needs, to be said once.
    pub const fn prepare(self) -> &'static str {
        match self {
            Self::Chronyd => {
                "mkdir -p /peer/run /peer/dev /peer/proc
mount -t devtmpfs dev /peer/dev; mount -t proc proc /peer/proc"
            }
            Self::Noonmarkd => "mkdir -p /state; chmod 0700 /state",
        }
    }

    /// The command of a script that is it, until it is ended.
    pub const fn command(self) -> &'static str {
        match self {
            Self::Chronyd => {
                "chroot /peer /peers/chrony/usr/sbin/chronyd -u root -d -f /etc/chrony.conf"
            }
            Self::Noonmarkd => "noonmarkd --config /etc/noonmark.toml",
        }
    }
}
