//! A packet socket at one end of a pair of virtual interfaces: whole frames out in batches, whole frames in through a
//! ring shared with the kernel.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libc::{c_int, c_uint, c_void};

use crate::frame::{Family, HEADERS};

/// Sends frames on one interface.
pub struct Sender {
    socket: OwnedFd,
    headers: Vec<libc::mmsghdr>,
    parts: Vec<[libc::iovec; 2]>,
}

impl Sender {
    /// Opens a sender of up to `batch` frames per call, past the interface's queueing and unseen by other packet
    /// sockets.
    ///
    /// # Errors
    /// What the kernel said; it asks for CAP_NET_RAW.
    pub fn open(interface: &str, batch: usize) -> io::Result<Self> {
        // Protocol 0: this socket receives nothing.
        let socket = packet_socket(0)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &(1 as c_int))?;
        set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER)?;
        bind(&socket, interface, 0)?;
        // SAFETY: a message header is integers and pointers, all of which may be zero.
        let empty: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let part = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Ok(Self { socket, headers: vec![empty; batch], parts: vec![[part; 2]; batch] })
    }

    /// Sends frames, each headers and payload; the number the kernel took.
    ///
    /// # Errors
    /// What the kernel said, except that its buffer is full: then nothing was taken.
    pub fn send(&mut self, frames: &[([u8; HEADERS], &[u8])]) -> io::Result<usize> {
        let places = self.headers.iter_mut().zip(&mut self.parts);
        let count = frames.len().min(places.len());
        for ((header, parts), (front, payload)) in places.zip(frames) {
            parts[0].iov_base = front.as_ptr().cast_mut().cast();
            parts[0].iov_len = front.len();
            parts[1].iov_base = payload.as_ptr().cast_mut().cast();
            parts[1].iov_len = payload.len();
            header.msg_hdr.msg_iov = parts.as_mut_ptr();
            header.msg_hdr.msg_iovlen = 2;
        }
        // SAFETY: the first `count` headers were just pointed to parts of this sender, which describe octets borrowed by
        // `frames` until we return; the kernel only reads them.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).or_else(|_| match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error => Err(error),
        })
    }
}

/// Receives frames with UDP datagrams from one port.
pub struct Receiver {
    socket: OwnedFd,
    ring: NonNull<u8>,
    next: usize,
}

impl Receiver {
    /// Opens a receiver of what comes in by `interface` from UDP port `port` over one family, whatever hardware address it
    /// is for.
    ///
    /// # Errors
    /// What the kernel said; it asks for CAP_NET_RAW.
    pub fn open(interface: &str, port: u16, family: Family) -> io::Result<Self> {
        let socket = packet_socket(0)?;
        attach_filter(&socket, port, family)?;
        set(
            &socket,
            libc::SOL_PACKET,
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V2 as c_int),
        )?;
        let shape = libc::tpacket_req {
            tp_block_size: BLOCK as c_uint,
            tp_block_nr: (SLOTS * SLOT / BLOCK) as c_uint,
            tp_frame_size: SLOT as c_uint,
            tp_frame_nr: SLOTS as c_uint,
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &shape)?;
        // SAFETY: a new mapping of exactly the ring's size; no existing memory is named.
        let ring = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SLOTS * SLOT,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                0,
            )
        };
        if ring == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ring =
            NonNull::new(ring.cast()).ok_or_else(|| io::Error::other("ring at address 0"))?;
        let receiver = Self { socket, ring, next: 0 };
        bind(&receiver.socket, interface, family.ether_type().to_be())?;
        Ok(receiver)
    }

    /// Hands over every frame that has come in, at most a whole ring, and their number.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        self.drain_stamped(|frame, _| each(frame))
    }

    /// Likewise, each frame with the time since 1970, by the machine's clock, at which the kernel took it off the wire.
    pub fn drain_stamped(&mut self, mut each: impl FnMut(&[u8], Duration)) -> usize {
        let mut count = 0;
        while count < SLOTS {
            // SAFETY: `next` is below SLOTS, so the slot lies within the mapping, which lives as long as `self`.
            let slot = unsafe { self.ring.as_ptr().add(self.next * SLOT) };
            // SAFETY: a slot begins with its status word, aligned to 16 octets, which both sides treat as atomic.
            let status = unsafe { AtomicU32::from_ptr(slot.cast()) };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            // SAFETY: the status says that the slot is ours: the kernel has written a header and will not touch it now.
            let header = unsafe { slot.cast::<libc::tpacket2_hdr>().read() };
            let start = usize::from(header.tp_mac).min(SLOT);
            let len = (header.tp_snaplen as usize).min(SLOT - start);
            // SAFETY: start and length were held within the slot, which is ours until its status is given back below.
            let frame = unsafe { std::slice::from_raw_parts(slot.add(start), len) };
            each(frame, Duration::new(header.tp_sec.into(), header.tp_nsec));
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = (self.next + 1) % SLOTS;
            count += 1;
        }
        count
    }

    /// Frames that found the ring full since this was last asked.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn missed(&self) -> io::Result<u32> {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: pointer and length describe `stats`, which the kernel fills.
        let done = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut len,
            )
        };
        if done == 0 { Ok(stats.tp_drops) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `open` with this size, and nobody holds a part of it.
        unsafe { libc::munmap(self.ring.as_ptr().cast::<c_void>(), SLOTS * SLOT) };
    }
}

pub(crate) fn packet_socket(protocol: u16) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed.
    let socket = unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, c_int::from(protocol))
    };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Binds to an interface; `protocol` in network order, 0 to receive nothing.
pub(crate) fn bind(socket: &OwnedFd, interface: &str, protocol: u16) -> io::Result<()> {
    let name = CString::new(interface)?;
    // SAFETY: the name is a string that ends in zero and lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: an address of the packet family is integers, all of which may be zero.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index.cast_signed();
    // SAFETY: pointer and length describe `address`, which the kernel only reads.
    let done = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets through UDP from source port `port`, over IPv4 without options or IPv6 without extension headers.
fn attach_filter(socket: &OwnedFd, port: u16, family: Family) -> io::Result<()> {
    const BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let (ether_type, port) = (u32::from(family.ether_type()), u32::from(port));
    let udp = libc::IPPROTO_UDP as u32;
    // How wide, at which octet, and what has to be there.
    let checks: &[(u32, u32, u32)] = match family {
        Family::V4 => {
            &[(HALF, 12, ether_type), (BYTE, 14, 0x45), (BYTE, 23, udp), (HALF, 34, port)]
        }
        Family::V6 => &[(HALF, 12, ether_type), (BYTE, 20, udp), (HALF, 54, port)],
    };
    let step = |code: u32, if_not: usize, value: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: if_not as u8,
        k: value,
    };
    let mut program = Vec::new();
    for (place, (width, at, value)) in checks.iter().enumerate() {
        program.push(step(*width, 0, *at));
        // Over the checks that are left, two steps each, and over the step that lets through.
        program.push(step(IS, 2 * (checks.len() - place) - 1, *value));
    }
    program.push(step(RETURN, 0, u32::MAX));
    program.push(step(RETURN, 0, 0));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // The pointer inside is followed during the call only, while the steps are alive.
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

pub(crate) fn set<T>(socket: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which the kernel only reads; the callers pass the type of each option.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Octets of one slot of the ring: any frame of an Ethernet with its header.
const SLOT: usize = 2048;
/// Slots of the ring: at 300,000 answers per second, 50 ms of not looking.
const SLOTS: usize = 16_384;
/// Octets the kernel allocates in one piece.
const BLOCK: usize = 1 << 16;
/// Octets of frames on their way.
const SEND_BUFFER: c_int = 8 << 20;
