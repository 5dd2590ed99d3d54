//! The fast path as the launcher holds it: loaded before it gives up the rights for that, told what the configuration says, and gone with it.

use std::os::fd::BorrowedFd;

use noonmark_config::{FastPathMode, InterfaceName, Settings};
use noonmark_os::bpf::Mode;
use noonmark_os::clock::Timescale;
use noonmark_os::devices::devices;
use noonmark_os::random::RandomPool;
use noonmark_server::fast_path::{Bound, Decisions, FastPath, OBJECT, places};

use super::sockets::Sockets;
use crate::exit::{Failure, Status};
use crate::message::{FastClockRead, KernelPath, Message, Protocol, Text};
use crate::ntp;

/// The program in the kernel, or why there is none.
#[derive(Default)]
pub struct Kernel {
    path: Option<FastPath>,
    /// Devices it is attached to.
    devices: Vec<(String, Mode)>,
    /// What was last said of places without room.
    left_out: usize,
    /// Why it is not as configured.
    reason: String,
}

impl Kernel {
    /// Loads and attaches it, if it is wanted. It answers nothing until [`Kernel::take`]. Afterwards no right is needed.
    ///
    /// # Errors
    /// Where it is required, why it cannot be had.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let wanted = &settings.server.fast_path;
        if wanted.mode == FastPathMode::Off || settings.server.listen.is_empty() {
            return Ok(Self::default());
        }
        let mut kernel = Self::default();
        let limit = settings.rate_limit.as_ref().map(ntp::rate_limit);
        let mut pool =
            RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
        let key = [u64::from_ne_bytes(pool.array()), u64::from_ne_bytes(pool.array())];
        let mut path = match FastPath::load(OBJECT, limit.as_ref(), key) {
            Ok(path) => path,
            Err(error) => {
                let status =
                    if error.is_about_rights() { Status::Permission } else { Status::System };
                kernel.cannot(settings, status, &error.to_string())?;
                return Ok(kernel);
            }
        };
        let known = devices().map_err(Failure::while_doing(Status::System, "network devices"))?;
        for name in wanted.interfaces.iter().map(InterfaceName::as_str) {
            let attached = match known.get(name) {
                Some(device) if device.mac.is_some() => path.attach(device.number),
                Some(_) => Err(std::io::Error::other("no Ethernet device")),
                None => Err(std::io::Error::other("there is no such device")),
            };
            match attached {
                Ok(mode) => kernel.devices.push((name.to_owned(), mode)),
                Err(error) => {
                    kernel.cannot(settings, Status::System, &format!("{name}: {error}"))?;
                }
            }
        }
        if !kernel.devices.is_empty() {
            kernel.path = Some(path);
        }
        Ok(kernel)
    }

    /// Notes a reason, which is the end where the fast path is required.
    fn cannot(&mut self, settings: &Settings, status: Status, reason: &str) -> Result<(), Failure> {
        if settings.server.fast_path.mode == FastPathMode::Xdp {
            let reason = format_args!(
                "server.fast-path is \"xdp\", and here it cannot be had: {reason}; \"auto\" goes on without it"
            );
            return Err(Failure::new(status, reason));
        }
        tracing::warn!(reason, "the fast path is not to be had; the sockets answer");
        if !self.reason.is_empty() {
            self.reason.push_str("; ");
        }
        self.reason.push_str(reason);
        Ok(())
    }

    /// Puts a configuration in force, as far as that is possible while running.
    pub fn take(&mut self, settings: &Settings, sockets: &Sockets) {
        let wanted = &settings.server.fast_path;
        let is_wanted = wanted.mode != FastPathMode::Off && !settings.server.listen.is_empty();
        if !is_wanted {
            if self.path.take().is_some() {
                tracing::info!("the fast path is switched off");
            }
            (self.devices, self.reason) = (Vec::new(), String::new());
            return;
        }
        let Some(path) = &mut self.path else {
            if self.reason.is_empty() {
                self.later("it begins with the next start of noonmarkd");
            }
            return;
        };
        let limit = settings.rate_limit.as_ref().map(ntp::rate_limit);
        let decisions = Decisions {
            access: &ntp::access_rules(settings),
            versions: ntp::versions(settings),
            limit: limit.as_ref(),
            dscp: settings.server.dscp.get(),
            interleaved: settings.server.interleaved_clients > 0,
        };
        if let Err(error) = path.decide(&decisions) {
            self.later(&format!("{error}; with the next start of noonmarkd there may be room"));
            return;
        }
        let is_attached = |name: &str| self.devices.iter().any(|(attached, _)| attached == name);
        let missing = wanted.interfaces.iter().find(|name| !is_attached(name.as_str()));
        match missing.filter(|_| self.reason.is_empty()) {
            Some(name) => self.later(&format!("{name}: with the next start of noonmarkd")),
            None if self.devices.len() == wanted.interfaces.len() => self.reason.clear(),
            None => {}
        }
        self.look(settings, sockets);
    }

    fn later(&mut self, reason: &str) {
        tracing::warn!(reason, "the fast path is not as configured; the sockets answer");
        reason.clone_into(&mut self.reason);
    }

    /// Looks for addresses that have come or gone.
    pub fn look(&mut self, settings: &Settings, sockets: &Sockets) {
        let Some(path) = &mut self.path else { return };
        // Without an answer it stays as it was until the next look.
        let Ok(known) = devices() else { return };
        let wanted = &settings.server.fast_path;
        let named: Vec<_> = wanted.interfaces.iter().map(InterfaceName::as_str).collect();
        let listening: Vec<_> =
            sockets.listening().into_iter().filter(|one| one.protocol == Protocol::Ntp).collect();
        let bound: Vec<_> = listening
            .iter()
            .map(|one| {
                let device = Some(one.interface.as_str()).filter(|name| !name.is_empty());
                Bound { address: one.address, device }
            })
            .collect();
        let left_out = path.listen(&places(&known, &named, &wanted.vlans, &bound));
        if left_out > 0 && left_out != self.left_out {
            tracing::warn!(
                left_out,
                "addresses without room in the fast path; the sockets answer there"
            );
        }
        self.left_out = left_out;
    }

    /// What the warden gets: the page of the clock, and which clock it is.
    pub fn clock(&self) -> Option<(Message, BorrowedFd<'_>)> {
        let path = self.path.as_ref()?;
        let message = Message::FastClock(FastClockRead(self.timescale()?));
        Some((message, path.clock().ok()?))
    }

    fn timescale(&self) -> Option<Timescale> {
        self.path.as_ref().map(FastPath::timescale)
    }

    /// What observe gets: how it stands, and the counters.
    pub fn report(&self) -> (Message, Option<BorrowedFd<'_>>) {
        let counters = self.path.as_ref().and_then(|path| path.counters().ok());
        let name = |(name, mode): &(String, Mode)| (Text::new(name), *mode);
        let message = Message::KernelPath(KernelPath {
            lanes: counters.map_or(0, |(_, lanes)| lanes),
            devices: self.devices.iter().map(name).collect(),
            reason: Text::new(&self.reason),
        });
        (message, counters.map(|(fd, _)| fd))
    }
}
