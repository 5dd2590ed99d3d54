//! "Did you mean": the known word nearest to a misspelt one.

/// The candidate nearest to `written`, if any is near enough to be what was meant.
///
/// Case and the choice between `_` and `-` do not count; otherwise a third of the letters may be
/// inserted, deleted, exchanged or swapped with their neighbour.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer than any word we know: not worth a comparison, and its cost stays bounded.
    if written.len() > 64 {
        return None;
    }
    let written: Vec<char> = folded(written);
    candidates
        .into_iter()
        .map(|candidate| (distance(&written, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= written.len().max(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> Vec<char> {
    word.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Optimal string alignment distance, row by row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let exchanged = last[j] + usize::from(x != y);
            let mut best = exchanged.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["listen", "interfaces", "local-stratum", "key"];
        let check = |written: &str, expected: Option<&str>| {
            assert_eq!(nearest(written, known), expected, "{written}");
        };
        check("lisen", Some("listen"));
        check("Listen", Some("listen"));
        check("lsiten", Some("listen"));
        check("local_stratum", Some("local-stratum"));
        check("interface", Some("interfaces"));
        check("kay", Some("key"));
        check("", None);
        check("k", None);
        check("wibble", None);
        check(&"listen".repeat(100), None);
    }

    #[test]
    fn distance_counts_edits() {
        let check = |a: &str, b: &str, expected: usize| {
            assert_eq!(distance(&folded(a), &folded(b)), expected, "{a} {b}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("abc", "acb", 1);
        check("abc", "abd", 1);
        check("kitten", "sitting", 3);
    }
}
