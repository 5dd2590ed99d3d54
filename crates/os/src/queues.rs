//! How many processors network cards hand over what they receive to.

use std::path::Path;

/// The fewest receive queues that one of this machine's network cards has; `None` where there is no card, as in a container, or where the kernel does
/// not show them.
///
/// Each queue interrupts a processor of its own, chosen by a hash of both addresses. A card with one queue has all that comes in go through one
/// processor.
pub fn fewest() -> Option<usize> {
    fewest_below(Path::new("/sys/class/net"))
}

/// What is no card has no device behind it: loopback, bridges, the ends of virtual wires.
fn fewest_below(folder: &Path) -> Option<usize> {
    let is_card = |card: &Path| card.join("device").exists();
    let queues = |card: &Path| {
        let names = std::fs::read_dir(card.join("queues")).ok()?.flatten();
        let received = names.filter(|name| name.file_name().to_string_lossy().starts_with("rx-"));
        Some(received.count())
    };
    let cards = std::fs::read_dir(folder).ok()?.flatten().map(|card| card.path());
    cards.filter(|card| is_card(card)).map(|card| queues(&card).unwrap_or(1)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_with_the_fewest_queues_counts_and_only_cards_do() {
        let root = std::env::temp_dir().join(format!("noonmark-queues-{}", std::process::id()));
        let check = |name: &str, device: bool, queues: &[&str], expected: Option<usize>| {
            for queue in queues {
                std::fs::create_dir_all(root.join(name).join("queues").join(queue)).unwrap();
            }
            if device {
                std::fs::create_dir_all(root.join(name).join("device")).unwrap();
            }
            assert_eq!(fewest_below(&root), expected, "{name}");
        };
        assert_eq!(fewest_below(&root), None);
        check("lo", false, &["rx-0", "tx-0"], None);
        check("eth0", true, &["rx-0", "rx-1", "rx-2", "rx-3", "tx-0"], Some(4));
        check("eth1", true, &["rx-0", "rx-1", "tx-0", "tx-1", "tx-2"], Some(2));
        check("veth7", false, &["rx-0"], Some(2));
        check("odd0", true, &[], Some(1));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
