//! Every socket of the daemon: bound by the launcher before any role starts, kept while roles come and go.
//!
//! Datagrams and connections that arrive while a role is being started again wait in these sockets.
//!
//! A service manager may have bound some of them ([`Passed`]). Those are used for the addresses of the configuration that they
//! are for; one that the configuration has no use for is refused, because nobody would answer who asks there.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use noonmark_config::{SOCKETS_MAX, Settings};
use noonmark_os::passed::{Passed, Transport};
use noonmark_os::tcp;
use noonmark_os::udp;
use noonmark_server::frontend;

use crate::exit::{Failure, Status};
use crate::message::{Listening, Protocol, Text};

/// All sockets of one configuration.
pub struct Sockets {
    ntp: frontend::Sockets,
    /// Octets of datagrams the kernel holds for each UDP socket, the least of them.
    receive_buffer: u32,
    ke: Vec<KeAddress>,
    status: StatusSocket,
}

struct KeAddress {
    wanted: SocketAddr,
    bound: SocketAddr,
    socket: OwnedFd,
}

struct StatusSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl Sockets {
    /// Opens what `settings` ask for. Sockets of `before` that are asked for again are taken over as they are, with what waits
    /// in them; `before` itself is left whole, so nothing is lost if this fails. What `passed` has is not opened.
    ///
    /// # Errors
    /// [`Status::AddressTaken`], [`Status::Permission`], [`Status::AlreadyRunning`] for the status socket,
    /// [`Status::Configuration`] for a passed socket that `settings` do not ask for, or [`Status::System`].
    pub fn open(
        settings: &Settings,
        before: Option<&Self>,
        passed: &[Passed],
    ) -> Result<Self, Failure> {
        let threads = settings.server.threads.or_else(|| std::thread::available_parallelism().ok());
        let threads = threads.map_or(1, usize::from);
        let places = settings.server.listen.len() * settings.server.interfaces.len().max(1);
        if threads.saturating_mul(places) > SOCKETS_MAX {
            let reason = format_args!(
                "{threads} threads, one per core, with {places} sockets each are more than {SOCKETS_MAX}; set \
                 [server] threads, or fewer addresses and devices"
            );
            return Err(Failure::new(Status::Configuration, reason));
        }
        refuse_unwanted(passed, settings, threads)?;
        let old =
            before.map(|before| &before.status).filter(|old| old.path == settings.status.socket);
        // Before any port is tried: that another noonmarkd runs is a better answer than that its port is taken.
        if old.is_none() {
            StatusSocket::refuse_if_answered(&settings.status.socket)?;
        }
        let wanted = frontend::Listening {
            addresses: settings.server.listen.clone(),
            interfaces: settings
                .server
                .interfaces
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            dscp: settings.server.dscp.get(),
            threads,
        };
        let ntp = frontend::Sockets::open_among(&wanted, before.map(|before| &before.ntp), passed)
            .map_err(|error| {
                refused(&error.source, "UDP", error.address, error.interface.as_deref())
            })?;
        let receive_buffer = widen(&ntp, settings.overload.receive_buffer)?;
        let mut ke: Vec<KeAddress> = Vec::new();
        for wanted in settings.nts.iter().flat_map(|nts| &nts.listen) {
            let place = place_among(&ke, |other| other.wanted == *wanted);
            let old = before.and_then(|before| nth(&before.ke, |old| old.wanted == *wanted, place));
            let bound_for_us = passed.iter().find(|one| is_for_ke(one, *wanted));
            ke.push(match bound_for_us {
                Some(passed) => KeAddress::adopt(passed)?,
                None => KeAddress::open(*wanted, old)?,
            });
        }
        let status = StatusSocket::open(&settings.status.socket, old)?;
        Ok(Self { ntp, receive_buffer, ke, status })
    }

    /// The UDP sockets: for the first thread one of each address, then for the second, and so on.
    #[must_use]
    pub fn ntp(&self) -> Vec<BorrowedFd<'_>> {
        self.ntp.descriptors()
    }

    /// The TCP listeners.
    #[must_use]
    pub fn ke(&self) -> Vec<BorrowedFd<'_>> {
        self.ke.iter().map(|address| address.socket.as_fd()).collect()
    }

    /// The Unix listener of the status document.
    #[must_use]
    pub fn status(&self) -> BorrowedFd<'_> {
        self.status.listener.as_fd()
    }

    /// Every address bound, NTP first, in the order of the configuration.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        let ntp = self.ntp.bound().map(|(address, interface)| {
            let interface = Text::new(interface.unwrap_or_default());
            (Protocol::Ntp, address, self.receive_buffer, interface)
        });
        let ke = self.ke.iter().map(|address| (Protocol::Ke, address.bound, 0, Text::default()));
        let all: Vec<_> = ntp.chain(ke).collect();
        let count = u16::try_from(all.len()).unwrap_or(u16::MAX);
        (0..count)
            .zip(all)
            .map(|(index, (protocol, address, receive_buffer, interface))| Listening {
                index,
                count,
                protocol,
                address,
                receive_buffer,
                interface,
            })
            .collect()
    }

    /// Takes the status socket's name away, unless `next` goes on using it.
    pub fn close(self, next: Option<&Self>) {
        if next.is_none_or(|next| next.status.path != self.status.path) {
            // It may have been taken away by somebody else already.
            let _ = std::fs::remove_file(&self.status.path);
        }
    }
}

/// Lets the kernel hold so much for each socket, or what it allows; returns the least of that.
fn widen(sockets: &frontend::Sockets, wanted: u32) -> Result<u32, Failure> {
    let got = sockets.descriptors().into_iter().try_fold(u32::MAX, |least, socket| {
        udp::set_receive_buffer(socket, wanted).map(|got| got.min(least))
    });
    let got = got.map_err(system("SO_RCVBUF"))?;
    if got < wanted {
        tracing::info!(
            octets = got,
            wanted,
            "datagrams wait in less memory than [overload] receive-buffer asks for; it takes CAP_NET_ADMIN at the start, or net.core.rmem_max"
        );
    }
    Ok(got)
}

/// How many like it are there already: configurations may ask for "any free port" twice.
fn place_among<T>(others: &[T], like: impl Fn(&T) -> bool) -> usize {
    others.iter().filter(|other| like(other)).count()
}

fn nth<T>(all: &[T], like: impl Fn(&T) -> bool, place: usize) -> Option<&T> {
    all.iter().filter(|one| like(one)).nth(place)
}

/// Sees to it that somebody answers at every socket that was bound for us.
fn refuse_unwanted(passed: &[Passed], settings: &Settings, threads: usize) -> Result<(), Failure> {
    for one in passed {
        let is_the_same = |other: &&Passed| {
            (other.transport, other.address, &other.interface)
                == (one.transport, one.address, &one.interface)
        };
        let (like_it, most, keys) = match one.transport {
            Transport::Udp => {
                (is_for_ntp(one, settings), threads, "[server] listen and interfaces")
            }
            Transport::Tcp => {
                let mut wanted = settings.nts.iter().flat_map(|nts| &nts.listen);
                (wanted.any(|wanted| is_for_ke(one, *wanted)), 1, "[nts] listen")
            }
        };
        let problem = if !like_it {
            format!("which is not asked for by {keys}, so nobody would answer there")
        } else if passed.iter().filter(is_the_same).count() > most {
            format!(
                "more than {most} times, one for each thread, so nobody would answer at the rest"
            )
        } else {
            continue;
        };
        let reason = format_args!(
            "the service manager passed {one}, {problem}; what it binds (noonmarkd.socket) and the configuration must agree"
        );
        return Err(Failure::new(Status::Configuration, reason));
    }
    Ok(())
}

fn is_for_ntp(passed: &Passed, settings: &Settings) -> bool {
    let server = &settings.server;
    let is_its_device = match &passed.interface {
        None => server.interfaces.is_empty(),
        Some(device) => server.interfaces.iter().any(|name| name.as_str() == device),
    };
    is_its_device && server.listen.contains(&passed.address)
}

fn is_for_ke(passed: &Passed, wanted: SocketAddr) -> bool {
    passed.transport == Transport::Tcp && passed.address == wanted && passed.interface.is_none()
}

impl KeAddress {
    fn adopt(passed: &Passed) -> Result<Self, Failure> {
        let socket = passed.socket.try_clone().map_err(system("descriptors"))?;
        Ok(Self { wanted: passed.address, bound: passed.address, socket })
    }

    fn open(wanted: SocketAddr, old: Option<&Self>) -> Result<Self, Failure> {
        if let Some(old) = old {
            let socket = old.socket.try_clone().map_err(system("descriptors"))?;
            return Ok(Self { wanted, bound: old.bound, socket });
        }
        let socket = tcp::listen(wanted).map_err(|error| refused(&error, "TCP", wanted, None))?;
        let bound = udp::bound_address(&socket).map_err(system("getsockname"))?;
        Ok(Self { wanted, bound, socket })
    }
}

impl StatusSocket {
    fn refuse_if_answered(path: &Path) -> Result<(), Failure> {
        if UnixStream::connect(path).is_err() {
            return Ok(());
        }
        let reason = format_args!("{}: another noonmarkd answers there", path.display());
        Err(Failure::new(Status::AlreadyRunning, reason))
    }

    fn open(path: &Path, old: Option<&Self>) -> Result<Self, Failure> {
        let copy = |listener: &UnixListener| {
            Ok(Self { path: path.to_owned(), listener: listener.try_clone()? })
        };
        if let Some(old) = old {
            return copy(&old.listener).map_err(system("descriptors"));
        }
        let failed = |error: io::Error| {
            let status = if error.kind() == io::ErrorKind::PermissionDenied {
                Status::Permission
            } else {
                Status::System
            };
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let folder = parent.unwrap_or(Path::new(".")).display();
            let advice = match error.kind() {
                io::ErrorKind::NotFound => format!(
                    "; the folder {folder} is not there: make it (`install -d -m 0755 -o USER {folder}`, USER being who runs \
                     noonmarkd; the systemd unit does it with RuntimeDirectory=), or name another place with [status] socket"
                ),
                io::ErrorKind::PermissionDenied => format!(
                    "; who runs noonmarkd must own the folder {folder}, or name another place with [status] socket"
                ),
                _ => String::new(),
            };
            Failure::new(status, format_args!("status socket {}: {error}{advice}", path.display()))
        };
        Self::refuse_if_answered(path)?;
        // What a killed daemon left behind; anything but a socket is somebody else's and stays.
        if std::fs::symlink_metadata(path)
            .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()))
        {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Until here only the owner could connect: no usual mask leaves others the right to write.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener })
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(Status::System, format_args!("{what}: {error}"))
}

/// Names who is likely in the way, or which right is missing.
fn refused(
    error: &io::Error,
    transport: &str,
    address: SocketAddr,
    interface: Option<&str>,
) -> Failure {
    let device = interface.map(|name| format!(" on {name}")).unwrap_or_default();
    let place = format!("{transport} address {address}{device}");
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let who = match (transport, address.port()) {
                ("UDP", 123) => "another time daemon runs on this machine",
                ("UDP", _) => "another program, maybe another time daemon, uses it",
                _ => "another program listens there",
            };
            Failure::new(Status::AddressTaken, format_args!("{place} is taken: {who}"))
        }
        io::ErrorKind::PermissionDenied => Failure::new(
            Status::Permission,
            format_args!(
                "{place}: {error}; a port below 1024 takes root or the capability CAP_NET_BIND_SERVICE, a device \
                 CAP_NET_RAW"
            ),
        ),
        _ => Failure::new(Status::System, format_args!("{place}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, listen: &str, ke: &str, threads: u8) -> Settings {
        let text = format!(
            "[server]\nlisten = [{listen}]\nthreads = {threads}\n\
             [nts]\nlisten = [{ke}]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n\
             [status]\nsocket = \"status.sock\"\n"
        );
        noonmark_config::parse(&text, &folder.join("noonmark.toml"))
            .unwrap_or_else(|report| panic!("{report}"))
    }

    fn open(settings: &Settings, before: Option<&Sockets>) -> Result<Sockets, Failure> {
        Sockets::open(settings, before, &[])
    }

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("noonmark-sockets-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a new name");
        path
    }

    fn addresses(sockets: &Sockets, protocol: Protocol) -> Vec<SocketAddr> {
        let of = |listening: &Listening| listening.protocol == protocol;
        sockets.listening().into_iter().filter(of).map(|listening| listening.address).collect()
    }

    #[test]
    fn addresses_asked_for_again_are_kept_and_others_change() {
        let folder = folder("kept");
        let any = "\"127.0.0.1:0\"";
        let first = open(&settings(&folder, &format!("{any}, {any}"), any, 2), None).expect("free");
        let (ntp, ke) = (addresses(&first, Protocol::Ntp), addresses(&first, Protocol::Ke));
        assert_eq!((ntp.len(), ke.len(), first.ntp().len()), (2, 1, 4));
        assert!(ntp[0] != ntp[1] && ntp.iter().all(|address| address.port() != 0));
        let all = format!("{any}, {any}, {any}");
        let second = open(&settings(&folder, &all, "\"[::1]:0\"", 1), Some(&first)).expect("free");
        assert_eq!(addresses(&second, Protocol::Ntp)[..2], ntp);
        assert_ne!(addresses(&second, Protocol::Ke), ke);
        assert_eq!(second.ntp().len(), 3);
        let path = folder.join("status.sock");
        first.close(Some(&second));
        UnixStream::connect(&path).expect("still there");
        second.close(None);
        assert!(UnixStream::connect(&path).is_err(), "the name is gone");
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    fn passed(transport: Transport, socket: OwnedFd) -> Passed {
        let address = udp::bound_address(&socket).expect("bound");
        Passed { name: "noonmarkd.socket".to_owned(), transport, address, interface: None, socket }
    }

    #[test]
    fn sockets_of_a_service_manager_are_used_also_after_a_reload() {
        let folder = folder("passed");
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("free");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        let all = [passed(Transport::Udp, udp.into()), passed(Transport::Tcp, tcp.into())];
        let [ntp, ke] = [0, 1].map(|one: usize| format!("\"{}\"", all[one].address));
        // Nobody else could bind them again.
        let wanted = settings(&folder, &format!("{ntp}, \"[::1]:0\""), &ke, 2);
        assert_eq!(open(&wanted, None).err().expect("taken").status, Status::AddressTaken);
        let first = Sockets::open(&wanted, None, &all).expect("bound for us");
        assert_eq!(addresses(&first, Protocol::Ntp)[0], all[0].address);
        assert_eq!(addresses(&first, Protocol::Ke), [all[1].address]);
        let more = settings(&folder, &ntp, &ke, 3);
        let second = Sockets::open(&more, Some(&first), &all).expect("kept");
        assert_eq!((second.ntp().len(), second.ke().len()), (3, 1));
        first.close(Some(&second));

        let any = "\"127.0.0.1:0\"";
        let check = |listen: &str, ke: &str, all: &[Passed], expected: &str| {
            let failure = Sockets::open(&settings(&folder, listen, ke, 1), Some(&second), all);
            let failure = failure.err().expect("not what was bound");
            assert_eq!(failure.status, Status::Configuration);
            assert!(failure.reason.contains(expected), "{failure}");
        };
        let (udp, tcp) = (all[0].to_string(), all[1].to_string());
        check(
            any,
            &ke,
            &all,
            &format!("passed {udp}, which is not asked for by [server] listen and interfaces"),
        );
        check(&ntp, any, &all, &format!("passed {tcp}, which is not asked for by [nts] listen"));
        let again = all[0].socket.try_clone().expect("descriptors");
        let [one, other] = all;
        check(&ntp, &ke, &[one, other, passed(Transport::Udp, again)], "more than 1 times");
        second.close(None);
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn free_port_is_the_same_for_both_families_if_it_can_be() {
        let folder = folder("families");
        let both = settings(&folder, "\"127.0.0.1:0\", \"[::1]:0\"", "\"127.0.0.1:0\"", 1);
        let agree = (0..5).any(|_| {
            let sockets = open(&both, None).expect("free");
            let ports =
                addresses(&sockets, Protocol::Ntp).iter().map(SocketAddr::port).collect::<Vec<_>>();
            sockets.close(None);
            ports[0] == ports[1]
        });
        assert!(agree, "somebody took the other family's port five times");
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn taken_addresses_are_named() {
        let (folder, elsewhere) = (folder("taken"), folder("taken-too"));
        let first =
            open(&settings(&folder, "\"127.0.0.1:0\"", "\"127.0.0.1:0\"", 2), None).expect("free");
        let ntp = addresses(&first, Protocol::Ntp)[0];
        let ke = addresses(&first, Protocol::Ke)[0];
        let check = |listen: String, ke: String, expected: String| {
            let wanted = settings(&elsewhere, &listen, &ke, 1);
            let failure = open(&wanted, None).err().expect("taken");
            assert_eq!((failure.status, failure.reason), (Status::AddressTaken, expected));
        };
        check(
            format!("\"{ntp}\""),
            "\"127.0.0.1:0\"".to_owned(),
            format!(
                "UDP address {ntp} is taken: another program, maybe another time daemon, uses it"
            ),
        );
        check(
            "\"127.0.0.1:0\"".to_owned(),
            format!("\"{ke}\""),
            format!("TCP address {ke} is taken: another program listens there"),
        );
        // Whoever answers at the status socket is another noonmarkd, whatever else it has taken.
        let same = settings(&folder, &format!("\"{ntp}\""), "\"127.0.0.1:0\"", 1);
        let failure = open(&same, None).err().expect("the status socket is taken");
        assert_eq!(failure.status, Status::AlreadyRunning);
        std::fs::remove_dir_all(&elsewhere).expect("ours");
        first.close(None);
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn missing_folder_of_the_status_socket_is_said_with_what_to_do() {
        let failure = StatusSocket::open(Path::new("/nonexistent/noonmark/status.sock"), None);
        let reason = failure.err().expect("no folder").reason;
        assert!(reason.contains("the folder /nonexistent/noonmark is not there"), "{reason}");
        assert!(reason.contains("install -d -m 0755"), "{reason}");
    }

    #[test]
    fn leftover_socket_is_replaced_and_a_strangers_file_is_not() {
        let folder = folder("leftover");
        let path = folder.join("status.sock");
        drop(UnixListener::bind(&path).expect("free"));
        let opened = StatusSocket::open(&path, None).expect("nobody answers there");
        assert_eq!(std::fs::metadata(&path).expect("bound").permissions().mode() & 0o777, 0o660);
        drop(opened);
        std::fs::remove_file(&path).expect("ours");
        std::fs::write(&path, b"precious").expect("room");
        assert!(StatusSocket::open(&path, None).is_err());
        assert_eq!(std::fs::read(&path).expect("untouched"), b"precious");
        std::fs::remove_dir_all(&folder).expect("ours");
    }
}
