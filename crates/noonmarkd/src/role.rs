//! The processes a daemon is made of.

use std::ffi::CStr;
use std::fmt;

/// What a process does, and so which messages it takes and sends.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Role {
    /// Owns the clock, the state folder, the key ring and the clock page.
    Warden = 1,
    /// Answers NTP requests.
    Ntp = 2,
    /// Establishes keys over TLS.
    Ke = 3,
    /// Tells local readers how everything is.
    Observe = 4,
    /// Asks the sources of time.
    Sources = 5,
}

impl Role {
    /// All roles, in the order they are started.
    pub const ALL: [Self; 5] = [Self::Warden, Self::Ntp, Self::Ke, Self::Observe, Self::Sources];

    /// Its name in arguments, logs and the status document.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warden => "warden",
            Self::Ntp => "ntp",
            Self::Ke => "ke",
            Self::Observe => "observe",
            Self::Sources => "sources",
        }
    }

    /// Its name in `ps` and `top`, which keep 15 octets.
    #[must_use]
    pub const fn process_name(self) -> &'static CStr {
        match self {
            Self::Warden => c"noonmark-warden",
            Self::Ntp => c"noonmark-ntp",
            Self::Ke => c"noonmark-ke",
            Self::Observe => c"noonmark-observ",
            Self::Sources => c"noonmark-source",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Its number in messages.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The role of that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(Role::from_number(role.number()), Some(role));
            assert!(role.process_name().to_bytes().len() <= 15, "{role}");
        }
        assert_eq!(Role::from_name("launcher"), None);
        assert_eq!((Role::from_number(0), Role::from_number(6)), (None, None));
    }
}
