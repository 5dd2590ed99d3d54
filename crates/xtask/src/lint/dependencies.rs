//! Every crate of others that a manifest of ours names has a line in `docs/dependencies.md`, and the reverse.

use std::collections::BTreeSet;

use super::verdict;
use crate::workspace::{self, Metadata};

const LIST: &str = "docs/dependencies.md";

/// Compares the manifests with the list.
pub fn check(metadata: &Metadata) -> Result<(), String> {
    let text = std::fs::read_to_string(workspace::root().join(LIST))
        .map_err(|e| format!("{LIST}: {e}"))?;
    let listed = listed(&text);
    let used: BTreeSet<&str> = metadata
        .members()
        .flat_map(|package| &package.dependencies)
        .filter(|dependency| dependency.source.is_some())
        .map(|dependency| dependency.name.as_str())
        .collect();
    let without = used
        .difference(&listed)
        .map(|name| format!("{name} is used but {LIST} has no line for it"));
    let unused = listed
        .difference(&used)
        .map(|name| format!("{name} has a line in {LIST} but no manifest names it"));
    verdict(without.chain(unused).collect())
}

/// Names in the first column of the list's tables, written `` | `name` | … ``.
fn listed(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_column_counts() {
        let text =
            "| crate | why |\n|---|---|\n| `aes` | not `ring` |\n`clap` is text\n| `toml` | x |\n";
        assert_eq!(listed(text), BTreeSet::from(["aes", "toml"]));
    }
}
