//! Random octets at the price of AES, not of a system call.
//!
//! A server needs nonces for every answer; asking the kernel each time costs as much as all other cryptography of the answer.
//! [`RandomPool`] is a generator of AES-256 in counter mode with fast key erasure: each refill makes a new key first, so a
//! process that is broken into later does not reveal what it has already handed out, and octets handed out are wiped from the
//! pool. Fresh randomness from the kernel is mixed in by amount and by time.
//!
//! A pool must not live in two processes. Noonmark's roles are executed anew, never forked from one that has a pool.

use aes::Aes256Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use noonmark_units::Mono;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// A cryptographically secure generator for one thread.
pub struct RandomPool {
    key: Zeroizing<[u8; KEY_LEN]>,
    ready: Zeroizing<[u8; READY_LEN]>,
    /// Octets of `ready` not yet handed out, all at its end.
    left: usize,
    refills_since_seed: u32,
    seeded_at: Mono,
}

impl RandomPool {
    /// A pool seeded by the kernel.
    ///
    /// # Errors
    /// [`NoRandomness`] if the kernel gives none.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut pool = Self {
            key: Zeroizing::new([0; KEY_LEN]),
            ready: Zeroizing::new([0; READY_LEN]),
            left: 0,
            refills_since_seed: 0,
            seeded_at: Mono(0),
        };
        pool.reseed(crate::clock::monotonic())?;
        Ok(pool)
    }

    /// Fills `out`. Cannot fail: if the kernel refuses fresh randomness, the generator goes on from what it has and asks
    /// again at the next refill.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut rest = out;
        while !rest.is_empty() {
            if self.left == 0 {
                self.refill();
            }
            let count = rest.len().min(self.left);
            let start = READY_LEN - self.left;
            let (now, later) = rest.split_at_mut(count);
            if let Some(source) = self.ready.get_mut(start..start + count) {
                now.copy_from_slice(source);
                source.zeroize();
            }
            self.left -= count;
            rest = later;
        }
    }

    /// An array of random octets.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    fn refill(&mut self) {
        let now = crate::clock::monotonic();
        if self.refills_since_seed >= RESEED_REFILLS || now.since(self.seeded_at) >= RESEED_AFTER {
            // Nothing is lost by a refusal: the key in hand is still unknown to anyone.
            let _ = self.reseed(now);
        }
        // Counter mode from block 0: the key is used for this one stream and never again.
        let cipher = Aes256Enc::new(&Array::from(*self.key));
        let mut stream = [Array::from([0_u8; BLOCK_LEN]); STREAM_BLOCKS];
        for (counter, block) in (0_u128..).zip(&mut stream) {
            *block = Array::from(counter.to_be_bytes());
        }
        cipher.encrypt_blocks(&mut stream);
        let places =
            self.key.chunks_exact_mut(BLOCK_LEN).chain(self.ready.chunks_exact_mut(BLOCK_LEN));
        for (place, block) in places.zip(&mut stream) {
            place.copy_from_slice(block);
            block.as_mut_slice().zeroize();
        }
        self.left = READY_LEN;
        self.refills_since_seed = self.refills_since_seed.saturating_add(1);
    }

    /// Mixes 32 octets of the kernel's into the key: never worse than either alone.
    fn reseed(&mut self, now: Mono) -> Result<(), NoRandomness> {
        let mut fresh = Zeroizing::new([0; KEY_LEN]);
        SystemRandom::new().fill(&mut *fresh).map_err(|_| NoRandomness)?;
        for (ours, theirs) in self.key.iter_mut().zip(fresh.iter()) {
            *ours ^= theirs;
        }
        self.refills_since_seed = 0;
        self.seeded_at = now;
        Ok(())
    }
}

/// The kernel gave no random octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel gave no random octets")
    }
}

impl std::error::Error for NoRandomness {}

const KEY_LEN: usize = 32;
const BLOCK_LEN: usize = 16;
const STREAM_BLOCKS: usize = 64;
/// What one refill hands out: the stream without the next key.
const READY_LEN: usize = STREAM_BLOCKS * BLOCK_LEN - KEY_LEN;
/// About 1 MiB.
const RESEED_REFILLS: u32 = 1024;
const RESEED_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_differ_and_no_octets_repeat() {
        let mut one = RandomPool::new().expect("kernel");
        let mut other = RandomPool::new().expect("kernel");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            assert!(seen.insert(one.array::<16>()) && seen.insert(other.array::<16>()));
        }
    }

    #[test]
    fn stream_is_that_of_aes_and_the_key_moves_on() {
        let mut pool = RandomPool::new().expect("kernel");
        let key = *pool.key;
        let mut out = [0; READY_LEN + 16];
        pool.fill(&mut out);
        // Block 2 of the stream (0 and 1 became the next key), computed with the cipher itself.
        let mut block = Array::from(2_u128.to_be_bytes());
        Aes256Enc::new(&Array::from(key)).encrypt_block(&mut block);
        assert_eq!(out[..16], *block.as_slice());
        assert_ne!(*pool.key, key, "a used key is erased");
        assert_eq!(pool.left, READY_LEN - 16);
        assert!(pool.ready[..16].iter().all(|octet| *octet == 0), "what was handed out is wiped");
    }

    #[test]
    fn fresh_randomness_comes_by_amount_and_by_time() {
        let mut pool = RandomPool::new().expect("kernel");
        pool.fill(&mut vec![0; READY_LEN * RESEED_REFILLS as usize]);
        assert_eq!(pool.refills_since_seed, RESEED_REFILLS);
        pool.array::<1>();
        assert_eq!(pool.refills_since_seed, 1, "reseeded, then one refill");
        pool.left = 0;
        pool.seeded_at = Mono(crate::clock::monotonic().0.saturating_sub(61_000_000_000));
        let old = pool.seeded_at;
        pool.array::<1>();
        assert!(pool.seeded_at > old || crate::clock::monotonic().0 < 61_000_000_000);
    }

    #[test]
    fn bits_are_balanced() {
        let mut octets = vec![0; 1 << 20];
        RandomPool::new().expect("kernel").fill(&mut octets);
        let ones: u64 = octets.iter().map(|octet| u64::from(octet.count_ones())).sum();
        // 2^23 fair bits: standard deviation 1448; eight of them fail once in 10^15 runs.
        let half = 1_u64 << 22;
        assert!(ones.abs_diff(half) < 8 * 1448, "{ones} of {}", half * 2);
    }
}
