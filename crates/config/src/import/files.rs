use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file that is read, in octets.
pub const FILE_MAX: u64 = 1 << 20;

/// How an import gets at files.
pub trait Files {
    /// The octets of a file, at most [`FILE_MAX`].
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Unread>;

    /// The names in a folder, in the order of their octets.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn names(&self, folder: &Path) -> Result<Vec<String>, Unread>;
}

/// Why a file or a folder cannot be read.
#[derive(Debug)]
pub enum Unread {
    /// It is not there.
    Missing,
    /// It is longer than [`FILE_MAX`].
    TooLong,
    /// It is a device, a pipe or a folder.
    NotAFile,
    /// Anything else.
    Io(io::Error),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::TooLong => write!(f, "it has more than {FILE_MAX} octets"),
            Self::NotAFile => f.write_str("it is not an ordinary file"),
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing } else { Self::Io(error) }
    }
}

/// The files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

/// More names than any folder of fragments has.
const NAMES_MAX: usize = 10_000;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, Unread> {
        // Asked before it is opened: opening a pipe waits for its other end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(Unread::NotAFile);
        }
        let mut octets = Vec::new();
        File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut octets)?;
        if octets.len() as u64 > FILE_MAX { Err(Unread::TooLong) } else { Ok(octets) }
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>, Unread> {
        let mut names = Vec::new();
        for entry in folder.read_dir()?.take(NAMES_MAX) {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// The files that a path stands for whose last part may have `*` and `?`, as in a shell; a leading dot is not matched by them. `None`:
/// its folder has such signs as well.
pub(super) fn matching(files: &dyn Files, pattern: &Path) -> Option<Vec<PathBuf>> {
    let is_pattern = |text: &str| text.contains(['*', '?', '[']);
    let (folder, last) = (pattern.parent().unwrap_or(Path::new("")), pattern.file_name()?);
    let last = last.to_string_lossy();
    if is_pattern(&folder.to_string_lossy()) || last.contains('[') {
        return None;
    }
    if !is_pattern(&last) {
        return Some(vec![pattern.to_owned()]);
    }
    let names = files.names(folder).unwrap_or_default();
    let fits = |name: &String| {
        (last.starts_with('.') || !name.starts_with('.'))
            && is_like(name.as_bytes(), last.as_bytes())
    };
    Some(names.into_iter().filter(fits).map(|name| folder.join(name)).collect())
}

/// Whether `name` is what `pattern` says; one way back to the last star is enough.
fn is_like(name: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut wanted) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(wanted) {
            Some(b'*') => {
                star = Some((at, wanted));
                wanted += 1;
            }
            Some(&octet) if octet == b'?' || octet == name[at] => {
                (at, wanted) = (at + 1, wanted + 1);
            }
            _ => {
                let Some((began, place)) = star else { return false };
                star = Some((began + 1, place));
                (at, wanted) = (began + 1, place + 1);
            }
        }
    }
    pattern[wanted..].iter().all(|&octet| octet == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        let check = |name: &str, pattern: &str, expected: bool| {
            assert_eq!(is_like(name.as_bytes(), pattern.as_bytes()), expected, "{name} {pattern}");
        };
        check("a.conf", "*.conf", true);
        check("a.conf", "a*", true);
        check("a.conf", "?.conf", true);
        check("ab.conf", "?.conf", false);
        check("aXbXc", "*X*c", true);
        check("aXbXc", "*X*d", false);
        check("", "*", true);
        check("", "?", false);
        check("aaaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*c", false);
    }

    #[test]
    fn a_device_a_folder_and_a_long_file_are_not_read() {
        let why = |path: &str| Disk.read(Path::new(path)).expect_err(path).to_string();
        assert_eq!(why("/dev/null"), "it is not an ordinary file");
        assert_eq!(why("/"), "it is not an ordinary file");
        assert_eq!(why("/nonexistent"), "there is no such file");
        let long = std::env::temp_dir().join(format!("noonmark-long-{}", std::process::id()));
        std::fs::write(&long, vec![b'#'; 1 + (1 << 20)]).expect("room");
        assert!(matches!(Disk.read(&long), Err(Unread::TooLong)));
        std::fs::remove_file(&long).expect("ours");
    }
}
