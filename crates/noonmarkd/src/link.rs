//! The pair between the launcher and one role, as messages.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use noonmark_os::pair::Endpoint;
use zeroize::Zeroizing;

use crate::message::{LONGEST, Message, MessageError};

/// One end of the pair.
pub struct Link {
    end: Endpoint,
    /// Wiped when dropped: keys pass through it.
    buffer: Zeroizing<Vec<u8>>,
}

/// A message and the descriptors that came with it: as many as its kind calls for.
pub struct Incoming {
    /// What was said.
    pub message: Message,
    /// What was handed over.
    pub descriptors: Vec<OwnedFd>,
}

impl Link {
    /// Speaks over `end`.
    #[must_use]
    pub fn new(end: Endpoint) -> Self {
        Self { end, buffer: Zeroizing::new(vec![0; LONGEST]) }
    }

    /// Says something, without waiting for the other side.
    ///
    /// # Errors
    /// [`LinkError::Io`], of which `WouldBlock` means that the other side has not listened for a long time.
    pub fn send(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        debug_assert!(message.descriptors().contains(&descriptors.len()), "{}", message.name());
        match self.end.send(&message.to_octets(), descriptors) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Err(LinkError::Gone)
            }
            other => other.map_err(LinkError::Io),
        }
    }

    /// Takes the next message; `None` if none has come and `wait` is false.
    ///
    /// # Errors
    /// [`LinkError::Gone`] when the other side has ended; anything else means that it is broken.
    pub fn receive(&mut self, wait: bool) -> Result<Option<Incoming>, LinkError> {
        let received = match self.end.receive(&mut self.buffer, wait) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(LinkError::Gone);
            }
            Err(error) => return Err(LinkError::Io(error)),
        };
        if received.len == 0 {
            return Err(LinkError::Gone);
        }
        let octets = self.buffer.get(..received.len).unwrap_or_default();
        let message = Message::parse(octets).map_err(LinkError::Message)?;
        let found = received.descriptors.len();
        if !message.descriptors().contains(&found) {
            return Err(LinkError::Descriptors { message: message.name(), found });
        }
        Ok(Some(Incoming { message, descriptors: received.descriptors }))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

/// Why nothing more can be said or heard.
#[derive(Debug)]
pub enum LinkError {
    /// The process on the other side has ended.
    Gone,
    /// It said something that is no message.
    Message(MessageError),
    /// A message came with too few or too many descriptors.
    Descriptors {
        /// The kind of message.
        message: &'static str,
        /// How many came.
        found: usize,
    },
    /// The system refused.
    Io(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the other side has ended"),
            Self::Message(error) => write!(f, "a message {error}"),
            Self::Descriptors { message, found } => {
                write!(f, "a message {message} came with {found} descriptors")
            }
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Purpose;
    use noonmark_os::{pair, sealed};

    #[test]
    fn messages_arrive_with_their_descriptors_or_not_at_all() {
        let (here, there) = pair::pair().expect("descriptors");
        let raw = here;
        let mut link = Link::new(there);
        assert!(link.receive(false).expect("alive").is_none());
        let file = sealed::seal(c"test", b"").expect("memory");
        let configure =
            || Message::Configure { generation: 1, purpose: Purpose::Serve, run: [0; 16] };
        let say = |message: &Message, descriptors: &[BorrowedFd<'_>]| {
            raw.send(&message.to_octets(), descriptors).expect("room");
        };
        say(&configure(), &[file.as_fd()]);
        let incoming = link.receive(true).expect("good").expect("sent");
        assert_eq!((incoming.message.name(), incoming.descriptors.len()), ("configure", 1));
        say(&configure(), &[]);
        assert!(matches!(link.receive(true), Err(LinkError::Descriptors { found: 0, .. })));
        say(&Message::Stop, &[file.as_fd()]);
        assert!(matches!(link.receive(true), Err(LinkError::Descriptors { found: 1, .. })));
        raw.send(b"nonsense", &[]).expect("room");
        assert!(matches!(link.receive(true), Err(LinkError::Message(MessageError::Magic))));
        drop(raw);
        assert!(matches!(link.receive(true), Err(LinkError::Gone)));
        assert!(matches!(link.send(&Message::Stop, &[]), Err(LinkError::Gone)));
    }
}
