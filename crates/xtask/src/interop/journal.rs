//! A journal to write to: the socket of systemd's, and its entries as they arrive.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::lab::Place;

/// Fields by name. Of a name that comes twice the last.
pub type Entry = BTreeMap<String, String>;

/// Somebody who listens where the journal would.
pub struct Journal {
    heard: Arc<Mutex<Vec<Entry>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// The folder of a place that a cell puts at `/run/systemd/journal`.
    pub const FOLDER: &str = "journal";

    /// Listens in the folder of that name. Others may write to the socket, as to the real one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn listen(place: &Place) -> Result<Self, String> {
        let socket = bind(place)?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, seen) = (Arc::clone(&heard), Arc::clone(&stop));
        // A thread of its own, since few entries fit into the socket and who writes another waits.
        let thread = std::thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while !seen.load(Ordering::Relaxed) {
                let Ok(len) = socket.recv(&mut datagram) else { continue };
                // An empty one asks whether somebody is here.
                if let (Some(octets @ [_, ..]), Ok(mut into)) = (datagram.get(..len), into.lock()) {
                    let broken = || Entry::from([("BROKEN".into(), format!("{octets:?}"))]);
                    into.push(read(octets).unwrap_or_else(broken));
                }
            }
        });
        Ok(Self { heard, stop, thread: Some(thread) })
    }

    /// Leaves a socket in the folder on which nobody listens, as a journal that has died does.
    ///
    /// # Errors
    /// What the file system says.
    pub fn leave(place: &Place) -> Result<(), String> {
        bind(place).map(drop)
    }

    /// Every entry so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.heard.lock().map(|heard| heard.clone()).unwrap_or_default()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It looks at the flag as often as its patience ends.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn bind(place: &Place) -> Result<UnixDatagram, String> {
    let folder = place.path(Journal::FOLDER);
    let bind = || {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        // Through the folder's descriptor the path is short, wherever the folder lies.
        let open = fs::File::open(&folder)?;
        let path = format!("/proc/self/fd/{}/socket", open.as_raw_fd());
        match fs::remove_file(&path) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(socket)
    };
    bind().map_err(|e: io::Error| format!("{}: {e}", folder.display()))
}

/// Reads an entry as systemd's journal takes it: fields as `NAME=value` and a line's end; or the name alone on its line, the
/// length of the value in eight octets, the lowest first, the value and a line's end.
fn read(mut octets: &[u8]) -> Option<Entry> {
    let mut entry = Entry::new();
    while !octets.is_empty() {
        let end = octets.iter().position(|octet| *octet == b'\n')?;
        let (line, rest) = (octets.get(..end)?, octets.get(end + 1..)?);
        let (name, value, rest) = match line.iter().position(|octet| *octet == b'=') {
            Some(equals) => (line.get(..equals)?, line.get(equals + 1..)?, rest),
            None => {
                let (len, rest) = rest.split_first_chunk::<8>()?;
                let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
                let (value, rest) = rest.split_at_checked(len)?;
                (line, value, rest.strip_prefix(b"\n")?)
            }
        };
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        entry.insert(text(name), text(value));
        octets = rest;
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(octets: &[u8], expected: Option<&[(&str, &str)]>) {
        let expected = expected.map(|fields| {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        });
        assert_eq!(read(octets), expected, "{}", String::from_utf8_lossy(octets));
    }

    #[test]
    fn entries_are_read_in_both_shapes() {
        check(b"PRIORITY=6\n", Some(&[("PRIORITY", "6")]));
        check(b"A=1=2\nB=\n", Some(&[("A", "1=2"), ("B", "")]));
        check(
            b"MESSAGE\n\x05\0\0\0\0\0\0\0a\nb=c\nPRIORITY=3\n",
            Some(&[("MESSAGE", "a\nb=c"), ("PRIORITY", "3")]),
        );
        check(b"MESSAGE\n\x05\0\0\0\0\0\0\0abc\n", None);
        check(b"MESSAGE\n\x02\0\0\0\0\0\0\0abc\n", None);
        check(b"PRIORITY=6", None);
    }
}
