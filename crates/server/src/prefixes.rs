//! Values by address prefix, the longest match decides.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// A value for every address, given by prefix and laid out for looking up: for each family, the sorted addresses at which the value
/// changes.
///
/// A lookup is a binary search in one array. An IPv4 address written inside IPv6 (`::ffff:192.0.2.1`) is treated as the IPv4
/// address it is, in prefixes and in lookups; a shorter IPv6 prefix such as `::/0` says nothing about IPv4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Prefixes<V> {
    v4: Vec<(u32, V)>,
    v6: Vec<(u128, V)>,
    otherwise: V,
}

impl<V: Copy + Eq> Prefixes<V> {
    /// The same value everywhere.
    pub(crate) const fn all(value: V) -> Self {
        Self { v4: Vec::new(), v6: Vec::new(), otherwise: value }
    }

    /// Values in any order; `otherwise` is for addresses that no prefix contains. Of two for the same prefix, the later counts.
    pub(crate) fn new(values: impl IntoIterator<Item = (IpNet, V)>, otherwise: V) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, value) in values {
            match as_v4(prefix) {
                Ok(prefix) => v4.push(Rule {
                    first: u32::from(prefix.network()),
                    last: u32::from(prefix.broadcast()),
                    length: prefix.prefix_len(),
                    value,
                }),
                Err((first, last, length)) => v6.push(Rule { first, last, length, value }),
            }
        }
        Self {
            v4: changes(v4, otherwise, |last: u32| last.checked_add(1)),
            v6: changes(v6, otherwise, |last: u128| last.checked_add(1)),
            otherwise,
        }
    }

    /// The value of the longest prefix that contains `address`.
    pub(crate) fn get(&self, address: IpAddr) -> V {
        match address.to_canonical() {
            IpAddr::V4(address) => look_up(&self.v4, u32::from(address)),
            IpAddr::V6(address) => look_up(&self.v6, u128::from(address)),
        }
        .unwrap_or(self.otherwise)
    }

    /// The IPv4 addresses from which on another value holds, ascending, from the first address on.
    pub(crate) fn changes_v4(&self) -> Vec<(u32, V)> {
        from_the_first(&self.v4, 0, self.otherwise)
    }

    /// The same of IPv6.
    pub(crate) fn changes_v6(&self) -> Vec<(u128, V)> {
        from_the_first(&self.v6, 0, self.otherwise)
    }
}

fn from_the_first<A: Copy + Eq, V: Copy>(changes: &[(A, V)], first: A, value: V) -> Vec<(A, V)> {
    let begins = changes.first().is_none_or(|(at, _)| *at != first).then_some((first, value));
    begins.into_iter().chain(changes.iter().copied()).collect()
}

struct Rule<A, V> {
    first: A,
    last: A,
    length: u8,
    value: V,
}

/// The addresses from which on another value holds, ascending.
fn changes<A: Copy + Ord, V: Copy + Eq>(
    mut rules: Vec<Rule<A, V>>,
    otherwise: V,
    after: impl Fn(A) -> Option<A>,
) -> Vec<(A, V)> {
    // Outer prefixes come before the ones inside them; sorting is stable, so of equal ones the later stays later.
    rules.sort_by_key(|rule| (rule.first, rule.length));
    let mut changes: Vec<(A, V)> = Vec::new();
    let mut open: Vec<Rule<A, V>> = Vec::new();
    let mut note = |at: A, value: V| match changes.last_mut() {
        Some(last) if last.0 == at => last.1 = value,
        Some(last) if last.1 == value => {}
        _ => changes.push((at, value)),
    };
    // Ends the innermost prefix: from the address after it, the one around it holds again.
    let close = |open: &mut Vec<Rule<A, V>>, note: &mut dyn FnMut(A, V)| {
        if let Some(ended) = open.pop()
            && let Some(next) = after(ended.last)
        {
            note(next, open.last().map_or(otherwise, |rule| rule.value));
        }
    };
    for rule in rules {
        while open.last().is_some_and(|outer| outer.last < rule.first) {
            close(&mut open, &mut note);
        }
        note(rule.first, rule.value);
        open.push(rule);
    }
    while !open.is_empty() {
        close(&mut open, &mut note);
    }
    changes
}

fn look_up<A: Copy + Ord, V: Copy>(changes: &[(A, V)], address: A) -> Option<V> {
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
