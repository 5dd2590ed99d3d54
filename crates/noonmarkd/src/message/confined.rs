//! What a process has given up.

use std::fmt;

use super::MessageError;
use super::codec::{Reader, Writer};

/// What a role has given up. Body: role (1), zero (1), parts given up (2), parts that could not be (2), zeros (2), user id (4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Confined {
    /// Who it is.
    pub user: u32,
    /// What it has given up.
    pub held: Parts,
    /// What it should have and could not.
    pub lacking: Parts,
}

/// Something that is given up. The number is its bit in [`Parts`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Part {
    /// Being root.
    User = 0,
    /// Capabilities, and gaining any: for good (`no_new_privs`).
    Rights = 1,
    /// Being read by others: memory dumps, tracing.
    Dumps = 2,
    /// System calls that are not on the role's list.
    Calls = 3,
    /// Files.
    Files = 4,
    /// TCP ports.
    Ports = 5,
    /// Signals to others, and their abstract sockets.
    Signals = 6,
    /// Descriptors, processes and lengths of files without end.
    Limits = 7,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Rights,
        Self::Dumps,
        Self::Calls,
        Self::Files,
        Self::Ports,
        Self::Signals,
        Self::Limits,
    ];

    /// Its name in logs and in the status document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Rights => "rights",
            Self::Dumps => "dumps",
            Self::Calls => "system-calls",
            Self::Files => "files",
            Self::Ports => "tcp-ports",
            Self::Signals => "signals",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of [`Part`]s.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Parts(u16);

impl Parts {
    /// Without members.
    pub const NONE: Self = Self(0);

    /// The same set with `part`.
    #[must_use]
    pub const fn with(self, part: Part) -> Self {
        Self(self.0 | 1 << part as u8)
    }

    /// Whether there are no members.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members.
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |part| self.0 >> *part as u8 & 1 == 1)
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Part::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl Confined {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (held, lacking) = (parts(from)?, parts(from)?);
        if held.0 & lacking.0 != 0 {
            return Err(MessageError::Value { what: "parts given up" });
        }
        from.zeros::<2>()?;
        Ok(Self { user: from.u32()?, held, lacking })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.u16(self.held.0);
        to.u16(self.lacking.0);
        to.put(&[0, 0]);
        to.u32(self.user);
    }
}

fn parts(from: &mut Reader<'_>) -> Result<Parts, MessageError> {
    let bits = from.u16()?;
    if bits >> Part::ALL.len() == 0 {
        Ok(Parts(bits))
    } else {
        Err(MessageError::Value { what: "parts given up" })
    }
}
