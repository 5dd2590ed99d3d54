use crate::Random;

/// Octets that never repeat within a test, and the same in every run: a hash of a counter would be dearer and no better here.
pub(crate) fn counting() -> impl Random {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(8) {
            // SplitMix64 (Steele, Lea, Flood 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let word = (word ^ (word >> 31)).to_le_bytes();
            for (place, octet) in chunk.iter_mut().zip(word) {
                *place = octet;
            }
        }
    }
}
