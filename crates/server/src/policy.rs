//! Whom to answer, and how often.

use noonmark_packet::Version;

use crate::{AccessRules, PastAnswers, RateTable, Shedding};

/// What the operator decided about clients. Shared by all threads; replaced as a whole.
#[derive(Default)]
pub struct Policy {
    /// Who is served.
    pub access: AccessRules,
    /// Versions answered.
    pub versions: Versions,
    /// How often each client is answered; `None` for no limit.
    pub rate: Option<RateTable>,
    /// Who goes first when there are more requests than answers.
    pub shedding: Shedding,
    /// When answers left, for clients in interleaved mode; `None` answers everybody in basic mode.
    pub interleaved: Option<PastAnswers>,
}

/// A set of protocol versions out of 1 to 4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Versions(u8);

impl Versions {
    /// Versions 1 to 4: their headers are the same, and old clients are still out there.
    pub const ALL: Self = Self(0b1_1110);
    /// None at all.
    pub const NONE: Self = Self(0);

    /// The same set with another member; versions other than 1 to 4 are left out.
    #[must_use]
    pub const fn with(self, version: Version) -> Self {
        Self((self.0 | 1 << version.number()) & Self::ALL.0)
    }

    /// Whether the version is answered.
    pub const fn contains(self, version: Version) -> bool {
        self.0 >> version.number() & 1 != 0
    }
}

impl Default for Versions {
    fn default() -> Self {
        Self::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_1_to_4_can_be_members() {
        let mut versions = Versions::NONE;
        for version in (0..8).filter_map(Version::new) {
            assert!(!versions.contains(version));
            versions = versions.with(version);
            assert_eq!(
                versions.contains(version),
                (1..=4).contains(&version.number()),
                "{version}"
            );
        }
        assert_eq!(versions, Versions::ALL);
    }
}
