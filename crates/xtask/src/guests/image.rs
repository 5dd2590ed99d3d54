//! The first file system of a guest: an archive in the kernel's own format, unpacked into memory when it boots.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use crate::child;
use crate::peers::Peers;

/// Files, folders and links by path, without the first stroke.
#[derive(Clone, Default)]
pub struct Image {
    entries: BTreeMap<PathBuf, (u32, Vec<u8>)>,
}

impl Image {
    /// Empty folders that a system wants, and busybox. Its first script is still to be given.
    ///
    /// # Errors
    /// A sentence, without busybox.
    pub fn new() -> Result<Self, String> {
        let busybox = on_path("busybox")?;
        let mut image = Self::with_busybox(&busybox)?;
        image.program("bin/busybox", &busybox)?;
        Ok(image)
    }

    /// The same with another machine's busybox, which must be static.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn with_busybox(busybox: &Path) -> Result<Self, String> {
        let mut image = Self::default();
        for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin"] {
            image.folder(Path::new(folder));
        }
        image.copy("bin/busybox", busybox)?;
        Ok(image)
    }

    /// A file of this content.
    pub fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        let path = Path::new(path);
        path.parent().into_iter().for_each(|parent| self.folder(parent));
        self.entries.insert(path.into(), (REGULAR | mode, content));
    }

    /// A program of this machine and the libraries it names, each at its place.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn program(&mut self, path: &str, from: &Path) -> Result<(), String> {
        self.copy(path, from)?;
        for library in libraries(from)? {
            self.copy(library.trim_start_matches('/'), Path::new(&library))?;
        }
        Ok(())
    }

    /// A program of the root of other people's programs and its libraries, in a root of their own below `folder`, since they are of
    /// another Debian than this machine's.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn peer(&mut self, peers: &Peers, program: &str, folder: &str) -> Result<(), String> {
        let mut ldd = peers.command("ldd");
        ldd.arg(program);
        let told = child::output(Duration::from_secs(10), &ldd)?;
        for path in told.lines().filter_map(path_in).chain([program]) {
            self.copy(
                &format!("{folder}{path}"),
                &peers.root().join(path.trim_start_matches('/')),
            )?;
        }
        self.file(&format!("{folder}/etc/passwd"), 0o644, b"root:x:0:0::/:/bin/sh\n".to_vec());
        Ok(())
    }

    /// The script that is run first.
    pub fn init(&mut self, script: &str) {
        self.file("init", 0o755, script.as_bytes().to_vec());
    }

    /// A file of this machine, followed if it is a link.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn copy(&mut self, path: &str, from: &Path) -> Result<(), String> {
        let content = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
        self.file(path, 0o755, content);
        Ok(())
    }

    /// Writes the archive: the portable format with no sums ("newc") that Linux takes (Documentation/driver-api/early-userspace).
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, to: &Path) -> io::Result<()> {
        let mut archive = Vec::new();
        for (number, (path, (mode, content))) in (1..).zip(&self.entries) {
            append(&mut archive, number, &path.to_string_lossy(), *mode, content);
        }
        append(&mut archive, 0, "TRAILER!!!", 0, &[]);
        fs::write(to, archive)
    }

    fn folder(&mut self, path: &Path) {
        for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            self.entries.entry(folder.into()).or_insert((FOLDER | 0o755, Vec::new()));
        }
    }
}

/// Thirteen numbers of eight hexadecimal digits behind the format's name; name and content each filled up to four octets.
fn append(archive: &mut Vec<u8>, number: u32, name: &str, mode: u32, content: &[u8]) {
    let (links, size, name_size) = (1, content.len() as u32, name.len() as u32 + 1);
    archive.extend(b"070701");
    for field in [number, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
        archive.extend(format!("{field:08x}").bytes());
    }
    archive.extend(name.bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// What the dynamic linker would load with a program; nothing for a static one.
fn libraries(program: &Path) -> Result<Vec<String>, String> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    // `ldd` fails for a program without libraries.
    let told = child::output(Duration::from_secs(10), &ldd).or_else(|problem| {
        if problem.contains("not a dynamic executable") { Ok(String::new()) } else { Err(problem) }
    })?;
    Ok(told.lines().filter_map(path_in).map(str::to_owned).collect())
}

/// The path in a line of `ldd`: behind the arrow, or the first word.
fn path_in(line: &str) -> Option<&str> {
    let path = line.split("=>").last()?.split_whitespace().next()?;
    path.starts_with('/').then_some(path)
}

fn on_path(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| format!("no {program} here"))
}

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_follow_their_folders_and_are_filled_up() {
        let mut image = Image::default();
        image.file("a/b/c", 0o644, b"noon".to_vec());
        let names: Vec<_> = image.entries.keys().map(|path| path.to_str().expect("text")).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c"]);
        let mut archive = Vec::new();
        append(&mut archive, 7, "abc", 0o100_644, b"noon!");
        let text = String::from_utf8(archive).expect("text");
        assert_eq!(
            text.len(),
            116 + 8,
            "110 octets of header, 4 of name, 2 to fill up; 5 of content and 3"
        );
        assert!(text.starts_with("07070100000007000081a4"), "{text}");
        assert_eq!(&text[54..62], "00000005", "the size");
        assert_eq!(&text[110..], "abc\0\0\0noon!\0\0\0");
    }

    #[test]
    fn libraries_are_found_in_what_the_linker_says() {
        let check = |line, expected: Option<&str>| assert_eq!(path_in(line), expected);
        check("\tlinux-vdso.so.1 (0x00007ffd)", None);
        check(
            "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)",
            Some("/lib/x86_64-linux-gnu/libc.so.6"),
        );
        check("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)", Some("/lib64/ld-linux-x86-64.so.2"));
        check("\tstatically linked", None);
    }
}
