//! What the launcher tells observe about the daemon.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use std::time::Duration;

use noonmark_nts::{Validity, ValidityPeriod};
use noonmark_units::{Mono, UnixTime};

use super::codec::{Reader, Writer};
use super::{MessageError, Text};
use crate::role::Role;

/// How a process is. Body: role (1; 0 is the launcher), phase (1), how it last ended by itself (1: 0 never, 1 status, 2 signal,
/// 3 hung), zero (1), status or signal (4), when it did (12), the same on the monotonic clock in nanoseconds (8), silence in
/// milliseconds (4), process id (4), restarts (4), memory in octets (8), start (12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoleState {
    /// Which; `None` is the launcher itself.
    pub role: Option<Role>,
    /// What it is doing.
    pub phase: Phase,
    /// When and how it last ended without being told to.
    pub last_end: Option<LastEnd>,
    /// For how long it has shown no sign of life; less than a second or two is nothing.
    pub silence: Duration,
    /// Its process id; 0 if there is no process.
    pub pid: u32,
    /// How often it ended by itself and was started again.
    pub restarts: u32,
    /// Physical memory in use.
    pub memory: u64,
    /// How much private memory it may have; 0 if there is no bound.
    pub memory_bound: u64,
    /// When it was last started.
    pub started: UnixTime,
}

/// What a role's process is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Phase {
    /// Not needed by this configuration.
    Off = 0,
    /// Started, and not yet serving.
    Starting = 1,
    /// Serving.
    Ready = 2,
    /// Ended; will be started again after a pause.
    Waiting = 3,
    /// There, but without a sign of life for some seconds: stopped, or caught in something.
    Hung = 4,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Off, Self::Starting, Self::Ready, Self::Waiting, Self::Hung];

    /// Its name in the status document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Hung => "hung",
        }
    }
}

/// The last end of a role that nobody wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastEnd {
    /// In which way.
    pub how: End,
    /// When, by the machine's clock, which may have been set since.
    pub time: UnixTime,
    /// When, on the monotonic clock, by which its age is told.
    pub at: Mono,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// By itself, with this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It hung, and the launcher ended it.
    Hung,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(BAD_CALL) => write!(f, "killed by its sandbox (signal {BAD_CALL})"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Hung => f.write_str("hung"),
        }
    }
}

/// `SIGSYS`, the same number on x86-64 and aarch64: a system call that is not on the process's list.
const BAD_CALL: i32 = 31;

/// An address that is served. Body: index (2), count (2), protocol (1: 1 NTP, 2 NTS-KE), family (1: 4 or 6), port (2), address (16, IPv4
/// in the first 4), scope (4), receive buffer (4), interface (text, may be empty).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listening {
    /// Place in the list; 0 begins a new list.
    pub index: u16,
    /// Length of the list.
    pub count: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The address bound.
    pub address: SocketAddr,
    /// Octets the kernel holds for each of its sockets until they are read; 0 where nobody set it.
    pub receive_buffer: u32,
    /// The device it is bound to; empty if none.
    pub interface: Text,
}

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Protocol {
    /// NTP over UDP.
    Ntp = 1,
    /// NTS key establishment over TCP.
    Ke = 2,
}

impl Protocol {
    /// Its name in the status document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ntp => "ntp",
            Self::Ke => "nts-ke",
        }
    }
}

/// What was last taken and refused of something that can be replaced while running. Body: subject (1: 1 configuration,
/// 2 certificate), refused (1: 0 or 1), zeros (2), generation (4), taken at (12), refused at (12), reason (text, empty if not refused).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// Of what.
    pub subject: Subject,
    /// 1 for what the daemon started with, one more for each taken since; 0 for a certificate when none is in force any more.
    pub generation: u32,
    /// When.
    pub at: UnixTime,
    /// When and why the last attempt since was refused.
    pub refused: Option<(UnixTime, Text)>,
}

/// What the certificate in force says. Body: from and to when it is valid (12, 12), the same for the whole chain (12, 12), SHA-256 of
/// its SubjectPublicKeyInfo (32), number of names (2), each name (text). At most 3072 octets of names, texts' lengths
/// included; what is more is left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// The names it is for.
    pub names: Vec<Text>,
    /// When the server's own certificate is valid.
    pub leaf: ValidityPeriod,
    /// When all certificates of the file are.
    pub chain: ValidityPeriod,
    /// What a pin is made of.
    pub spki_sha256: [u8; 32],
}

/// The most octets that the names of a certificate have in a message.
pub const MOST_NAMES: usize = 3072;

/// Something that can be replaced while running.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Subject {
    /// The configuration file.
    Configuration = 1,
    /// The certificate and its key.
    Certificate = 2,
}

impl RoleState {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let [role, phase, end] = from.array()?;
        from.zeros::<1>()?;
        let role = match role {
            0 => None,
            number => Some(Role::from_number(number).ok_or(MessageError::Value { what: "role" })?),
        };
        let phase = Phase::ALL.into_iter().find(|known| *known as u8 == phase);
        let phase = phase.ok_or(MessageError::Value { what: "phase" })?;
        let how = from.u32()?.cast_signed();
        let (time, at) = (from.time()?, Mono(from.u64()?));
        let last_end = match (end, how) {
            (0, 0) if time == UnixTime::EPOCH && at == Mono(0) => None,
            (1, status) => Some(End::Status(status)),
            (2, signal) => Some(End::Signal(signal)),
            (3, 0) => Some(End::Hung),
            _ => return Err(MessageError::Value { what: "end" }),
        }
        .map(|how| LastEnd { how, time, at });
        let silence = Duration::from_millis(from.u32()?.into());
        let (pid, restarts, memory, started) =
            (from.u32()?, from.u32()?, from.u64()?, from.time()?);
        let memory_bound = from.u64()?;
        Ok(Self { role, phase, last_end, silence, pid, restarts, memory, memory_bound, started })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let (end, how) = match self.last_end.map(|end| end.how) {
            None => (0, 0),
            Some(End::Status(status)) => (1, status),
            Some(End::Signal(signal)) => (2, signal),
            Some(End::Hung) => (3, 0),
        };
        let (time, at) = self.last_end.map_or((UnixTime::EPOCH, Mono(0)), |end| (end.time, end.at));
        to.put(&[self.role.map_or(0, Role::number), self.phase as u8, end, 0]);
        to.u32(how.cast_unsigned());
        to.time(time);
        to.put(&at.0.to_be_bytes());
        to.u32(u32::try_from(self.silence.as_millis()).unwrap_or(u32::MAX));
        to.u32(self.pid);
        to.u32(self.restarts);
        to.put(&self.memory.to_be_bytes());
        to.time(self.started);
        to.put(&self.memory_bound.to_be_bytes());
    }
}

impl Listening {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (index, count) = (from.u16()?, from.u16()?);
        if index >= count {
            return Err(MessageError::Value { what: "index" });
        }
        let [protocol, family] = from.array()?;
        let protocol = match protocol {
            1 => Protocol::Ntp,
            2 => Protocol::Ke,
            _ => return Err(MessageError::Value { what: "protocol" }),
        };
        let port = from.u16()?;
        let octets: [u8; 16] = from.array()?;
        let scope = from.u32()?;
        let address = match (family, octets) {
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) if scope == 0 => {
                SocketAddr::new(IpAddr::from([a, b, c, d]), port)
            }
            (6, octets) => {
                SocketAddr::V6(std::net::SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope))
            }
            _ => return Err(MessageError::Value { what: "address" }),
        };
        let receive_buffer = from.u32()?;
        Ok(Self { index, count, protocol, address, receive_buffer, interface: from.text()? })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.u16(self.index);
        to.u16(self.count);
        let mut octets = [0; 16];
        let (family, scope) = match self.address {
            SocketAddr::V4(address) => {
                if let Some(place) = octets.first_chunk_mut() {
                    *place = address.ip().octets();
                }
                (4, 0)
            }
            SocketAddr::V6(address) => {
                octets = address.ip().octets();
                (6, address.scope_id())
            }
        };
        to.put(&[self.protocol as u8, family]);
        to.u16(self.address.port());
        to.put(&octets);
        to.u32(scope);
        to.u32(self.receive_buffer);
        to.text(&self.interface);
    }
}

impl Taken {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let subject = match from.u8()? {
            1 => Subject::Configuration,
            2 => Subject::Certificate,
            _ => return Err(MessageError::Value { what: "subject" }),
        };
        let refused = from.flag()?;
        from.zeros::<2>()?;
        let (generation, at, refused_at, reason) =
            (from.u32()?, from.time()?, from.time()?, from.text()?);
        if !refused && (refused_at != UnixTime::EPOCH || !reason.as_str().is_empty()) {
            return Err(MessageError::Value { what: "refusal" });
        }
        Ok(Self { subject, generation, at, refused: refused.then_some((refused_at, reason)) })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.put(&[self.subject as u8, u8::from(self.refused.is_some()), 0, 0]);
        to.u32(self.generation);
        to.time(self.at);
        let (at, reason) = self.refused.clone().unwrap_or_default();
        to.time(at);
        to.text(&reason);
    }
}

impl Certificate {
    /// With as many of `names` as fit a message.
    #[must_use]
    pub fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        leaf: ValidityPeriod,
        chain: ValidityPeriod,
        spki_sha256: [u8; 32],
    ) -> Self {
        let mut room = MOST_NAMES;
        let names = names
            .into_iter()
            .map(Text::new)
            .map_while(|name| {
                room = room.checked_sub(2 + name.as_str().len())?;
                Some(name)
            })
            .collect();
        Self { names, leaf, chain, spki_sha256 }
    }

    /// How `now` lies to the time of the server's own certificate or, if nothing is wrong with that, of the whole chain; and that time.
    #[must_use]
    pub fn judge(&self, now: UnixTime) -> (Validity, ValidityPeriod) {
        let (own, all) = (self.leaf.at(now), self.chain.at(now));
        match (own, all) {
            (Validity::Valid, Validity::Valid) => (own, self.leaf),
            (Validity::Valid, _)
            | (Validity::EndsSoon, Validity::Expired | Validity::NotYetValid) => (all, self.chain),
            _ => (own, self.leaf),
        }
    }

    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let leaf = period(from)?;
        let chain = period(from)?;
        let spki_sha256 = from.array()?;
        let count = from.u16()?;
        let (mut names, mut room) = (Vec::new(), MOST_NAMES);
        for _ in 0..count {
            let name = from.text()?;
            let left = room.checked_sub(2 + name.as_str().len());
            room = left.ok_or(MessageError::Value { what: "length of names" })?;
            names.push(name);
        }
        Ok(Self { names, leaf, chain, spki_sha256 })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        for time in
            [self.leaf, self.chain].into_iter().flat_map(|one| [one.not_before, one.not_after])
        {
            to.time(time);
        }
        to.put(&self.spki_sha256);
        to.u16(u16::try_from(self.names.len()).expect("few fit a message"));
        for name in &self.names {
            to.text(name);
        }
    }
}

fn period(from: &mut Reader<'_>) -> Result<ValidityPeriod, MessageError> {
    Ok(ValidityPeriod { not_before: from.time()?, not_after: from.time()? })
}
