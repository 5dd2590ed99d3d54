//! S2V (RFC 5297 §2.4): from a list of strings to one block, for several messages side by side.
//!
//! A message has up to three chains of CMAC that do not wait for one another: its first two headers (in NTS the
//! associated data and the nonce) and the text up to its last whole block, which is all that the headers' result goes
//! into. Chains of one message and of all messages advance together, block by block.

use crate::block::{self, Block};
use crate::cmac::{Subkeys, pad, split_last};

/// What goes into one S2V: headers in order, then the text.
pub(crate) struct Message<'a> {
    pub headers: &'a [&'a [u8]],
    pub text: &'a [u8],
}

/// The MAC half of the key of each message worked on: lane `n` is the n-th message.
pub(crate) trait Lanes {
    /// Encrypts one block under the MAC key of `lane`.
    fn encrypt(&self, lane: usize, block: &mut Block);
    /// The CMAC subkeys of `lane`.
    fn subkeys(&self, lane: usize) -> &Subkeys;
    /// The CMAC of the zero block under the key of `lane`.
    fn zero(&self, lane: usize) -> [u8; block::LEN];
}

/// S2V of at most `N` messages; results of lanes without a message are without meaning.
#[inline(always)]
pub(crate) fn s2v<const N: usize>(lanes: &impl Lanes, messages: &[Message<'_>]) -> [Block; N] {
    let mut chains: [Chains<'_>; N] =
        core::array::from_fn(|lane| messages.get(lane).map(Chains::new).unwrap_or_default());
    let count = messages.len().min(N);
    let chains = chains.get_mut(..count).unwrap_or_default();

    advance_together(lanes, chains);
    for (lane, chains) in chains.iter_mut().enumerate() {
        chains.finish_headers(lanes, lane);
    }

    let mut folded = [Block::default(); N];
    let mut tails = [Tail::default(); N];
    for (lane, (message, chains)) in messages.iter().zip(chains.iter()).enumerate() {
        let headers = fold_headers(lanes, lane, message, chains);
        let tail = Tail::new(lanes.subkeys(lane), message.text, &headers);
        if let (Some(state), Some(place)) = (folded.get_mut(lane), tails.get_mut(lane)) {
            *state = chains.state[TEXT];
            *place = tail;
        }
    }
    for (lane, (state, tail)) in folded.iter_mut().zip(&tails).enumerate().take(count) {
        if tail.straddles {
            block::xor(state, &tail.first);
            lanes.encrypt(lane, state);
        }
    }
    for (lane, (state, tail)) in folded.iter_mut().zip(&tails).enumerate().take(count) {
        block::xor(state, &tail.last);
        lanes.encrypt(lane, state);
    }
    folded
}

const TEXT: usize = 0;
const FIRST_HEADER: usize = 1;
const CHAINS: usize = 3;

/// The independent chains of one message.
#[derive(Default)]
struct Chains<'a> {
    state: [Block; CHAINS],
    blocks: [&'a [[u8; block::LEN]]; CHAINS],
    /// Last 0 to 16 octets of the first two headers, where there are such.
    last: [Option<&'a [u8]>; CHAINS],
}

impl<'a> Chains<'a> {
    #[inline(always)]
    fn new(message: &Message<'a>) -> Self {
        let mut chains = Self::default();
        chains.blocks[TEXT] = message.text.split_at(free_part(message.text.len())).0.as_chunks().0;
        for (n, header) in message.headers.iter().enumerate().take(CHAINS - FIRST_HEADER) {
            let (blocks, last) = split_last(header);
            chains.blocks[FIRST_HEADER + n] = blocks;
            chains.last[FIRST_HEADER + n] = Some(last);
        }
        chains
    }

    /// Takes in the last block of each header: afterwards those states are the headers' CMACs.
    #[inline(always)]
    fn finish_headers(&mut self, lanes: &impl Lanes, lane: usize) {
        for (state, last) in self.state.iter_mut().zip(self.last) {
            if let Some(last) = last {
                lanes.subkeys(lane).absorb_last(state, last);
                lanes.encrypt(lane, state);
            }
        }
    }
}

/// Runs all chains in lock step up to where they need something of another.
#[inline(always)]
fn advance_together(lanes: &impl Lanes, chains: &mut [Chains<'_>]) {
    let longest =
        chains.iter().flat_map(|chains| chains.blocks.map(<[_]>::len)).max().unwrap_or_default();
    for n in 0..longest {
        for (lane, chains) in chains.iter_mut().enumerate() {
            for (state, blocks) in chains.state.iter_mut().zip(chains.blocks) {
                if let Some(block) = blocks.get(n) {
                    block::xor(state, block);
                    lanes.encrypt(lane, state);
                }
            }
        }
    }
}

/// D of RFC 5297 §2.4 after all headers.
#[inline(always)]
fn fold_headers(
    lanes: &impl Lanes,
    lane: usize,
    message: &Message<'_>,
    chains: &Chains<'_>,
) -> Block {
    let mut folded = Block::from(lanes.zero(lane));
    for (n, header) in message.headers.iter().enumerate() {
        folded = block::double(&folded);
        match chains.state.get(FIRST_HEADER + n) {
            Some(mac) => block::xor(&mut folded, &mac.0),
            None => block::xor(&mut folded, &mac_of(lanes, lane, header).0),
        }
    }
    folded
}

/// The CMAC of a third or later header, which NTS never has.
fn mac_of(lanes: &impl Lanes, lane: usize, header: &[u8]) -> Block {
    let (blocks, last) = split_last(header);
    let mut state = Block::default();
    for block in blocks {
        block::xor(&mut state, block);
        lanes.encrypt(lane, &mut state);
    }
    lanes.subkeys(lane).absorb_last(&mut state, last);
    lanes.encrypt(lane, &mut state);
    state
}

/// Octets at the front of a text of `len` octets, in whole blocks, that "xorend" (RFC 5297 §2.1) does not touch:
/// it covers the last 16, and so two blocks where the text ends inside one.
#[inline(always)]
fn free_part(len: usize) -> usize {
    len.saturating_sub(block::LEN) / block::LEN * block::LEN
}

/// The end of a text with the headers' result worked in, subkey included: one block, or two.
#[derive(Clone, Copy, Default)]
struct Tail {
    straddles: bool,
    first: [u8; block::LEN],
    last: [u8; block::LEN],
}

impl Tail {
    #[inline(always)]
    fn new(subkeys: &Subkeys, text: &[u8], headers: &Block) -> Self {
        let (_, end) = text.split_at(free_part(text.len()));
        let mut last;
        if let Ok(whole) = <&[u8; block::LEN]>::try_from(end) {
            last = *headers;
            block::xor(&mut last, whole);
            block::xor(&mut last, &subkeys.whole());
        } else if end.len() < block::LEN {
            // The padding belongs to S2V, so what CMAC sees is one full block: K1, not K2.
            last = block::double(headers);
            block::xor(&mut last, &pad(end));
            block::xor(&mut last, &subkeys.whole());
        } else {
            return Self::straddling(subkeys, end, headers);
        }
        Self { straddles: false, first: [0; block::LEN], last: last.0 }
    }

    /// 17 to 31 octets: the last 16 of them meet `headers`, then CMAC pads.
    #[inline(always)]
    fn straddling(subkeys: &Subkeys, end: &[u8], headers: &Block) -> Self {
        // Both halves are loaded whole and shifted as numbers; first octet most significant.
        let beyond = end.len().saturating_sub(block::LEN).min(block::LEN - 1);
        let (first, rest) = end.split_at(block::LEN.min(end.len()));
        let mut first = Block::try_from(first).unwrap_or_default();
        let mut last = Block::from(pad(rest));
        let shift = 8 * beyond as u32;
        let headers = u128::from_be_bytes(headers.0);
        block::xor(&mut first, &(headers >> shift).to_be_bytes());
        block::xor(&mut last, &(headers << (128 - shift)).to_be_bytes());
        block::xor(&mut last, &subkeys.padded());
        Self { straddles: true, first: first.0, last: last.0 }
    }
}
