use std::path::Path;

use noonmark_config::import::{Dialect, Files, Import, ImportError, Unread, import};

use crate::Fault;

/// Target `ntp_conf`: `octets` are an `ntp.conf`.
///
/// # Panics
/// If a line has no outcome, if what comes out is no configuration, or if it comes out differently a second time.
pub fn ntp_conf(octets: &[u8]) {
    ntp_conf_through(octets, &|_, _| {});
}

/// [`ntp_conf`] with `fault` applied to what came out.
///
/// # Panics
/// As [`ntp_conf`].
pub fn ntp_conf_through(octets: &[u8], fault: Fault<'_>) {
    imported("/etc/ntp.conf", Dialect::Ntp, octets, fault);
}

/// Target `chrony_conf`: `octets` are a `chrony.conf`.
///
/// # Panics
/// As [`ntp_conf`].
pub fn chrony_conf(octets: &[u8]) {
    chrony_conf_through(octets, &|_, _| {});
}

/// [`chrony_conf`] with `fault` applied to what came out.
///
/// # Panics
/// As [`ntp_conf`].
pub fn chrony_conf_through(octets: &[u8], fault: Fault<'_>) {
    imported("/etc/chrony.conf", Dialect::Chrony, octets, fault);
}

/// Target `ntp_toml`: `octets` are an `ntp.toml`.
///
/// # Panics
/// As [`ntp_conf`].
pub fn ntp_toml(octets: &[u8]) {
    ntp_toml_through(octets, &|_, _| {});
}

/// [`ntp_toml`] with `fault` applied to what came out.
///
/// # Panics
/// As [`ntp_conf`].
pub fn ntp_toml_through(octets: &[u8], fault: Fault<'_>) {
    imported("/etc/ntpd-rs/ntp.toml", Dialect::NtpdRs, octets, fault);
}

fn imported(path: &str, dialect: Dialect, octets: &[u8], fault: Fault<'_>) {
    let files = One { path: Path::new(path), octets };
    // Whose it is may be told or not, and must not panic.
    let _ = import(files.path, None, &files);
    let made = match import(files.path, Some(dialect), &files) {
        Ok(made) => made,
        Err(error @ ImportError::Broken(_)) => panic!("{error}"),
        Err(_) => return,
    };
    let text = String::from_utf8_lossy(octets);
    let wanted: Vec<usize> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, _)| at)
        .collect();
    let mut told: Vec<u8> = accounted(&made, path).iter().map(|at| *at as u8).collect();
    fault("lines told of", &mut told);
    let wanted: Vec<u8> = wanted.iter().map(|at| *at as u8).collect();
    assert_eq!(told, wanted, "each line has its outcome, once");
    for line in &made.lines {
        assert_ne!(line.note, "not understood", "{}:{}: {}", line.file, line.line, line.text);
    }
    let again = import(files.path, Some(dialect), &files).map(|again| again.toml);
    let mut again = again.unwrap_or_else(|error| panic!("{error}")).into_bytes();
    fault("configuration made again", &mut again);
    assert_eq!(String::from_utf8_lossy(&again), made.toml);
}

/// The lines of one file of which something is said, in order.
fn accounted(made: &Import, file: &str) -> Vec<usize> {
    let mut lines: Vec<usize> =
        made.lines.iter().filter(|line| line.file == file).map(|line| line.line).collect();
    lines.sort_unstable();
    lines
}

/// The input, and everywhere else the same short file.
struct One<'a> {
    path: &'a Path,
    octets: &'a [u8],
}

impl Files for One<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, Unread> {
        if path == self.path {
            return Ok(self.octets.to_vec());
        }
        Ok(b"server included.example iburst\ninclude /etc/more\nincludefile /etc/more\n".to_vec())
    }

    fn names(&self, _: &Path) -> Result<Vec<String>, Unread> {
        Ok(vec!["a.conf".to_owned(), "b.sources".to_owned()])
    }
}
