//! Programs for frames, put together instruction by instruction.

/// Says the same of every frame.
pub fn always(verdict: u32) -> Vec<u64> {
    vec![instruction(0xb7, 0, 0, 0, verdict), EXIT]
}

/// Writes these octets over the beginning of each frame, and sends it out of the device it seems to have come from.
pub fn sends(octets: &[u8]) -> Vec<u64> {
    let len = octets.len() as u32;
    let mut program = vec![
        // r2 = start, r3 = end of the frame
        instruction(0x61, 2, 1, 0, 0),
        instruction(0x61, 3, 1, 4, 0),
        // r4 = r2 + length; a shorter frame is dropped
        instruction(0xbf, 4, 2, 0, 0),
        instruction(0x07, 4, 0, 0, len),
        instruction(0xb7, 0, 0, 0, 1),
        instruction(0x3d, 3, 4, 1, 0),
        EXIT,
    ];
    for (place, part) in octets.chunks(8).enumerate() {
        let at = (place * 8) as i16;
        match <[u8; 8]>::try_from(part) {
            Ok(word) => {
                let word = u64::from_le_bytes(word);
                // r5 = word; at start + at
                program.push(instruction(0x18, 5, 0, 0, word as u32));
                program.push(instruction(0, 0, 0, 0, (word >> 32) as u32));
                program.push(instruction(0x7b, 2, 5, at, 0));
            }
            Err(_) => {
                for (n, octet) in (at..).zip(part) {
                    program.push(instruction(0x72, 2, 0, n, u32::from(*octet)));
                }
            }
        }
    }
    program.extend([instruction(0xb7, 0, 0, 0, 3), EXIT]);
    program
}

const EXIT: u64 = 0x95;

/// Operation, target and source register, offset, number (the kernel's `struct bpf_insn`).
fn instruction(operation: u8, target: u8, source: u8, offset: i16, number: u32) -> u64 {
    u64::from(operation)
        | u64::from(target) << 8
        | u64::from(source) << 12
        | u64::from(offset.cast_unsigned()) << 16
        | u64::from(number) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_two_instructions() {
        assert_eq!(always(2), [0xb7 | 2 << 32, 0x95]);
    }

    #[test]
    fn every_octet_is_written_once() {
        let program = sends(&[7; 90]);
        let stores = |operation| program.iter().filter(|code| **code as u8 == operation).count();
        assert_eq!((stores(0x7b), stores(0x72)), (11, 2));
        assert_eq!(
            program[7..10],
            [0x18 | 5 << 8 | 0x0707_0707 << 32, 0x0707_0707 << 32, 0x7b | 2 << 8 | 5 << 12]
        );
    }
}
