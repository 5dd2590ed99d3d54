//! Every crate in the graph may be used under a licence of our list.

use super::verdict;
use crate::workspace::Metadata;

/// Licences that ask for no more than their text and a name. NCSA and Unicode-3.0 come with tools of the build alone.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Looks at every package cargo would ever download for this workspace.
pub fn check(metadata: &Metadata) -> Result<(), String> {
    let judged = metadata.packages.iter().filter_map(|package| {
        let expression = package.license.as_deref().unwrap_or("");
        let known = is_allowed(expression);
        (!known).then(|| format!("{} {}: licence {expression:?}", package.name, package.version))
    });
    verdict(judged.collect())
}

/// Whether an SPDX expression can be satisfied from the list. The older `A/B` means `A OR B`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let allowed = any_of(&mut rest);
    allowed == Some(true) && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = all_of(words)?;
    while take(words, "OR") {
        let other = all_of(words)?;
        allowed = allowed || other;
    }
    Some(allowed)
}

fn all_of(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while take(words, "AND") {
        let other = one(words)?;
        allowed = allowed && other;
    }
    Some(allowed)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let inner = any_of(words)?;
        return take(words, ")").then_some(inner);
    }
    let (name, rest) = words.split_first()?;
    *words = rest;
    if take(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        *words = rest;
        return Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(name))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: bool) {
        assert_eq!(is_allowed(expression), expected, "{expression}");
    }

    #[test]
    fn an_expression_is_read_as_spdx_does() {
        check("MIT", true);
        check("MIT/Apache-2.0", true);
        check("GPL-3.0-only", false);
        check("GPL-3.0-only OR MIT", true);
        check("GPL-3.0-only AND MIT", false);
        check("MIT OR GPL-3.0-only AND MIT", true);
        check("(MIT OR GPL-3.0-only) AND ISC", true);
        check("(MIT OR GPL-3.0-only) AND MPL-2.0", false);
        check("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true);
        check("Apache-2.0 WITH Other-exception", false);
    }

    #[test]
    fn what_cannot_be_read_is_not_allowed() {
        check("", false);
        check("MIT OR", false);
        check("(MIT", false);
        check("MIT ISC", false);
    }
}
