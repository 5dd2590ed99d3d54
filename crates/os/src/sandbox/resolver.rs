//! What the system's resolver of names needs of a process that is about to be confined: its libraries loaded beforehand, and
//! its files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Loads the libraries that `/etc/nsswitch.conf` names for hosts, because no code can be loaded later. What cannot be loaded is not
/// asked, as without us.
pub fn load_libraries() {
    let Ok(text) = fs::read_to_string(SWITCH) else { return };
    for service in services(&text) {
        load(service);
    }
}

/// The services of the line `hosts:`.
fn services(switch: &str) -> impl Iterator<Item = &str> {
    let lines = switch.lines().map(|line| line.split('#').next().unwrap_or_default());
    let hosts = lines.filter_map(|line| line.trim_start().strip_prefix("hosts:"));
    let words = hosts.flat_map(str::split_whitespace);
    words.filter(|word| word.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_'))
}

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
fn load(service: &str) {
    let Ok(name) = std::ffi::CString::new(format!("libnss_{service}.so.2")) else { return };
    // SAFETY: a live string ending in a zero octet. The library is the one that the resolver would load when first asked.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
}

/// Without a dynamic C library there is nothing to load.
#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
fn load(_service: &str) {}

/// The resolver's files as they were found, and what has to be readable for them.
#[derive(Debug)]
pub struct Files(Vec<Found>);

#[derive(Debug)]
struct Found {
    name: PathBuf,
    place: Option<Place>,
}

/// Where a file is.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Place {
    /// In a folder with nothing else in it, which is what is readable: the file may be replaced.
    Folder(PathBuf),
    /// In a folder with other things. The file itself is readable, and no other that takes its place.
    File { path: PathBuf, device: u64, inode: u64 },
}

impl Files {
    /// Looks where they are now.
    #[must_use]
    pub fn find() -> Self {
        Self::find_these(FILES.iter().map(Path::new))
    }

    fn find_these<'a>(names: impl Iterator<Item = &'a Path>) -> Self {
        Self(names.map(|name| Found { name: name.to_owned(), place: Place::of(name) }).collect())
    }

    /// The files and folders to leave readable.
    pub fn readable(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|found| match found.place.as_ref()? {
            Place::Folder(path) | Place::File { path, .. } => Some(path.as_path()),
        })
    }

    /// Whether one of them is now somewhere else, or another file, so that it cannot be read any more.
    #[must_use]
    pub fn have_moved(&self) -> bool {
        self.0.iter().any(|found| Place::of(&found.name) != found.place)
    }
}

impl Place {
    fn of(name: &Path) -> Option<Self> {
        let path = fs::canonicalize(name).ok()?;
        let folder = path.parent()?;
        // `/etc` and `/run` hold everything; `/run/systemd/resolve` and the like are the resolver's.
        if folder.components().count() > 2 && !folder.starts_with("/etc") {
            return Some(Self::Folder(folder.to_owned()));
        }
        let metadata = fs::metadata(&path).ok()?;
        Some(Self::File { path, device: metadata.dev(), inode: metadata.ino() })
    }
}

const SWITCH: &str = "/etc/nsswitch.conf";

/// What glibc and musl read to find the address of a name.
const FILES: &[&str] =
    &["/etc/resolv.conf", "/etc/hosts", SWITCH, "/etc/host.conf", "/etc/gai.conf", "/etc/services"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::scratch_folder;

    #[test]
    fn services_are_those_of_the_line() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(services(text).collect::<Vec<_>>(), expected, "{text}");
        };
        check(
            "passwd: files\nhosts:  files mdns4_minimal [NOTFOUND=return] dns # resolve\n",
            &["files", "mdns4_minimal", "dns"],
        );
        check("# hosts: files\n", &[]);
        check("hosts: ../../evil files", &["files"]);
    }

    #[test]
    fn files_that_move_are_noticed() {
        let folder = scratch_folder("resolver");
        let write = |name: &str| {
            fs::write(folder.join("new"), name).expect("room");
            fs::rename(folder.join("new"), folder.join(name)).expect("ours");
        };
        write("hosts");
        let names = [folder.join("hosts"), folder.join("resolv.conf")];
        let find = || Files::find_these(names.iter().map(PathBuf::as_path));
        let first = find();
        assert_eq!(first.readable().collect::<Vec<_>>(), [folder.as_path()], "a folder of its own");
        assert!(!first.have_moved());
        write("hosts");
        assert!(!first.have_moved(), "replaced in a folder that is readable");
        write("resolv.conf");
        assert!(first.have_moved(), "there was none");
        let second = find();
        fs::remove_file(folder.join("hosts")).expect("ours");
        assert!(second.have_moved(), "there is none any more");
        fs::remove_dir_all(&folder).expect("ours");
        let system = Files::find();
        assert!(!system.have_moved());
        assert!(system.readable().all(|path| path != Path::new("/etc") && path != Path::new("/")));
    }
}
