//! A packet socket for single frames: one out, one in, each as it was on the wire, tags included.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use libc::c_int;

use crate::tap::{bind, packet_socket, set};

/// One end of a wire.
pub struct Wire(OwnedFd);

impl Wire {
    /// Opens the end that an interface is.
    ///
    /// # Errors
    /// What the kernel said; it asks for CAP_NET_RAW.
    pub fn open(interface: &str) -> io::Result<Self> {
        let socket = packet_socket(0)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &(1 as c_int))?;
        set(&socket, libc::SOL_PACKET, IGNORE_OUTGOING, &(1 as c_int))?;
        set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &(1 as c_int))?;
        bind(&socket, interface, (libc::ETH_P_ALL as u16).to_be())?;
        Ok(Self(socket))
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: pointer and length describe `frame`, which the kernel only reads.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next frame that came in, and the time since 1970, by the machine's clock, at which it did; `None` if none comes in time.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn receive(&self, patience: Duration) -> io::Result<Option<(Vec<u8>, Duration)>> {
        let mut ready = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let milliseconds = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: one structure, which lives through the call.
        if unsafe { libc::poll(&raw mut ready, 1, milliseconds) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if ready.revents & libc::POLLIN == 0 {
            return Ok(None);
        }
        let mut octets = [0_u8; 2048];
        let mut control = [0_u64; 32];
        let mut part = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
        // SAFETY: a message header is integers and pointers, all of which may be zero.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: all that the header points to lives through the call, with the lengths beside it.
        let len =
            unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        let mut frame = octets.get(..len).unwrap_or_default().to_vec();
        let mut arrived = Duration::ZERO;
        // SAFETY: the header is as the kernel left it, and its control data lives.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: null, or a control message within that data.
        while let Some(header) = unsafe { next.as_ref() } {
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    // SAFETY: a message of this type holds a timespec, maybe less aligned.
                    let at =
                        unsafe { libc::CMSG_DATA(next).cast::<libc::timespec>().read_unaligned() };
                    arrived = Duration::new(at.tv_sec.cast_unsigned(), at.tv_nsec as u32);
                }
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    // SAFETY: a message of this type holds this structure, maybe less aligned.
                    let told = unsafe {
                        libc::CMSG_DATA(next).cast::<libc::tpacket_auxdata>().read_unaligned()
                    };
                    if told.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && frame.len() >= 12 {
                        // The kernel has taken it off.
                        let [high, low] = told.tp_vlan_tci.to_be_bytes();
                        frame.splice(12..12, [0x81, 0x00, high, low]);
                    }
                }
                _ => {}
            }
            // SAFETY: as for the first.
            next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
        }
        Ok(Some((frame, arrived)))
    }

    /// Drops what has come in.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn drain(&self) -> io::Result<()> {
        while self.receive(Duration::ZERO)?.is_some() {}
        Ok(())
    }
}

/// `PACKET_IGNORE_OUTGOING` of linux/if_packet.h.
const IGNORE_OUTGOING: c_int = 23;
const _: () = assert!(size_of::<libc::timespec>() == 16);
