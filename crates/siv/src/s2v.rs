//! S2V (RFC 5297 §2.4): from a list of strings to one block, for several messages side by side.
//!
//! A message has up to three chains of CMAC that do not wait for one another: its first two headers (in NTS the
//! associated data and the nonce) and the text up to its last whole block, which is all that the headers' result goes
//! into. Chains of one message and of all messages advance together, block by block.
//!
//! Everything is inlined into the cipher's backend with the number of lanes fixed, so that for one lane the chains
//! stay in registers.
#![allow(clippy::needless_range_loop, reason = "lane and chain index several arrays side by side")]

use crate::block::{self, Block, Word};
use crate::cmac::{Subkeys, split_last};

/// What goes into one S2V: headers in order, then the text.
#[derive(Clone, Copy, Default)]
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
    fn zero(&self, lane: usize) -> Word;
}

/// S2V of `N` messages.
#[inline(always)]
pub(crate) fn s2v<const N: usize>(lanes: &impl Lanes, messages: &[Message<'_>; N]) -> [Block; N] {
    let chains: [Chains<'_>; N] = core::array::from_fn(|lane| Chains::new(&messages[lane]));
    let mut states = [[Block::default(); CHAINS]; N];
    advance_together(lanes, &chains, &mut states);
    finish_headers(lanes, &chains, &mut states);

    let tails: [Tail; N] = core::array::from_fn(|lane| {
        let headers = fold_headers(lanes, lane, messages[lane].headers, &states[lane]);
        Tail::new(lanes.subkeys(lane), messages[lane].text, headers)
    });
    let mut tags: [Block; N] = core::array::from_fn(|lane| states[lane][TEXT]);
    for lane in 0..N {
        if let Some(first) = tails[lane].first {
            block::xor(&mut tags[lane], first);
            lanes.encrypt(lane, &mut tags[lane]);
        }
    }
    for lane in 0..N {
        block::xor(&mut tags[lane], tails[lane].last);
        lanes.encrypt(lane, &mut tags[lane]);
    }
    tags
}

const TEXT: usize = 0;
const FIRST_HEADER: usize = 1;
const CHAINS: usize = 3;

/// The independent chains of one message.
struct Chains<'a> {
    blocks: [&'a [[u8; block::LEN]]; CHAINS],
    /// Last 0 to 16 octets of the first two headers, where there are such.
    last: [Option<&'a [u8]>; CHAINS],
}

impl<'a> Chains<'a> {
    #[inline(always)]
    fn new(message: &Message<'a>) -> Self {
        let (free, _) = message.text.split_at(free_part(message.text.len()));
        let mut chains = Self { blocks: [free.as_chunks().0, &[], &[]], last: [None; CHAINS] };
        for chain in FIRST_HEADER..CHAINS {
            if let Some(header) = message.headers.get(chain - FIRST_HEADER) {
                let (blocks, last) = split_last(header);
                chains.blocks[chain] = blocks;
                chains.last[chain] = Some(last);
            }
        }
        chains
    }
}

/// Runs all chains in lock step up to where they need something of another.
#[inline(always)]
fn advance_together<const N: usize>(
    lanes: &impl Lanes,
    chains: &[Chains<'_>; N],
    states: &mut [[Block; CHAINS]; N],
) {
    let mut longest = 0;
    for chains in chains {
        for blocks in chains.blocks {
            longest = longest.max(blocks.len());
        }
    }
    for n in 0..longest {
        for lane in 0..N {
            for chain in 0..CHAINS {
                if let Some(block) = chains[lane].blocks[chain].get(n) {
                    block::xor(&mut states[lane][chain], Word::new(block));
                    lanes.encrypt(lane, &mut states[lane][chain]);
                }
            }
        }
    }
}

/// Takes in the last block of each header: afterwards those states are the headers' CMACs.
#[inline(always)]
fn finish_headers<const N: usize>(
    lanes: &impl Lanes,
    chains: &[Chains<'_>; N],
    states: &mut [[Block; CHAINS]; N],
) {
    for lane in 0..N {
        for chain in FIRST_HEADER..CHAINS {
            if let Some(last) = chains[lane].last[chain] {
                block::xor(&mut states[lane][chain], lanes.subkeys(lane).last(last));
                lanes.encrypt(lane, &mut states[lane][chain]);
            }
        }
    }
}

/// D of RFC 5297 §2.4 after all headers.
#[inline(always)]
fn fold_headers(
    lanes: &impl Lanes,
    lane: usize,
    headers: &[&[u8]],
    states: &[Block; CHAINS],
) -> Word {
    let mut folded = lanes.zero(lane);
    for chain in FIRST_HEADER..CHAINS {
        if headers.len() > chain - FIRST_HEADER {
            folded = folded.doubled() ^ Word::new(&states[chain].0);
        }
    }
    for header in headers.iter().skip(CHAINS - FIRST_HEADER) {
        folded = folded.doubled() ^ mac_of(lanes, lane, header);
    }
    folded
}

/// The CMAC of a third or later header, which NTS never has.
#[cold]
fn mac_of(lanes: &impl Lanes, lane: usize, header: &[u8]) -> Word {
    let (blocks, last) = split_last(header);
    let mut state = Block::default();
    for block in blocks {
        block::xor(&mut state, Word::new(block));
        lanes.encrypt(lane, &mut state);
    }
    block::xor(&mut state, lanes.subkeys(lane).last(last));
    lanes.encrypt(lane, &mut state);
    Word::new(&state.0)
}

/// Octets at the front of a text of `len` octets, in whole blocks, that "xorend" (RFC 5297 §2.1) does not touch:
/// it covers the last 16, and so two blocks where the text ends inside one.
#[inline(always)]
pub(crate) fn free_part(len: usize) -> usize {
    len.saturating_sub(block::LEN) / block::LEN * block::LEN
}

/// The end of a text with the headers' result and the subkey worked in: one block, or two.
pub(crate) struct Tail {
    pub(crate) first: Option<Word>,
    pub(crate) last: Word,
}

impl Tail {
    #[inline(always)]
    pub(crate) fn new(subkeys: &Subkeys, text: &[u8], headers: Word) -> Self {
        let (_, end) = text.split_at(free_part(text.len()));
        let Some((first, rest)) = end.split_first_chunk() else {
            // The padding belongs to S2V, so what CMAC sees is one full block: K1, not K2.
            let last = headers.doubled() ^ Word::padded(end) ^ subkeys.whole;
            return Self { first: None, last };
        };
        let first = Word::new(first);
        if rest.is_empty() {
            return Self { first: None, last: headers ^ first ^ subkeys.whole };
        }
        // 17 to 31 octets: the last 16 of them meet the headers' result, shifted to their place; then CMAC pads.
        let shift = 8 * (rest.len() as u32 % 16);
        let headers = headers.number();
        Self {
            first: Some(first ^ Word::from_number(headers >> shift)),
            last: Word::padded(rest) ^ Word::from_number(headers << (128 - shift)) ^ subkeys.padded,
        }
    }
}
