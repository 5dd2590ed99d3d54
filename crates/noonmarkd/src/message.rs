//! What the launcher and the roles say to each other: fixed layouts, versioned, bounded.
//!
//! Every message is one packet of at most [`LONGEST`] octets on a `SOCK_SEQPACKET` pair, with the descriptors its kind calls for:
//!
//! | octets | what |
//! |---|---|
//! | 0..2 | `"NM"` |
//! | 2 | version of all layouts, 1 |
//! | 3 | kind |
//! | 4..8 | length of the body |
//! | 8… | body, laid out as said at each kind |
//!
//! Numbers are big-endian. A text is its length (2) and UTF-8 without control characters, at most [`LONGEST_TEXT`] octets.
//! An instant is Unix seconds (8, signed) and nanoseconds (4). What is longer, shorter, unknown or out of range is an error:
//! both sides are the same executable, so a message that cannot be read shows a broken role, not a newer one.

use std::fmt;
use std::ops::RangeInclusive;

use noonmark_os::pair::MOST_DESCRIPTORS;
use noonmark_units::UnixTime;
use zeroize::Zeroizing;

use crate::exit::Status;
use crate::role::Role;

mod clock;
pub(crate) mod codec;
mod confined;
mod fast_path;
mod happening;
mod keys;
mod leap;
mod report;

pub use clock::{Answer, Standing, Welcome, Wish};
use codec::{Reader, Writer};
pub use confined::{Confined, Part, Parts};
pub use fast_path::{FastClockRead, KernelPath};
pub use happening::{Event, Happening};
pub use keys::{Epochs, KeySet, MOST_KEYS};
pub use leap::PlannedLeap;
pub use report::{
    Certificate, End, LastEnd, Listening, Phase, Protocol, RoleState, Subject, Taken,
};

/// One message. Which process may send which is said at each kind, and checked by [`Message::may_be_sent_by`].
pub enum Message {
    /// Kind 1, launcher to all: the configuration, first of all, and to sources again whenever it changes. One descriptor: a sealed file
    /// with the origin's path, a zero octet and the checked text. Body: generation (4), purpose (1: 0 to serve, 1 to set the clock once), zeros (3), run (16).
    Configure {
        /// 1 for the configuration of the start, one more for each taken since.
        generation: u32,
        /// What the daemon was started for.
        purpose: Purpose,
        /// The same as long as the launcher lives, and no other launcher's.
        run: [u8; 16],
    },
    /// Kind 2, launcher to ntp, ke and observe: sockets that are bound already. One to 16 descriptors.
    /// Body: index of the first (2), number of all sockets the role gets (2).
    Sockets {
        /// Place of the first descriptor among all sockets of the role.
        first: u16,
        /// How many there are in all; once that many have come, the role has what it needs.
        count: u16,
    },
    /// Kind 3, launcher to ke: certificate chain and key. Two descriptors: sealed files of PEM. Body: generation (4).
    Identity {
        /// 1 for the first, one more for each taken since.
        generation: u32,
    },
    /// Kind 4, warden to launcher, launcher to ntp and ke: all cookie keys that are good now.
    /// Body: see [`KeySet`].
    CookieKeys(KeySet),
    /// Kind 5, warden to launcher, launcher to ntp and observe: the page with the state of the clock. One descriptor. No body.
    ClockPage,
    /// Kind 6, ntp and ke to launcher, launcher to observe: a role's counters. One descriptor. Body: role (1), zeros (3).
    CounterPage {
        /// Whose they are.
        role: Role,
    },
    /// Kind 7, launcher to all: finish what is under way and leave. No body.
    Stop,
    /// Kind 8, all to launcher: the role serves. Body: generation of its configuration (4).
    Ready {
        /// As it was told.
        generation: u32,
    },
    /// Kind 9, all to launcher: the role cannot go on and ends. Body: exit status (1), zero (1), reason (text).
    Failed {
        /// The status it ends with.
        status: Status,
        /// Why.
        reason: Text,
    },
    /// Kind 10, ke to launcher: an identity was not taken; the one before goes on serving. Body: generation (4), reason (text).
    IdentityRefused {
        /// The generation refused.
        generation: u32,
        /// Why.
        reason: Text,
    },
    /// Kind 11, launcher to observe: how a process is. Body: see [`RoleState`].
    RoleState(RoleState),
    /// Kind 12, launcher to ke and observe: an address that is served. Body: see [`Listening`].
    Listening(Listening),
    /// Kind 13, launcher to observe: what was last taken and refused. Body: see [`Taken`].
    Taken(Taken),
    /// Kind 14, launcher to observe: where the ratchet of cookie keys stands, without the keys. Body: current epoch (4),
    /// oldest epoch (4), end of the current one (12).
    Epochs(Epochs),
    /// Kind 15, launcher to observe: about the daemon as a whole. Body: its start (12), all roles ready (1), zero (1),
    /// configuration file (text).
    Daemon {
        /// When it started.
        started: UnixTime,
        /// Whether every role needed has been ready and is not waiting to be started again.
        ready: bool,
        /// Path of the configuration file.
        file: Text,
    },
    /// Kind 16, all to launcher: the page in which the role's threads show that they turn. One descriptor. No body.
    Pulse,
    /// Kind 17, launcher to observe: what the certificate in force says. Body: see [`Certificate`].
    Certificate(Certificate),
    /// Kind 18, launcher to warden and sources: the end of a pair whose other end the other one has, in place of any before. One
    /// descriptor. No body.
    Partner,
    /// Kind 19, sources to launcher, launcher to observe: the page that says where each source and the clock stand. One descriptor. No body.
    SourcesPage,
    /// Kind 20, warden to sources: how the clock runs. Body: see [`Welcome`].
    Welcome(Welcome),
    /// Kind 21, sources to warden: something is to be done to the clock. Body: see [`Wish`].
    Wish(Wish),
    /// Kind 22, warden to sources: what became of it. Body: see [`Answer`].
    Answer(Answer),
    /// Kind 23, sources to warden: where the clock stands. Body: see [`Standing`].
    Standing(Standing),
    /// Kind 24, sources to warden when it leaves, warden to sources when it begins: NTS keys and unspent cookies. One descriptor: a sealed
    /// file. No body.
    ClientKeys,
    /// Kind 26, warden to launcher, launcher to observe and, right after its configuration, to the next warden: the page in which it notes
    /// what is known of the clock. One descriptor; none for a warden without a predecessor. No body.
    Bequest,
    /// Kind 27, warden to sources: the leap second at the end of this day. Body: see [`PlannedLeap`].
    Leap(PlannedLeap),
    /// Kind 28, all to launcher, launcher to observe: what a role has given up. Body: see [`Confined`].
    Confined {
        /// Which role.
        role: Role,
        /// What it has given up.
        confined: Confined,
    },
    /// Kind 29, launcher to sources, after its first configuration and before every other: whom key establishment trusts. One descriptor: a
    /// sealed file. No body.
    Authorities,
    /// Kind 30, sources to launcher: start this role anew, because what it may read is no longer what the resolver reads. No body.
    Renew,
    /// Kind 31, warden to launcher, launcher to observe: the machine or its clock is not what it was. Body: see [`Happening`].
    Happened(Happening),
    /// Kind 32, launcher to warden, right after its configuration: the kernel's log from the launcher's start on, if it is of use and may be
    /// read. One descriptor. No body.
    KernelLog,
    /// Kind 33, launcher to warden: the page of the clock that a program in the kernel answers from. One descriptor. Body: see [`FastClockRead`].
    FastClock(FastClockRead),
    /// Kind 34, launcher to observe: whether plain requests are answered in the kernel. One descriptor, the counters, if they are. Body: see
    /// [`KernelPath`].
    KernelPath(KernelPath),
    /// Kind 25, sources to launcher, where the purpose is to set the clock once: it is done. No body.
    Done,
}

/// What a daemon was started for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// To do what the configuration says until it is stopped.
    Serve,
    /// To set the clock once and end.
    SetOnce,
}

/// At most [`LONGEST_TEXT`] octets of UTF-8 without control characters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Text(String);

impl Text {
    /// `text` with control characters replaced by spaces, cut where it is too long.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len().min(LONGEST_TEXT));
        for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
            if kept.len() + letter.len_utf8() > LONGEST_TEXT {
                break;
            }
            kept.push(letter);
        }
        Self(kept)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The longest message.
pub const LONGEST: usize = 4096;
/// The longest text in a message.
pub const LONGEST_TEXT: usize = 1024;

const MAGIC: [u8; 2] = *b"NM";
const VERSION: u8 = 1;
const HEAD_LEN: usize = 8;

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`MessageError`] for anything [`Message::to_octets`] would not have written.
    pub fn parse(octets: &[u8]) -> Result<Self, MessageError> {
        if octets.len() > LONGEST {
            return Err(MessageError::Length { len: octets.len() });
        }
        let mut reader = Reader(octets);
        if reader.array()? != MAGIC {
            return Err(MessageError::Magic);
        }
        let [version, kind] = reader.array()?;
        if version != VERSION {
            return Err(MessageError::Version { found: version });
        }
        if reader.u32()? as usize != reader.0.len() {
            return Err(MessageError::Length { len: octets.len() });
        }
        let message = Self::parse_body(kind, &mut reader)?;
        if reader.0.is_empty() {
            Ok(message)
        } else {
            Err(MessageError::Length { len: octets.len() })
        }
    }

    /// The octets of the message; wiped when dropped, because some are keys.
    #[must_use]
    pub fn to_octets(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer(Zeroizing::new(Vec::with_capacity(LONGEST)));
        writer.put(&MAGIC);
        writer.put(&[VERSION, self.kind(), 0, 0, 0, 0]);
        self.write_body(&mut writer);
        let len = u32::try_from(writer.0.len() - HEAD_LEN).expect("every kind is bounded");
        if let Some(place) = writer.0.get_mut(4..HEAD_LEN) {
            place.copy_from_slice(&len.to_be_bytes());
        }
        writer.0
    }

    /// How many descriptors come with the message.
    #[must_use]
    pub fn descriptors(&self) -> RangeInclusive<usize> {
        match self {
            Self::Configure { .. }
            | Self::ClockPage
            | Self::CounterPage { .. }
            | Self::Pulse
            | Self::Partner
            | Self::SourcesPage
            | Self::Authorities
            | Self::KernelLog
            | Self::ClientKeys => 1..=1,
            Self::Identity { .. } => 2..=2,
            Self::Sockets { .. } => 1..=MOST_DESCRIPTORS,
            Self::FastClock(_) => 1..=1,
            Self::Bequest | Self::KernelPath(_) => 0..=1,
            Self::CookieKeys(_)
            | Self::Stop
            | Self::Ready { .. }
            | Self::Failed { .. }
            | Self::IdentityRefused { .. }
            | Self::RoleState(_)
            | Self::Listening(_)
            | Self::Taken(_)
            | Self::Epochs(_)
            | Self::Certificate(_)
            | Self::Daemon { .. }
            | Self::Welcome(_)
            | Self::Wish(_)
            | Self::Answer(_)
            | Self::Standing(_)
            | Self::Leap(_)
            | Self::Confined { .. }
            | Self::Happened(_)
            | Self::Renew
            | Self::Done => 0..=0,
        }
    }

    /// Whether `role` is one of those that may send this kind to the launcher. Counters must be its own.
    #[must_use]
    pub fn may_be_sent_by(&self, role: Role) -> bool {
        match self {
            Self::Ready { .. } | Self::Failed { .. } | Self::Pulse => true,
            Self::CookieKeys(_) | Self::ClockPage | Self::Bequest | Self::Happened(_) => {
                role == Role::Warden
            }
            Self::CounterPage { role: owner } => {
                *owner == role && matches!(role, Role::Ntp | Role::Ke)
            }
            Self::IdentityRefused { .. } => role == Role::Ke,
            Self::SourcesPage | Self::Done | Self::Renew => role == Role::Sources,
            Self::Confined { role: owner, .. } => *owner == role,
            _ => false,
        }
    }

    /// Whether `role`, warden or sources, may send this kind to the other one of the two.
    #[must_use]
    pub fn may_be_sent_to_partner_by(&self, role: Role) -> bool {
        match self {
            Self::Welcome(_) | Self::Answer(_) | Self::Leap(_) => role == Role::Warden,
            Self::Wish(_) | Self::Standing(_) => role == Role::Sources,
            Self::ClientKeys => matches!(role, Role::Warden | Role::Sources),
            _ => false,
        }
    }

    /// Whether the launcher may send this kind to `role`.
    #[must_use]
    pub fn may_be_sent_to(&self, role: Role) -> bool {
        match self {
            Self::Configure { .. } | Self::Stop => true,
            Self::Sockets { .. } => !matches!(role, Role::Warden | Role::Sources),
            Self::Partner => matches!(role, Role::Warden | Role::Sources),
            Self::KernelLog | Self::FastClock(_) => role == Role::Warden,
            Self::Identity { .. } => role == Role::Ke,
            Self::CookieKeys(_) => matches!(role, Role::Ntp | Role::Ke),
            Self::ClockPage => matches!(role, Role::Ntp | Role::Observe),
            Self::Bequest => matches!(role, Role::Warden | Role::Observe),
            Self::CounterPage { .. }
            | Self::RoleState(_)
            | Self::Taken(_)
            | Self::Epochs(_)
            | Self::Certificate(_)
            | Self::SourcesPage
            | Self::Confined { .. }
            | Self::Happened(_)
            | Self::KernelPath(_)
            | Self::Daemon { .. } => role == Role::Observe,
            Self::Authorities => role == Role::Sources,
            Self::Listening(_) => matches!(role, Role::Ke | Role::Observe),
            Self::Ready { .. }
            | Self::Failed { .. }
            | Self::IdentityRefused { .. }
            | Self::Welcome(_)
            | Self::Wish(_)
            | Self::Answer(_)
            | Self::Standing(_)
            | Self::Leap(_)
            | Self::ClientKeys
            | Self::Done
            | Self::Renew
            | Self::Pulse => false,
        }
    }

    /// The kind's name, for reports about a message that should not have come.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Configure { .. } => "configure",
            Self::Sockets { .. } => "sockets",
            Self::Identity { .. } => "identity",
            Self::CookieKeys(_) => "cookie-keys",
            Self::ClockPage => "clock-page",
            Self::CounterPage { .. } => "counter-page",
            Self::Stop => "stop",
            Self::Ready { .. } => "ready",
            Self::Failed { .. } => "failed",
            Self::IdentityRefused { .. } => "identity-refused",
            Self::RoleState(_) => "role-state",
            Self::Listening(_) => "listening",
            Self::Taken(_) => "taken",
            Self::Epochs(_) => "epochs",
            Self::Daemon { .. } => "daemon",
            Self::Pulse => "pulse",
            Self::Certificate(_) => "certificate",
            Self::Partner => "partner",
            Self::SourcesPage => "sources-page",
            Self::Welcome(_) => "welcome",
            Self::Wish(_) => "wish",
            Self::Answer(_) => "answer",
            Self::Standing(_) => "standing",
            Self::ClientKeys => "client-keys",
            Self::Done => "done",
            Self::Confined { .. } => "confined",
            Self::Authorities => "authorities",
            Self::Renew => "renew",
            Self::Leap(_) => "leap",
            Self::Bequest => "bequest",
            Self::Happened(_) => "happened",
            Self::KernelLog => "kernel-log",
            Self::FastClock(_) => "fast-clock",
            Self::KernelPath(_) => "kernel-path",
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Configure { .. } => 1,
            Self::Sockets { .. } => 2,
            Self::Identity { .. } => 3,
            Self::CookieKeys(_) => 4,
            Self::ClockPage => 5,
            Self::CounterPage { .. } => 6,
            Self::Stop => 7,
            Self::Ready { .. } => 8,
            Self::Failed { .. } => 9,
            Self::IdentityRefused { .. } => 10,
            Self::RoleState(_) => 11,
            Self::Listening(_) => 12,
            Self::Taken(_) => 13,
            Self::Epochs(_) => 14,
            Self::Daemon { .. } => 15,
            Self::Pulse => 16,
            Self::Certificate(_) => 17,
            Self::Partner => 18,
            Self::SourcesPage => 19,
            Self::Welcome(_) => 20,
            Self::Wish(_) => 21,
            Self::Answer(_) => 22,
            Self::Standing(_) => 23,
            Self::ClientKeys => 24,
            Self::Done => 25,
            Self::Confined { .. } => 28,
            Self::Authorities => 29,
            Self::Renew => 30,
            Self::Happened(_) => 31,
            Self::KernelLog => 32,
            Self::FastClock(_) => 33,
            Self::KernelPath(_) => 34,
            Self::Leap(_) => 27,
            Self::Bequest => 26,
        }
    }

    fn parse_body(kind: u8, from: &mut Reader<'_>) -> Result<Self, MessageError> {
        Ok(match kind {
            1 => {
                let (generation, purpose) = (from.u32()?, from.u8()?);
                from.zeros::<3>()?;
                let purpose = match purpose {
                    0 => Purpose::Serve,
                    1 => Purpose::SetOnce,
                    _ => return Err(MessageError::Value { what: "purpose" }),
                };
                Self::Configure { generation, purpose, run: from.array()? }
            }
            2 => {
                let (first, count) = (from.u16()?, from.u16()?);
                if first >= count {
                    return Err(MessageError::Value { what: "index" });
                }
                Self::Sockets { first, count }
            }
            3 => Self::Identity { generation: from.u32()? },
            4 => Self::CookieKeys(KeySet::parse(from)?),
            5 => Self::ClockPage,
            6 => {
                let role = from.role()?;
                from.zeros::<3>()?;
                Self::CounterPage { role }
            }
            7 => Self::Stop,
            8 => Self::Ready { generation: from.u32()? },
            9 => {
                let number = from.u8()?;
                from.zeros::<1>()?;
                let status = Status::from_number(number);
                if status.number() != number {
                    return Err(MessageError::Value { what: "exit status" });
                }
                Self::Failed { status, reason: from.text()? }
            }
            10 => Self::IdentityRefused { generation: from.u32()?, reason: from.text()? },
            11 => Self::RoleState(RoleState::parse(from)?),
            12 => Self::Listening(Listening::parse(from)?),
            13 => Self::Taken(Taken::parse(from)?),
            14 => Self::Epochs(Epochs {
                current: from.u32()?,
                oldest: from.u32()?,
                next_turn: from.time()?,
            }),
            15 => {
                let (started, ready) = (from.time()?, from.flag()?);
                from.zeros::<1>()?;
                Self::Daemon { started, ready, file: from.text()? }
            }
            16 => Self::Pulse,
            17 => Self::Certificate(Certificate::parse(from)?),
            18 => Self::Partner,
            19 => Self::SourcesPage,
            20 => Self::Welcome(Welcome::parse(from)?),
            21 => Self::Wish(Wish::parse(from)?),
            22 => Self::Answer(Answer::parse(from)?),
            23 => Self::Standing(Standing::parse(from)?),
            24 => Self::ClientKeys,
            25 => Self::Done,
            28 => {
                let role = from.role()?;
                from.zeros::<1>()?;
                Self::Confined { role, confined: Confined::parse(from)? }
            }
            29 => Self::Authorities,
            30 => Self::Renew,
            31 => Self::Happened(Happening::parse(from)?),
            32 => Self::KernelLog,
            33 => Self::FastClock(FastClockRead::parse(from)?),
            34 => Self::KernelPath(KernelPath::parse(from)?),
            27 => Self::Leap(PlannedLeap::parse(from)?),
            26 => Self::Bequest,
            found => return Err(MessageError::Kind { found }),
        })
    }

    fn write_body(&self, to: &mut Writer) {
        match self {
            Self::Configure { generation, purpose, run } => {
                to.u32(*generation);
                to.put(&[u8::from(*purpose == Purpose::SetOnce), 0, 0, 0]);
                to.put(run);
            }
            Self::Identity { generation } | Self::Ready { generation } => {
                to.u32(*generation);
            }
            Self::Sockets { first, count } => {
                to.u16(*first);
                to.u16(*count);
            }
            Self::CookieKeys(keys) => keys.write(to),
            Self::ClockPage
            | Self::Stop
            | Self::Authorities
            | Self::Renew
            | Self::Pulse
            | Self::Partner
            | Self::SourcesPage
            | Self::ClientKeys
            | Self::Done
            | Self::KernelLog
            | Self::Bequest => {}
            Self::Welcome(welcome) => welcome.write(to),
            Self::Wish(wish) => wish.write(to),
            Self::Answer(answer) => answer.write(to),
            Self::Standing(standing) => standing.write(to),
            Self::Leap(planned) => planned.write(to),
            Self::Happened(happening) => happening.write(to),
            Self::FastClock(clock) => clock.write(to),
            Self::KernelPath(path) => path.write(to),
            Self::CounterPage { role } => to.put(&[role.number(), 0, 0, 0]),
            Self::Confined { role, confined } => {
                to.put(&[role.number(), 0]);
                confined.write(to);
            }
            Self::Failed { status, reason } => {
                to.put(&[status.number(), 0]);
                to.text(reason);
            }
            Self::IdentityRefused { generation, reason } => {
                to.u32(*generation);
                to.text(reason);
            }
            Self::RoleState(state) => state.write(to),
            Self::Listening(listening) => listening.write(to),
            Self::Taken(taken) => taken.write(to),
            Self::Certificate(certificate) => certificate.write(to),
            Self::Epochs(epochs) => {
                to.u32(epochs.current);
                to.u32(epochs.oldest);
                to.time(epochs.next_turn);
            }
            Self::Daemon { started, ready, file } => {
                to.time(*started);
                to.put(&[u8::from(*ready), 0]);
                to.text(file);
            }
        }
    }
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageError {
    /// Does not begin with `"NM"`.
    Magic,
    /// Of another version.
    Version {
        /// The version found.
        found: u8,
    },
    /// Of a kind nobody knows.
    Kind {
        /// The kind found.
        found: u8,
    },
    /// Ends before its layout does.
    Short,
    /// Longer than its layout, or than any message, or not as long as it says.
    Length {
        /// Octets found.
        len: usize,
    },
    /// A field with a value that has no meaning.
    Value {
        /// The field.
        what: &'static str,
    },
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("does not begin like a message"),
            Self::Version { found } => write!(f, "has version {found}, not {VERSION}"),
            Self::Kind { found } => write!(f, "has the unknown kind {found}"),
            Self::Short => f.write_str("ends too early"),
            Self::Length { len } => write!(f, "has a length of {len} octets that does not fit"),
            Self::Value { what } => write!(f, "has a {what} without meaning"),
        }
    }
}

impl std::error::Error for MessageError {}

#[cfg(test)]
mod tests;
