//! Programs that the kernel runs for each frame a device receives (XDP), and memory that they share with processes.
//!
//! A program is loaded once, by who has CAP_BPF and CAP_NET_ADMIN, and attached to devices by links ([`Attachment`]): the kernel takes it
//! off a device when the last descriptor of the link is closed, so it cannot outlive the process that holds it. All memory it uses are arrays
//! that can be mapped ([`Array`]). Who has one mapped ([`Shared`], [`SharedReader`]) needs no right and makes no system call any more.
//!
//! [`object`] reads what the compiler wrote. There is no more of a loader than one program without functions of its own needs.

pub mod object;

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mapping::{Mapping, ReadOnly};
use crate::sequence::{self, OwnWords, Words};

/// An array of values in the kernel, each a whole number of 64-bit words.
pub struct Array {
    fd: OwnedFd,
    words: usize,
}

impl Array {
    /// An array of `entries` values of so many words each, all 0. The name is shown by tools that list maps.
    ///
    /// # Errors
    /// What the kernel answers: `PermissionDenied` without CAP_BPF, `InvalidInput` for a size that cannot be.
    pub fn new(name: &CStr, value_words: u32, entries: u32) -> io::Result<Self> {
        let words = (value_words as usize).checked_mul(entries as usize);
        let words = words.filter(|words| (1..=MOST_WORDS).contains(words));
        let words = words.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut create = MapCreate {
            kind: ARRAY,
            key_size: 4,
            value_size: value_words * 8,
            entries,
            flags: MAPPABLE,
            name: named(name),
            ..MapCreate::default()
        };
        let fd = bpf(MAP_CREATE, &mut create).or_else(|error| {
            // Before Linux 5.11 maps count as locked memory.
            if error.kind() != io::ErrorKind::PermissionDenied || !unlock_memory() {
                return Err(error);
            }
            bpf(MAP_CREATE, &mut create)
        })?;
        Ok(Self { fd: owned(fd), words })
    }

    /// The descriptor, for a program or for another process.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Maps it, to read and to write.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn share(&self) -> io::Result<Shared> {
        Shared::open(self.descriptor(), self.words)
    }
}

/// The words of an [`Array`], which the kernel's program and other processes read and write at any time.
pub struct Shared(Mapping);

impl Shared {
    /// Maps the first `words` words of the array behind `fd`; the descriptor can be closed afterwards.
    ///
    /// # Errors
    /// What the kernel answers, `InvalidInput` if the array has fewer or is none.
    pub fn open(fd: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        Mapping::writable(fd, words).map(Self)
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }

    /// Replaces word 1 and what follows as one, for readers that compare word 0 before and after: it is odd meanwhile. Only one process may do
    /// so.
    pub fn publish(&mut self, content: &[u64]) {
        sequence::publish(&Own(self.words()), content.iter().copied());
    }
}

/// The words under the sequence of an array of ours.
struct Own<'a>(&'a [AtomicU64]);

impl Words for Own<'_> {
    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(order))
    }

    fn fence(&self, order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

impl OwnWords for Own<'_> {
    fn store(&self, at: usize, value: u64, order: Ordering) {
        if let Some(word) = self.0.get(at) {
            word.store(value, order);
        }
    }
}

/// The words of an [`Array`] for who only looks.
pub struct SharedReader(ReadOnly);

impl SharedReader {
    /// Maps the first `words` words of the array behind `fd`; the descriptor can be closed afterwards.
    ///
    /// # Errors
    /// As [`Shared::open`].
    pub fn open(fd: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        ReadOnly::new(fd, words).map(Self)
    }

    /// Word `at`, or 0 past the end.
    #[must_use]
    pub fn get(&self, at: usize) -> u64 {
        self.0.load(at, Ordering::Relaxed)
    }
}

/// A program for frames, as the kernel has taken it.
pub struct Program(OwnedFd);

impl Program {
    /// Has the kernel look through a program and take it. `license` is what it says of itself: functions that the kernel keeps for programs
    /// under its own licence are refused to others.
    ///
    /// # Errors
    /// [`LoadError`] with what the kernel has to say against it; `PermissionDenied` without CAP_BPF and CAP_NET_ADMIN.
    pub fn load(name: &CStr, license: &CStr, instructions: &[u64]) -> Result<Self, LoadError> {
        let fail = |error| LoadError { error, log: String::new() };
        let count = u32::try_from(instructions.len());
        let mut load = ProgramLoad {
            kind: XDP,
            instruction_count: count.map_err(|_| fail(io::ErrorKind::InvalidInput.into()))?,
            instructions: address(instructions.as_ptr()),
            license: address(license.as_ptr()),
            name: named(name),
            ..ProgramLoad::default()
        };
        let error = match bpf(PROGRAM_LOAD, &mut load) {
            Ok(fd) => return Ok(Self(owned(fd))),
            Err(error) => error,
        };
        // Once more for the reason, which takes time and memory.
        let mut log = vec![0_u8; LONGEST_LOG];
        (load.log_level, load.log_size) = (1, LONGEST_LOG as u32);
        load.log = address(log.as_mut_ptr());
        match bpf(PROGRAM_LOAD, &mut load) {
            Ok(fd) => Ok(Self(owned(fd))),
            Err(_) => {
                let end = log.iter().position(|octet| *octet == 0).unwrap_or(log.len());
                let log = String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned();
                Err(LoadError { error, log })
            }
        }
    }

    /// Attaches it to the device of this number until the attachment is dropped.
    ///
    /// # Errors
    /// What the kernel answers: `Unsupported` where the driver has no such mode, `ResourceBusy` where another program is attached,
    /// `PermissionDenied` without CAP_NET_ADMIN.
    pub fn attach(&self, device: u32, mode: Mode) -> io::Result<Attachment> {
        let mut create = LinkCreate {
            program: self.0.as_raw_fd().cast_unsigned(),
            device,
            kind: ATTACH_XDP,
            flags: match mode {
                Mode::Native => 1 << 2,
                Mode::Generic => 1 << 1,
            },
        };
        let fd = bpf(LINK_CREATE, &mut create)?;
        Ok(Attachment { _link: owned(fd), device, mode })
    }

    /// Runs it over one frame as if that had come from `device`, `repeat` times (at least once), each time over what the time before
    /// left; nothing is sent.
    ///
    /// # Errors
    /// What the kernel answers; `InvalidInput` for a device that is not there or a frame shorter than an Ethernet header.
    pub fn run(&self, frame: &[u8], device: u32, repeat: u32) -> io::Result<Run> {
        let mut out = vec![0_u8; frame.len() + 256];
        let mut context = Context { end: frame.len() as u32, device, ..Context::default() };
        let mut run = self.run_of(frame, &mut context, repeat);
        (run.out, run.out_len) = (address(out.as_mut_ptr()), out.len() as u32);
        bpf(PROGRAM_RUN, &mut run)?;
        out.truncate(run.out_len as usize);
        Ok(Run { verdict: run.verdict, frame: out, nanos: run.nanos })
    }

    /// Has the kernel give it `repeat` frames of its own making that begin as `frame`, as if they had come from `device`, and do with them what it
    /// says (Linux 5.18 and later). A frame is used again and again, as it was left.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn run_live(&self, frame: &[u8], device: u32, repeat: u32) -> io::Result<()> {
        let mut context = Context { end: frame.len() as u32, device, ..Context::default() };
        let mut run = self.run_of(frame, &mut context, repeat);
        (run.flags, run.batch) = (LIVE_FRAMES, 64);
        bpf(PROGRAM_RUN, &mut run).map(drop)
    }

    fn run_of(&self, frame: &[u8], context: &mut Context, repeat: u32) -> ProgramRun {
        ProgramRun {
            program: self.0.as_raw_fd().cast_unsigned(),
            in_len: frame.len() as u32,
            input: address(frame.as_ptr()),
            repeat: repeat.max(1),
            context_len: size_of::<Context>() as u32,
            context: address(std::ptr::from_mut(context)),
            ..ProgramRun::default()
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    /// What it said of the last frame (`enum xdp_action`).
    pub verdict: u32,
    /// The frame as it left it.
    pub frame: Vec<u8>,
    /// Mean time of one run.
    pub nanos: u32,
}

/// What to do with a frame, in the kernel's numbers.
pub mod verdict {
    /// Nobody gets it.
    pub const DROP: u32 = 1;
    /// It goes on as if there were no program.
    pub const PASS: u32 = 2;
    /// It goes back out of the device it came from.
    pub const TRANSMIT: u32 = 3;
}

/// How a program gets at frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver, before the kernel makes anything of them.
    Native,
    /// After that, for drivers that cannot: slower, and works everywhere.
    Generic,
}

impl Mode {
    /// Its name for people and machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// A program on a device, for as long as this lives in some process.
pub struct Attachment {
    _link: OwnedFd,
    device: u32,
    mode: Mode,
}

impl Attachment {
    /// Number of the device.
    #[must_use]
    pub fn device(&self) -> u32 {
        self.device
    }

    /// How it gets at frames there.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// Why the kernel does not take a program.
#[derive(Debug)]
pub struct LoadError {
    /// Its error.
    pub error: io::Error,
    /// What it said while it looked through; empty if it did not come to that.
    pub log: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |log: &str| {
            log.lines().rev().find(|line| !line.starts_with("processed")).map(str::to_owned)
        };
        match last(&self.log) {
            Some(line) => write!(f, "{} ({line})", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

/// How many processors this machine may have.
#[must_use]
pub fn processors() -> u32 {
    // SAFETY: the call takes an integer and touches no memory of ours.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    u32::try_from(count).unwrap_or(1).max(1)
}

/// Lets this process lock as much memory as it likes, if it may.
fn unlock_memory() -> bool {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `all` is a live structure, which the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) == 0 }
}

/// The longest array in words: 64 MiB.
const MOST_WORDS: usize = 8 << 20;
const LONGEST_LOG: usize = 1 << 20;

/// `enum bpf_cmd`.
const MAP_CREATE: libc::c_long = 0;
const PROGRAM_LOAD: libc::c_long = 5;
const PROGRAM_RUN: libc::c_long = 10;
const LINK_CREATE: libc::c_long = 28;
/// `BPF_MAP_TYPE_ARRAY`, `BPF_F_MMAPABLE`, `BPF_PROG_TYPE_XDP`, `BPF_XDP`, `BPF_F_TEST_XDP_LIVE_FRAMES`.
const ARRAY: u32 = 2;
const MAPPABLE: u32 = 1 << 10;
const XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const LIVE_FRAMES: u32 = 1 << 1;

/// What `bpf(2)` reads and writes, laid out as the members of `union bpf_attr`.
trait Attributes {}

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    device: u32,
    kind: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct ProgramRun {
    program: u32,
    verdict: u32,
    in_len: u32,
    out_len: u32,
    input: u64,
    out: u64,
    repeat: u32,
    nanos: u32,
    context_len: u32,
    context_out_len: u32,
    context: u64,
    context_out: u64,
    flags: u32,
    processor: u32,
    batch: u32,
    zero: u32,
}

/// `struct xdp_md`.
#[repr(C)]
#[derive(Default)]
struct Context {
    start: u32,
    end: u32,
    meta: u32,
    device: u32,
    queue: u32,
    egress: u32,
}

impl Attributes for MapCreate {}
impl Attributes for ProgramLoad {}
impl Attributes for LinkCreate {}
impl Attributes for ProgramRun {}

/// The system call. Whoever fills in addresses sees to it that what lies there lives until it is back.
fn bpf<A: Attributes>(command: libc::c_long, attributes: &mut A) -> io::Result<libc::c_int> {
    let attributes: *mut A = attributes;
    // SAFETY: `attributes` is a live structure of the length given, laid out as the kernel's for this command; of the addresses in it, the callers
    // above hand over references to live memory of the lengths beside them, writable where the kernel writes.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    crate::checked(libc::c_int::try_from(result).unwrap_or(-1))
}

fn owned(fd: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn address<T>(of: *const T) -> u64 {
    of as usize as u64
}

/// What fits of a name, with a zero at the end. The kernel takes letters, digits, dots and underscores.
fn named(name: &CStr) -> [u8; 16] {
    let mut octets = [0; 16];
    for (place, octet) in octets.iter_mut().take(15).zip(name.to_bytes()) {
        let is_taken = octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_');
        *place = if is_taken { *octet } else { b'_' };
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_where_the_kernel_would_refuse_them() {
        assert_eq!(&named(c"noonmark"), b"noonmark\0\0\0\0\0\0\0\0");
        assert_eq!(&named(c"a-name-longer-than-that"), b"a_name_longer_t\0");
    }

    #[test]
    fn arrays_without_words_and_endless_ones_are_refused_before_the_kernel_is_asked() {
        for (words, entries) in [(0, 1), (1, 0), (1 << 16, 1 << 16)] {
            let error = Array::new(c"test", words, entries).err().expect("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{words} {entries}");
        }
    }

    #[test]
    fn what_is_no_array_is_not_mapped() {
        let file = std::fs::File::open("/proc/self/status").expect("proc");
        assert!(Shared::open(file.as_fd(), 8).is_err());
        assert!(SharedReader::open(file.as_fd(), 8).is_err());
    }

    #[test]
    fn of_a_long_reason_the_last_line_is_told() {
        let log = "0: (b7) r0 = 0\nR1 invalid mem access\nprocessed 3 insns\n".to_owned();
        let error = LoadError { error: io::ErrorKind::PermissionDenied.into(), log };
        assert_eq!(error.to_string(), "permission denied (R1 invalid mem access)");
        let error = LoadError { log: String::new(), ..error };
        assert_eq!(error.to_string(), "permission denied");
    }
}
