use std::path::Path;

use crate::Fault;

/// Target `configuration`: `octets` are the text of a configuration file.
///
/// # Panics
/// If a text is read differently a second time or with another end of its lines, or if a report does not say where a mistake is.
pub fn configuration(octets: &[u8]) {
    configuration_through(octets, &|_, _| {});
}

/// [`configuration`] with `fault` applied to the text before it is read again.
///
/// # Panics
/// As [`configuration`].
pub fn configuration_through(octets: &[u8], fault: Fault<'_>) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let origin = Path::new("/etc/noonmark/noonmark.toml");
    let first = noonmark_config::parse(text, origin);
    let mut again = text.as_bytes().to_vec();
    fault("text read again", &mut again);
    let second = noonmark_config::parse(&String::from_utf8_lossy(&again), origin);
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(format!("{first:?}"), format!("{second:?}")),
        (Err(first), Err(second)) => {
            let report = first.to_string();
            assert!(report.contains("noonmark.toml"), "{report}");
            assert_eq!(report, second.to_string());
        }
        (first, _) => panic!("once it is {}", if first.is_ok() { "good" } else { "refused" }),
    }
}
