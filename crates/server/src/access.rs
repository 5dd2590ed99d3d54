//! Who is served: rules by address prefix, the longest match decides.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::prefixes::Prefixes;

/// What a client gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Time.
    Allow,
    /// No time. Who proved to be a real client is told so with an authenticated kiss `DENY`; all others get silence.
    Deny,
    /// Silence, whatever was asked.
    Ignore,
}

/// Rules by prefix. Looking one up is a binary search.
///
/// An IPv4 address written inside IPv6 (`::ffff:192.0.2.1`) is treated as the IPv4 address it is, in rules and in lookups; a shorter
/// IPv6 prefix such as `::/0` says nothing about IPv4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessRules(Prefixes<Action>);

impl AccessRules {
    /// Everybody is served.
    pub const fn allow_all() -> Self {
        Self(Prefixes::all(Action::Allow))
    }

    /// Rules in any order; `otherwise` is for addresses that no prefix contains. Of two rules for the same prefix, the later
    /// counts.
    pub fn new(rules: impl IntoIterator<Item = (IpNet, Action)>, otherwise: Action) -> Self {
        Self(Prefixes::new(rules, otherwise))
    }

    /// What a client at `address` gets.
    pub fn action(&self, address: IpAddr) -> Action {
        self.0.get(address)
    }

    /// The rules as they are looked up.
    pub(crate) fn prefixes(&self) -> &Prefixes<Action> {
        &self.0
    }
}

impl Default for AccessRules {
    fn default() -> Self {
        Self::allow_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use Action::{Allow, Deny, Ignore};
    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    fn rules(rows: &[(&str, Action)], otherwise: Action) -> AccessRules {
        AccessRules::new(
            rows.iter().map(|(prefix, action)| (prefix.parse().unwrap(), *action)),
            otherwise,
        )
    }

    #[test]
    fn the_longest_prefix_decides() {
        let rules = rules(
            &[
                ("10.1.2.3/32", Ignore),
                ("10.0.0.0/8", Deny),
                ("10.1.0.0/16", Allow),
                ("255.255.255.255/32", Ignore),
                ("2001:db8::/32", Deny),
                ("2001:db8:1::/48", Allow),
                ("2001:db8:1::7/128", Ignore),
                ("ffff::/16", Deny),
            ],
            Allow,
        );
        let check = |address: &str, expected| {
            assert_eq!(rules.action(address.parse().unwrap()), expected, "{address}");
        };
        check("9.255.255.255", Allow);
        check("10.0.0.0", Deny);
        check("10.0.255.255", Deny);
        check("10.1.0.0", Allow);
        check("10.1.2.2", Allow);
        check("10.1.2.3", Ignore);
        check("10.1.2.4", Allow);
        check("10.1.255.255", Allow);
        check("10.2.0.0", Deny);
        check("10.255.255.255", Deny);
        check("11.0.0.0", Allow);
        check("255.255.255.254", Allow);
        check("255.255.255.255", Ignore);
        check("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", Allow);
        check("2001:db8::", Deny);
        check("2001:db8:1::", Allow);
        check("2001:db8:1::7", Ignore);
        check("2001:db8:1::8", Allow);
        check("2001:db8:2::", Deny);
        check("2001:db9::", Allow);
        check("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Deny);
        check("::", Allow);
    }

    #[test]
    fn an_ipv4_address_inside_ipv6_is_an_ipv4_address() {
        let rules = rules(
            &[("192.0.2.0/24", Deny), ("::ffff:198.51.100.0/120", Ignore), ("::/0", Deny)],
            Allow,
        );
        let check = |address: &str, expected| {
            assert_eq!(rules.action(address.parse().unwrap()), expected, "{address}");
        };
        check("::ffff:192.0.2.9", Deny);
        check("198.51.100.9", Ignore);
        check("::ffff:198.51.100.9", Ignore);
        check("203.0.113.1", Allow);
        check("::ffff:203.0.113.1", Allow);
        check("2001:db8::1", Deny);
    }

    #[test]
    fn without_rules_the_default_holds() {
        assert_eq!(AccessRules::allow_all().action(Ipv4Addr::UNSPECIFIED.into()), Allow);
        assert_eq!(rules(&[], Ignore).action(Ipv4Addr::UNSPECIFIED.into()), Ignore);
        assert_eq!(
            rules(&[("0.0.0.0/0", Allow)], Deny).action(Ipv4Addr::UNSPECIFIED.into()),
            Allow
        );
        assert_eq!(
            rules(&[("::/0", Deny), ("::/0", Allow)], Deny).action(Ipv6Addr::LOCALHOST.into()),
            Allow
        );
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_rule(
            rows in proptest::collection::vec((any::<u32>(), 0_u8..=32, 0_u8..3), 0..40),
            near in any::<u32>(),
        ) {
            let action = |number| [Allow, Deny, Ignore][usize::from(number)];
            // Addresses that share prefixes, so that rules lie inside each other.
            let rows: Vec<(Ipv4Net, Action)> = rows
                .into_iter()
                .map(|(address, length, number)| {
                    (Ipv4Net::new(Ipv4Addr::from(address & 0x0303_0303), length).unwrap().trunc(), action(number))
                })
                .collect();
            let rules = AccessRules::new(rows.iter().map(|(prefix, action)| (IpNet::V4(*prefix), *action)), Allow);
            let corners = rows.iter().flat_map(|(prefix, _)| {
                let (first, last) = (u32::from(prefix.network()), u32::from(prefix.broadcast()));
                [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
            });
            for address in corners.chain([near, near & 0x0303_0303]).map(Ipv4Addr::from) {
                let expected = rows
                    .iter()
                    .filter(|(prefix, _)| prefix.contains(&address))
                    .max_by_key(|(prefix, _)| prefix.prefix_len())
                    .map_or(Allow, |(_, action)| *action);
                prop_assert_eq!(rules.action(address.into()), expected, "{}", address);
            }
        }
    }
}
