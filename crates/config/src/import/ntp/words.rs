//! A line into words, as `ntp_scanner.c` reads it.

/// The words of a line: space parts them, `#` ends the line, `"` begins and ends a word that may hold both.
pub(super) fn of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if first == '#' {
            break;
        }
        let (word, after) = match rest.strip_prefix('"') {
            // A quote that is not closed ends with the line.
            Some(inner) => inner.split_once('"').unwrap_or((inner, "")),
            None => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '#');
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        words.push(word.to_owned());
        rest = after;
    }
    words
}

/// The line as a report shows it: without the password of `crypto pw`.
pub(super) fn without_secrets(line: &str, words: &[String]) -> String {
    let is_secret = words.first().is_some_and(|word| word == "crypto");
    if !is_secret || !words.iter().any(|word| word == "pw") {
        return line.to_owned();
    }
    let mut shown: Vec<&str> = Vec::new();
    let mut follows = false;
    for word in words {
        shown.push(if follows { "…" } else { word });
        follows = word == "pw";
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_ntpd_parts_them() {
        let check = |line: &str, expected: &[&str]| assert_eq!(of(line), expected, "{line}");
        check("  server  a\tiburst # b", &["server", "a", "iburst"]);
        check("leapfile \"/var/db/a b\" x", &["leapfile", "/var/db/a b", "x"]);
        check("logfile \"no end # here", &["logfile", "no end # here"]);
        check("server a#b", &["server", "a"]);
        check("a\"b\"c", &["a", "b", "c"]);
        check("# all", &[]);
        check("\r", &[]);
    }

    #[test]
    fn a_password_is_not_shown() {
        let line = "crypto host a pw sesame";
        assert_eq!(without_secrets(line, &of(line)), "crypto host a pw …");
        assert_eq!(without_secrets("server pw", &of("server pw")), "server pw");
    }
}
