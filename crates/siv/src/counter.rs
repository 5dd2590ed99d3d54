//! Counter mode as SIV uses it (RFC 5297 §2.5): key stream from the tag, exclusive or in place.

use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser, array::Array, consts::U16,
    typenum::Unsigned,
};

use crate::TAG_LEN;
use crate::block::{self, Block, BlockCipher, Word};

/// Encrypts or decrypts `text` under the counter that starts at `tag`.
#[inline]
pub(crate) fn apply<C: BlockCipher>(cipher: &C, tag: &[u8; TAG_LEN], text: &mut [u8]) {
    if !text.is_empty() {
        cipher.encrypt_with_backend(Text { tag, text });
    }
}

struct Text<'a> {
    tag: &'a [u8; TAG_LEN],
    text: &'a mut [u8],
}

impl BlockSizeUser for Text<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Text<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        apply_with(backend, self.tag, self.text);
    }
}

/// Blocks of key stream made at a time: enough to hide the latency of AES, few enough to stay in registers.
const WIDTH: usize = 8;

/// [`apply`] inside a backend.
#[inline(always)]
pub(crate) fn apply_with<B>(backend: &B, tag: &[u8; TAG_LEN], text: &mut [u8])
where
    B: BlockCipherEncBackend<BlockSize = U16>,
{
    let mut counter = Word::new(tag).number() & CLEARED;
    let mut stream = [Block::default(); WIDTH];
    for chunk in text.chunks_mut(WIDTH * block::LEN) {
        key_stream(backend, &mut counter, &mut stream, chunk.len().div_ceil(block::LEN));
        let (blocks, odd) = chunk.as_chunks_mut::<{ block::LEN }>();
        let mut stream = stream.iter();
        for (text, stream) in blocks.iter_mut().zip(&mut stream) {
            *text = (Word::new(text) ^ Word::new(&stream.0)).octets();
        }
        for (text, stream) in odd.iter_mut().zip(stream.next().iter().copied().flatten()) {
            *text ^= stream;
        }
    }
}

/// Bits 63 and 31 of the tag are cleared, so that adders of 32 and 64 bits would do as well (RFC 5297 §2.5).
pub(crate) const CLEARED: u128 = !(1 << 63 | 1 << 31);

/// Puts the next `count` ≤ [`WIDTH`] blocks of key stream at the front of `stream`; the rest is without meaning.
#[inline(always)]
fn key_stream<B>(backend: &B, counter: &mut u128, stream: &mut [Block; WIDTH], count: usize)
where
    B: BlockCipherEncBackend<BlockSize = U16>,
{
    for block in &mut *stream {
        *block = Block::from(Word::from_number(*counter).octets());
        *counter = counter.wrapping_add(1);
    }
    let wanted = stream.get_mut(..count).unwrap_or_default();
    if B::ParBlocksSize::USIZE <= WIDTH {
        let (groups, tail) = Array::slice_as_chunks_mut(wanted);
        for group in groups {
            backend.encrypt_par_blocks_inplace(group);
        }
        backend.encrypt_tail_blocks_inplace(tail);
    } else {
        for block in wanted {
            backend.encrypt_block_inplace(block);
        }
    }
}
