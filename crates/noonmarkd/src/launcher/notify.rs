//! Telling the service manager how far we are: systemd's notification protocol, which is a datagram on a Unix socket.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use noonmark_units::Mono;

/// The way to the service manager, if one asked to be told (`NOTIFY_SOCKET`).
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Looks whether somebody wants to know.
    #[must_use]
    pub fn from_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").and_then(|name| Self::connect(&name)))
    }

    fn connect(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
        // `@` stands for the zero octet of an abstract name.
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            _ => SocketAddr::from_pathname(name),
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some((socket, address.ok()?))
    }

    /// Everything is bound and every role serves.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read again; [`Notifier::ready`] ends that.
    pub fn reloading(&self, now: Mono) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.0 / 1_000));
    }

    /// The daemon is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// A sentence for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.0 {
            // A service manager that does not listen is no reason to stop serving time.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &OsStr, listener: &UnixDatagram) {
        let notifier = Notifier(Notifier::connect(name));
        notifier.ready("serving\nREADY=0");
        notifier.reloading(Mono(5_000_999));
        let mut buffer = [0; 128];
        let mut next = || {
            let len = listener.recv(&mut buffer).expect("told");
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        assert_eq!(next(), "READY=1\nSTATUS=serving READY=0");
        assert_eq!(next(), "RELOADING=1\nMONOTONIC_USEC=5000");
    }

    #[test]
    fn service_manager_is_told_by_path_and_by_abstract_name() {
        let folder = std::env::temp_dir().join(format!("noonmark-notify-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a new name");
        let path = folder.join("notify");
        check(path.as_os_str(), &UnixDatagram::bind(&path).expect("free"));
        std::fs::remove_dir_all(&folder).expect("ours");
        let name = format!("noonmark-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("short");
        check(OsStr::new(&format!("@{name}")), &UnixDatagram::bind_addr(&address).expect("free"));
    }

    #[test]
    fn nobody_to_tell_is_no_error() {
        Notifier(None).ready("serving");
        Notifier(Notifier::connect(OsStr::new("/nowhere/at/all"))).stopping();
    }
}
