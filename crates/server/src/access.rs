//! Who is served: rules by address prefix, the longest match decides.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

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

/// Rules by prefix, laid out for looking up: for each family, the sorted addresses at which the action changes.
///
/// A lookup is a binary search in one array. An IPv4 address written inside IPv6 (`::ffff:192.0.2.1`) is treated as the IPv4
/// address it is, in rules and in lookups; a shorter IPv6 prefix such as `::/0` says nothing about IPv4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessRules {
    v4: Vec<(u32, Action)>,
    v6: Vec<(u128, Action)>,
    otherwise: Action,
}

impl AccessRules {
    /// Everybody is served.
    pub const fn allow_all() -> Self {
        Self { v4: Vec::new(), v6: Vec::new(), otherwise: Action::Allow }
    }

    /// Rules in any order; `otherwise` is for addresses that no prefix contains. Of two rules for the same prefix, the later
    /// counts.
    pub fn new(rules: impl IntoIterator<Item = (IpNet, Action)>, otherwise: Action) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, action) in rules {
            match as_v4(prefix) {
                Ok(prefix) => v4.push(Rule {
                    first: u32::from(prefix.network()),
                    last: u32::from(prefix.broadcast()),
                    length: prefix.prefix_len(),
                    action,
                }),
                Err((first, last, length)) => v6.push(Rule { first, last, length, action }),
            }
        }
        Self {
            v4: changes(v4, otherwise, |last: u32| last.checked_add(1)),
            v6: changes(v6, otherwise, |last: u128| last.checked_add(1)),
            otherwise,
        }
    }

    /// What a client at `address` gets.
    pub fn action(&self, address: IpAddr) -> Action {
        match address.to_canonical() {
            IpAddr::V4(address) => look_up(&self.v4, u32::from(address)),
            IpAddr::V6(address) => look_up(&self.v6, u128::from(address)),
        }
        .unwrap_or(self.otherwise)
    }
}

impl Default for AccessRules {
    fn default() -> Self {
        Self::allow_all()
    }
}

struct Rule<A> {
    first: A,
    last: A,
    length: u8,
    action: Action,
}

/// The addresses from which on another action holds, ascending.
fn changes<A: Copy + Ord>(
    mut rules: Vec<Rule<A>>,
    otherwise: Action,
    after: impl Fn(A) -> Option<A>,
) -> Vec<(A, Action)> {
    // Outer prefixes come before the ones inside them; sorting is stable, so of equal ones the later stays later.
    rules.sort_by_key(|rule| (rule.first, rule.length));
    let mut changes: Vec<(A, Action)> = Vec::new();
    let mut open: Vec<Rule<A>> = Vec::new();
    let mut note = |at: A, action: Action| match changes.last_mut() {
        Some(last) if last.0 == at => last.1 = action,
        Some(last) if last.1 == action => {}
        _ => changes.push((at, action)),
    };
    // Ends the innermost prefix: from the address after it, the one around it holds again.
    let close = |open: &mut Vec<Rule<A>>, note: &mut dyn FnMut(A, Action)| {
        if let Some(ended) = open.pop()
            && let Some(next) = after(ended.last)
        {
            note(next, open.last().map_or(otherwise, |rule| rule.action));
        }
    };
    for rule in rules {
        while open.last().is_some_and(|outer| outer.last < rule.first) {
            close(&mut open, &mut note);
        }
        note(rule.first, rule.action);
        open.push(rule);
    }
    while !open.is_empty() {
        close(&mut open, &mut note);
    }
    changes
}

fn look_up<A: Copy + Ord>(changes: &[(A, Action)], address: A) -> Option<Action> {
    let after = changes.partition_point(|(first, _)| *first <= address);
    Some(changes.get(after.checked_sub(1)?)?.1)
}

/// The prefix as IPv4 if it is one or lies within `::ffff:0:0/96`, else its bounds and length as IPv6.
fn as_v4(prefix: IpNet) -> Result<Ipv4Net, (u128, u128, u8)> {
    match prefix {
        IpNet::V4(prefix) => Ok(prefix),
        IpNet::V6(prefix) => {
            let (first, last) = (u128::from(prefix.network()), u128::from(prefix.broadcast()));
            let mapped = Ipv6Addr::from(first).to_ipv4_mapped();
            match (mapped, prefix.prefix_len().checked_sub(96)) {
                (Some(address), Some(length)) => {
                    Ipv4Net::new(address, length).map_err(|_| (first, last, 128))
                }
                _ => Err((first, last, prefix.prefix_len())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use Action::{Allow, Deny, Ignore};
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
