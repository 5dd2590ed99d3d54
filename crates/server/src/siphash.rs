//! The keyed hash of the tables that clients fill: whoever does not know the key cannot choose entries that meet.

/// SipHash-1-3 (Aumasson and Bernstein) of three words, which stand for 24 octets in little-endian order.
pub(crate) fn siphash_1_3(key: [u64; 2], words: [u64; 3]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    };
    let length = (size_of_val(&words) as u64) << 56;
    for word in words.into_iter().chain([length]) {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn the_hash_is_that_of_the_standard_library() {
        for words in [[0, 0, 0], [1, 2, 3], [u64::MAX, 0x0123_4567_89ab_cdef, 1 << 63]] {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(&words.map(u64::to_le_bytes).concat());
            assert_eq!(siphash_1_3([0, 0], words), hasher.finish());
        }
    }
}
