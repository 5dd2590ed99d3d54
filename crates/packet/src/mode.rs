use core::fmt;

/// Association mode: the three lowest bits of the first octet (RFC 5905 §7.3, figure 10). All eight have a name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mode {
    /// 0: reserved; very old clients sent it.
    Reserved,
    /// 1: symmetric active.
    SymmetricActive,
    /// 2: symmetric passive.
    SymmetricPassive,
    /// 3: a request.
    Client,
    /// 4: an answer.
    Server,
    /// 5: broadcast.
    Broadcast,
    /// 6: control message; from the second octet on it has a layout of its own (RFC 9327).
    Control,
    /// 7: reserved for private use; likewise.
    Private,
}

impl Mode {
    /// From the first octet of a packet.
    pub const fn from_octet(first: u8) -> Self {
        match first & 7 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }

    /// The number, 0..=7.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reserved => "mode 0",
            Self::SymmetricActive => "symmetric active",
            Self::SymmetricPassive => "symmetric passive",
            Self::Client => "client",
            Self::Server => "server",
            Self::Broadcast => "broadcast",
            Self::Control => "control",
            Self::Private => "private",
        })
    }
}
