//! Messages with descriptors between two processes: a pair of `SOCK_SEQPACKET` Unix sockets.
//!
//! A message arrives whole or not at all, and the sockets die with their owners, so the end of either process is the end of
//! file of the other.

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{checked, checked_len};

/// One end of a pair.
#[derive(Debug)]
pub struct Endpoint(OwnedFd);

/// What one [`Endpoint::receive`] brought.
#[derive(Debug)]
pub struct Received {
    /// Octets written to the front of the caller's buffer. 0 is the end of file: the other process is gone.
    pub len: usize,
    /// Descriptors that came along, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// The most descriptors one message carries.
pub const MOST_DESCRIPTORS: usize = 16;

/// Two connected ends, both closed on exec.
///
/// # Errors
/// What the kernel answers, as a rule that descriptors have run out.
pub fn pair() -> io::Result<(Endpoint, Endpoint)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` is room for the two descriptors the call writes.
    checked(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    let [one, other] = ends;
    // SAFETY: the call succeeded, so both are new descriptors that nothing else owns.
    Ok(unsafe { (Endpoint(OwnedFd::from_raw_fd(one)), Endpoint(OwnedFd::from_raw_fd(other))) })
}

impl Endpoint {
    /// Sends one message without waiting for room.
    ///
    /// # Errors
    /// `WouldBlock` if the other side does not keep up, `BrokenPipe` if it is gone, `InvalidInput` for an empty message (it
    /// would read as the end of file) or more than [`MOST_DESCRIPTORS`] descriptors; what the kernel answers otherwise.
    pub fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if message.is_empty() || descriptors.len() > MOST_DESCRIPTORS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut control = ControlBuffer::new();
        let mut part =
            libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
        // SAFETY: `msghdr` is plain integers and pointers, for which all zero octets mean "absent".
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        if !descriptors.is_empty() {
            let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            let data_len =
                u32::try_from(size_of_val(raw.as_slice())).expect("at most 16 descriptors");
            header.msg_control = control.0.as_mut_ptr().cast();
            // SAFETY: a pure computation of a length.
            header.msg_controllen = unsafe { libc::CMSG_SPACE(data_len) } as _;
            // SAFETY: `msg_control` and `msg_controllen` describe live memory with room for one control header.
            let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
            // SAFETY: the buffer has room for this header and MOST_DESCRIPTORS descriptors and is aligned for the header;
            // the descriptors are copied octet by octet, so their place needs no alignment.
            unsafe {
                (*first).cmsg_level = libc::SOL_SOCKET;
                (*first).cmsg_type = libc::SCM_RIGHTS;
                (*first).cmsg_len = libc::CMSG_LEN(data_len) as _;
                std::ptr::copy_nonoverlapping(
                    raw.as_ptr().cast::<u8>(),
                    libc::CMSG_DATA(first),
                    data_len as usize,
                );
            }
        }
        loop {
            // SAFETY: `header` points at `part` and `control`, which outlive the call; the kernel only reads `message`.
            let sent = checked_len(unsafe {
                libc::sendmsg(
                    self.0.as_raw_fd(),
                    &raw const header,
                    libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
                )
            });
            match sent {
                Ok(len) if len == message.len() => return Ok(()),
                // A sequenced packet is sent whole or refused; anything else would be a broken kernel.
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes one message, waiting for it if `wait`.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there and `wait` is false; `InvalidData` if the message is longer than `buffer` or came
    /// with more than [`MOST_DESCRIPTORS`] descriptors (it is lost, its descriptors closed); what the kernel answers otherwise.
    pub fn receive(&self, buffer: &mut [u8], wait: bool) -> io::Result<Received> {
        let mut control = ControlBuffer::new();
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: `msghdr` is plain integers and pointers, for which all zero octets mean "absent".
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control.0) as _;
        let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
        let len = loop {
            // SAFETY: `header` points at `part` and `control`, which outlive the call and are ours to write.
            match checked_len(unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut header, flags) })
            {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let descriptors = take_descriptors(&header);
        if header.msg_flags & libc::MSG_CTRUNC != 0 && descriptors.len() < MOST_DESCRIPTORS {
            // There was room for them in the message, so there was none in the process.
            return Err(io::Error::other(
                "descriptors sent were lost: too many files are open (EMFILE; raise the limit, `ulimit -n` or LimitNOFILE=)",
            ));
        }
        if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0
            || descriptors.len() > MOST_DESCRIPTORS
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "message longer than the protocol allows",
            ));
        }
        Ok(Received { len, descriptors })
    }

    /// An end whose descriptor was inherited.
    #[must_use]
    pub fn from_descriptor(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Endpoint> for OwnedFd {
    fn from(end: Endpoint) -> Self {
        end.0
    }
}

/// Room for one control header and the descriptors, aligned for the header.
#[repr(align(8))]
struct ControlBuffer([u8; CONTROL_LEN]);

impl ControlBuffer {
    fn new() -> Self {
        Self([0; CONTROL_LEN])
    }
}

/// 16 octets of header on 64-bit machines, 4 per descriptor, and room to round up. The kernel sets `MSG_CTRUNC` rather than
/// write past it.
const CONTROL_LEN: usize = 32 + 4 * MOST_DESCRIPTORS;

/// Takes every descriptor of a received message into ownership, so that none can leak.
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled `msg_control` up to `msg_controllen`; the buffer is still alive in the caller.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: not null, so a whole control header lies inside the buffer, which is aligned for it.
        let (level, kind, len) =
            unsafe { ((*control).cmsg_level, (*control).cmsg_type, (*control).cmsg_len) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: a pure computation of the header's length.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "narrower with other C libraries")]
            let count = (len as usize).saturating_sub(head) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` descriptors behind the header; they are read without assuming alignment.
                let raw =
                    unsafe { libc::CMSG_DATA(control).cast::<RawFd>().add(index).read_unaligned() };
                // SAFETY: a descriptor that came with a message is new in this process and owned by nobody yet.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        // SAFETY: `header` and `control` are those of the loop above.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed;

    #[test]
    fn messages_keep_their_bounds_and_bring_descriptors() {
        let (here, there) = pair().expect("descriptors");
        let file = sealed::seal(c"test", b"handed over").expect("memory");
        here.send(b"one", &[]).expect("room");
        here.send(b"three", &[file.as_fd(), here.as_fd(), file.as_fd()]).expect("room");
        let mut buffer = [0; 16];
        let one = there.receive(&mut buffer, true).expect("sent");
        assert_eq!((&buffer[..one.len], one.descriptors.len()), (&b"one"[..], 0));
        let three = there.receive(&mut buffer, true).expect("sent");
        assert_eq!((&buffer[..three.len], three.descriptors.len()), (&b"three"[..], 3));
        assert_eq!(
            **sealed::read(three.descriptors[2].as_fd(), 100).expect("sealed"),
            *b"handed over"
        );
        let flags = |fd: &OwnedFd| {
            // SAFETY: the command takes no argument and touches no memory.
            unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }
        };
        assert!(
            three.descriptors.iter().all(|fd| flags(fd) & libc::FD_CLOEXEC != 0),
            "closed on exec"
        );
    }

    #[test]
    fn message_that_does_not_fit_is_an_error_and_the_next_one_arrives() {
        let (here, there) = pair().expect("descriptors");
        here.send(&[1; 17], &[here.as_fd()]).expect("room");
        here.send(&[2; 16], &[]).expect("room");
        let mut buffer = [0; 16];
        assert_eq!(
            there.receive(&mut buffer, true).expect_err("cut").kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(there.receive(&mut buffer, true).expect("sent").len, 16);
    }

    #[test]
    fn empty_or_overloaded_messages_are_not_sent() {
        let (here, _there) = pair().expect("descriptors");
        assert_eq!(here.send(b"", &[]).expect_err("empty").kind(), io::ErrorKind::InvalidInput);
        let many = vec![here.as_fd(); MOST_DESCRIPTORS + 1];
        assert_eq!(
            here.send(b"x", &many).expect_err("too many").kind(),
            io::ErrorKind::InvalidInput
        );
        assert!(here.send(b"x", &many[..MOST_DESCRIPTORS]).is_ok());
    }

    #[test]
    fn most_descriptors_arrive_without_truncation() {
        let (here, there) = pair().expect("descriptors");
        here.send(b"x", &[here.as_fd(); MOST_DESCRIPTORS]).expect("room");
        assert_eq!(
            there.receive(&mut [0; 8], true).expect("sent").descriptors.len(),
            MOST_DESCRIPTORS
        );
    }

    #[test]
    fn end_of_the_other_side_is_told_apart_from_silence() {
        let (here, there) = pair().expect("descriptors");
        assert_eq!(
            there.receive(&mut [0; 8], false).expect_err("nothing yet").kind(),
            io::ErrorKind::WouldBlock
        );
        drop(here);
        assert_eq!(there.receive(&mut [0; 8], true).expect("end of file").len, 0);
        assert_eq!(there.send(b"x", &[]).expect_err("nobody").kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn sender_is_not_held_by_a_receiver_that_sleeps() {
        let (here, _there) = pair().expect("descriptors");
        let refused =
            (0..1_000_000).find_map(|_| here.send(&[0; 4096], &[]).err()).expect("a bound");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    }
}
