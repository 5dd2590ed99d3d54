//! What is said of the fast path: the program in the kernel that answers plain requests.

use noonmark_os::bpf::Mode;
use noonmark_os::clock::Timescale;

use super::codec::{Reader, Writer};
use super::{MessageError, Text};

/// Which clock the program reads. Body: clock (1: 0 TAI, 1 monotonic), zeros (3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FastClockRead(pub Timescale);

/// Where plain requests are answered in the kernel. Body: processors that count (4), number of devices (1), zeros (3), of each device its mode
/// (1: 0 native, 1 generic), zero (1) and name (text); then why not everything is as configured (text, empty if it is).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KernelPath {
    /// Processors that count what is done.
    pub lanes: u32,
    /// Devices it is attached to, and how; none where it is off or cannot be had.
    pub devices: Vec<(Text, Mode)>,
    /// Why not, or not everywhere.
    pub reason: Text,
}

impl FastClockRead {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let timescale = match from.u8()? {
            0 => Timescale::Tai,
            1 => Timescale::Monotonic,
            _ => return Err(MessageError::Value { what: "clock" }),
        };
        from.zeros::<3>()?;
        Ok(Self(timescale))
    }

    pub(super) fn write(self, to: &mut Writer) {
        to.put(&[u8::from(self.0 == Timescale::Monotonic), 0, 0, 0]);
    }
}

impl KernelPath {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (lanes, count) = (from.u32()?, from.u8()?);
        from.zeros::<3>()?;
        let mut devices = Vec::new();
        for _ in 0..count {
            let mode = match from.u8()? {
                0 => Mode::Native,
                1 => Mode::Generic,
                _ => return Err(MessageError::Value { what: "mode" }),
            };
            from.zeros::<1>()?;
            devices.push((from.text()?, mode));
        }
        Ok(Self { lanes, devices, reason: from.text()? })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        // The configuration has no more than 64.
        let count = u8::try_from(self.devices.len()).unwrap_or(u8::MAX);
        to.u32(self.lanes);
        to.put(&[count, 0, 0, 0]);
        for (name, mode) in self.devices.iter().take(count.into()) {
            to.put(&[u8::from(*mode == Mode::Generic), 0]);
            to.text(name);
        }
        to.text(&self.reason);
    }
}
