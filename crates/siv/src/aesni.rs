//! AES-SIV-CMAC-256 of eight messages under eight keys by the processor's own AES instructions, in lock step.
//!
//! A round of AES takes four cycles and two can begin in each, so one chain of CMAC leaves seven eighths of the processor idle. The crate `aes` has no
//! call for blocks of several keys; eight calls, one for each, cost more than the rounds in them. Here a round of all eight lanes is eight
//! instructions in a row. What is not a chain of blocks (doubling, padding, the end of a text) is the code that every other path uses.
//!
//! `unsafe` stands here for two things: calling what only some processors have, after [`has_aes`] has said that this one does, and loading and storing
//! sixteen octets.
#![allow(
    unsafe_code,
    reason = "instructions for AES have no safe interface for several keys at once"
)]

use core::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_loadu_si128, _mm_set_epi8, _mm_set1_epi32,
    _mm_setzero_si128, _mm_shuffle_epi8, _mm_slli_si128, _mm_storeu_si128, _mm_xor_si128,
};

use zeroize::Zeroize;

use crate::block::{Block, LEN, Word};
use crate::cmac::{Subkeys, split_last};
use crate::counter::CLEARED;
use crate::keyed::{Keyed, LANES};
use crate::s2v::{Tail, free_part};
use crate::siv::matches_or_wipe;

cpufeatures::new!(has_aes, "aes", "ssse3");

/// Seals the messages of a group, at least one of them, if this processor can; otherwise does nothing and returns false.
pub(crate) fn seal(group: &mut [Option<&mut Keyed<'_>>; LANES]) -> bool {
    if !has_aes::get() {
        return false;
    }
    // SAFETY: the processor has the instructions, as was just asked.
    unsafe { seal_here(group) };
    true
}

/// Opens the messages of a group, at least one of them, if this processor can; otherwise does nothing and returns false.
pub(crate) fn open(group: &mut [Option<&mut Keyed<'_>>; LANES], ok: &mut [bool; LANES]) -> bool {
    if !has_aes::get() {
        return false;
    }
    // SAFETY: the processor has the instructions, as was just asked.
    unsafe { open_here(group, ok) };
    true
}

#[target_feature(enable = "aes,ssse3")]
fn seal_here(group: &mut [Option<&mut Keyed<'_>>; LANES]) {
    let keys = Keys::expand(group);
    let tags = keys.tags(group);
    for ((lane, message), tag) in group.iter_mut().flatten().enumerate().zip(tags) {
        *message.job.tag = tag;
        keys.counter.apply(lane, &tag, message.job.text);
    }
}

#[target_feature(enable = "aes,ssse3")]
fn open_here(group: &mut [Option<&mut Keyed<'_>>; LANES], ok: &mut [bool; LANES]) {
    let keys = Keys::expand(group);
    for (lane, message) in group.iter_mut().flatten().enumerate() {
        keys.counter.apply(lane, message.job.tag, message.job.text);
    }
    let tags = keys.tags(group);
    for ((message, tag), ok) in group.iter_mut().flatten().zip(tags).zip(ok) {
        *ok = matches_or_wipe(&tag, message.job.tag, message.job.text);
    }
}

/// Both halves of the keys of all lanes. Lanes that nobody is in have the first one's, and do again what it does: a lane that idled would save
/// nothing.
struct Keys {
    mac: Schedules,
    counter: Schedules,
}

impl Keys {
    #[target_feature(enable = "aes,ssse3")]
    fn expand(group: &[Option<&mut Keyed<'_>>; LANES]) -> Self {
        let halves = |half: usize| {
            group.each_ref().map(|message| {
                let message = message.as_ref().or(group[0].as_ref());
                let key = message.map_or(&[0; 32], |message| message.key).as_chunks().0;
                load(&key[half])
            })
        };
        Self { mac: Schedules::expand(halves(0)), counter: Schedules::expand(halves(1)) }
    }

    /// S2V (RFC 5297 §2.4) of associated data, nonce and text of each message.
    #[target_feature(enable = "aes,ssse3")]
    fn tags(&self, group: &[Option<&mut Keyed<'_>>; LANES]) -> [[u8; LEN]; LANES] {
        let job = |lane: usize| group[lane].as_ref().or(group[0].as_ref()).map(|m| &m.job);
        let part = |lane: usize, of: usize| match (job(lane), of) {
            (Some(job), 0) => job.ad,
            (Some(job), 1) => job.nonce,
            (Some(job), _) => &*job.text,
            (None, _) => &[],
        };
        let zero = self.mac.encrypt([_mm_setzero_si128(); LANES]);
        let subkeys = zero.map(|block| Subkeys::from_zero_block(&Block::from(octets(block))));
        let zero =
            self.mac.encrypt(core::array::from_fn(|lane| load(&subkeys[lane].whole.octets())));
        let mut folded = zero.map(|block| word(block));
        for of in [0, 1] {
            let split: [_; LANES] = core::array::from_fn(|lane| split_last(part(lane, of)));
            let mut state = self.mac.chain(split.map(|(blocks, _)| blocks));
            for lane in 0..LANES {
                let last = subkeys[lane].last(split[lane].1).octets();
                state[lane] = _mm_xor_si128(state[lane], load(&last));
            }
            state = self.mac.encrypt(state);
            for lane in 0..LANES {
                folded[lane] = folded[lane].doubled() ^ word(state[lane]);
            }
        }
        let texts: [_; LANES] = core::array::from_fn(|lane| part(lane, 2));
        let free = texts.map(|text| text.split_at(free_part(text.len())).0.as_chunks().0);
        let mut state = self.mac.chain(free);
        for lane in 0..LANES {
            let tail = Tail::new(&subkeys[lane], texts[lane], folded[lane]);
            if let Some(first) = tail.first {
                state[lane] = _mm_xor_si128(state[lane], load(&first.octets()));
                state[lane] = self.mac.encrypt_one(lane, state[lane]);
            }
            state[lane] = _mm_xor_si128(state[lane], load(&tail.last.octets()));
        }
        self.mac.encrypt(state).map(|block| octets(block))
    }
}

/// Round keys of AES-128 (FIPS 197 §5.2) of all lanes, round by round; wiped on drop.
struct Schedules([[__m128i; LANES]; ROUNDS + 1]);

impl Schedules {
    #[target_feature(enable = "aes,ssse3")]
    fn expand(keys: [__m128i; LANES]) -> Self {
        let mut rounds = [keys; ROUNDS + 1];
        // The last column, rotated, in every column: then the rotation of rows in the last round of AES changes nothing, and what is left of
        // that round is the substitution and the round constant.
        let rotated = _mm_set_epi8(12, 15, 14, 13, 12, 15, 14, 13, 12, 15, 14, 13, 12, 15, 14, 13);
        let mut keys = keys;
        for (round, constant) in rounds.iter_mut().skip(1).zip(CONSTANTS) {
            let constant = _mm_set1_epi32(constant);
            for key in &mut keys {
                let last = _mm_aesenclast_si128(_mm_shuffle_epi8(*key, rotated), constant);
                *key = _mm_xor_si128(*key, _mm_slli_si128::<4>(*key));
                *key = _mm_xor_si128(*key, _mm_slli_si128::<8>(*key));
                *key = _mm_xor_si128(*key, last);
            }
            *round = keys;
        }
        Self(rounds)
    }

    /// One block of each lane.
    #[inline]
    #[target_feature(enable = "aes,ssse3")]
    fn encrypt(&self, mut blocks: [__m128i; LANES]) -> [__m128i; LANES] {
        let [first, between @ .., last] = &self.0;
        for (block, key) in blocks.iter_mut().zip(first) {
            *block = _mm_xor_si128(*block, *key);
        }
        for keys in between {
            for (block, key) in blocks.iter_mut().zip(keys) {
                *block = _mm_aesenc_si128(*block, *key);
            }
        }
        for (block, key) in blocks.iter_mut().zip(last) {
            *block = _mm_aesenclast_si128(*block, *key);
        }
        blocks
    }

    /// One block of one lane.
    #[inline]
    #[target_feature(enable = "aes,ssse3")]
    fn encrypt_one(&self, lane: usize, block: __m128i) -> __m128i {
        let [first, between @ .., last] = &self.0;
        let mut block = _mm_xor_si128(block, first[lane]);
        for keys in between {
            block = _mm_aesenc_si128(block, keys[lane]);
        }
        _mm_aesenclast_si128(block, last[lane])
    }

    /// Runs the chain of each lane over its blocks, from zero on: in lock step as long as all have some.
    #[target_feature(enable = "aes,ssse3")]
    fn chain(&self, blocks: [&[[u8; LEN]]; LANES]) -> [__m128i; LANES] {
        let mut states = [_mm_setzero_si128(); LANES];
        let common = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
        let mut lanes = blocks.map(|blocks| blocks.iter());
        for _ in 0..common {
            for (state, block) in states.iter_mut().zip(&mut lanes) {
                if let Some(block) = block.next() {
                    *state = _mm_xor_si128(*state, load(block));
                }
            }
            states = self.encrypt(states);
        }
        for (lane, rest) in lanes.into_iter().enumerate() {
            for block in rest {
                states[lane] = _mm_xor_si128(states[lane], load(block));
                states[lane] = self.encrypt_one(lane, states[lane]);
            }
        }
        states
    }

    /// Counter mode from `tag` on (RFC 5297 §2.5), in place, under the key of one lane.
    #[target_feature(enable = "aes,ssse3")]
    fn apply(&self, lane: usize, tag: &[u8; LEN], text: &mut [u8]) {
        let mut counter = Word::new(tag).number() & CLEARED;
        for chunk in text.chunks_mut(LANES * LEN) {
            let mut stream: [__m128i; LANES] = core::array::from_fn(|n| {
                load(&Word::from_number(counter.wrapping_add(n as u128)).octets())
            });
            counter = counter.wrapping_add(LANES as u128);
            let [first, between @ .., last] = &self.0;
            for block in &mut stream {
                *block = _mm_xor_si128(*block, first[lane]);
            }
            for keys in between {
                for block in &mut stream {
                    *block = _mm_aesenc_si128(*block, keys[lane]);
                }
            }
            for block in &mut stream {
                *block = _mm_aesenclast_si128(*block, last[lane]);
            }
            let (blocks, odd) = chunk.as_chunks_mut::<LEN>();
            let mut stream = stream.iter();
            for (text, stream) in blocks.iter_mut().zip(&mut stream) {
                store(text, _mm_xor_si128(load(text), *stream));
            }
            if let Some(stream) = stream.next() {
                for (text, stream) in odd.iter_mut().zip(octets(*stream)) {
                    *text ^= stream;
                }
            }
        }
    }
}

impl Drop for Schedules {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn load(block: &[u8; LEN]) -> __m128i {
    // SAFETY: the pointer is to sixteen octets that are borrowed, at whatever address they are.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn store(block: &mut [u8; LEN], value: __m128i) {
    // SAFETY: the pointer is to sixteen octets that are borrowed to be written, at whatever address they are.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), value) }
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn octets(block: __m128i) -> [u8; LEN] {
    let mut octets = [0; LEN];
    store(&mut octets, block);
    octets
}

#[inline]
#[target_feature(enable = "aes,ssse3")]
fn word(block: __m128i) -> Word {
    Word::new(&octets(block))
}

const ROUNDS: usize = 10;
/// FIPS 197 §5.2, Rcon.
const CONSTANTS: [i32; ROUNDS] = [1, 2, 4, 8, 16, 32, 64, 128, 27, 54];
