//! What the operator decided, as the program in the kernel looks it up.

use super::rules::Rules;
use crate::{AccessRules, RateLimit, Versions};

use noonmark_packet::Version;

/// What the operator decided about clients.
#[derive(Clone, Copy, Debug)]
pub struct Decisions<'a> {
    /// Who is served.
    pub access: &'a AccessRules,
    /// Versions answered; of 1 and 2 the program answers none.
    pub versions: Versions,
    /// How often each client is answered.
    pub limit: Option<&'a RateLimit>,
    /// Differentiated services code point of answers, 0 to 63.
    pub dscp: u8,
    /// The sockets answer in interleaved mode (RFC 9769), so what may be in it passes up.
    pub interleaved: bool,
}

/// The words of the desk.
///
/// | word | content |
/// |---|---|
/// | 0 | 1 while anything is answered |
/// | 1 | versions answered: bit n for version n |
/// | 2 | 1 if requests that may be in interleaved mode pass up |
/// | 3 | DS field of answers |
/// | 4 | 1 if there is a limit |
/// | 5 | lines of its table, less one |
/// | 6, 7 | ticks from one answer to the next, and how many at once |
/// | 8 | one in so many over the limit is answered, or 0 |
/// | 9, 10 | key of the hash |
/// | 11 | mask of IPv4 prefixes |
/// | 12, 13 | of IPv6 prefixes, high bits first |
/// | 14, 15 | where the search in the IPv4 and IPv6 rules begins, or 0 for none |
pub(super) fn words(decisions: &Decisions<'_>, rules: &Rules, key: [u64; 2]) -> [u64; DESK] {
    let versions = [Version::V3, Version::V4].into_iter();
    let answered = versions.filter(|version| decisions.versions.contains(*version));
    let versions = answered.fold(0, |bits, version| bits | 1 << version.number());
    let [interval, burst] = decisions.limit.map_or([1, 1], RateLimit::pace);
    let mask4 = |length: u8| !u32::MAX.checked_shr(length.into()).unwrap_or(0);
    let mask6 = |length: u8| !u128::MAX.checked_shr(length.into()).unwrap_or(0);
    let mask6 = decisions.limit.map_or(0, |limit| mask6(limit.ipv6_prefix));
    [
        0,
        versions,
        decisions.interleaved.into(),
        u64::from(decisions.dscp & 63) << 2,
        decisions.limit.is_some().into(),
        decisions.limit.map_or(0, |limit| limit.lines() as u64 - 1),
        interval,
        burst,
        decisions.limit.map_or(0, |limit| limit.leak.into()),
        key[0],
        key[1],
        decisions.limit.map_or(0, |limit| mask4(limit.ipv4_prefix).into()),
        (mask6 >> 64) as u64,
        mask6 as u64,
        rules.first_step4(),
        rules.first_step6(),
    ]
}

const DESK: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn decisions_become_numbers() {
        let access = AccessRules::allow_all();
        let rules = Rules::new(&access).unwrap();
        let limit = RateLimit {
            interval: Duration::from_secs(4),
            table_size: 1000,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            ..RateLimit::default()
        };
        let decisions = Decisions {
            access: &access,
            versions: Versions::NONE.with(Version::V4),
            limit: Some(&limit),
            dscp: 46,
            interleaved: true,
        };
        let ticks = 4_000_000_000 >> 18;
        let expected = [
            0,
            0b1_0000,
            1,
            184,
            1,
            127,
            ticks,
            16,
            4,
            5,
            6,
            0xffff_ff00,
            0xffff_ffff_ffff_ff00,
            0,
            1,
            1,
        ];
        assert_eq!(words(&decisions, &rules, [5, 6]), expected);
        let open = Decisions { limit: None, versions: Versions::ALL, ..decisions };
        assert_eq!(words(&open, &rules, [5, 6])[..6], [0, 0b1_1000, 1, 184, 0, 0]);
    }
}
