//! Many independent messages at once: under one key, or each under its own.

use aes::cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser, consts::U16};

use crate::block::{Block, BlockCipher, Word};
use crate::cmac::Subkeys;
use crate::s2v::{Lanes, Message, s2v};
use crate::siv::{Siv, Tags, matches_or_wipe};
use crate::{TAG_LEN, counter};

/// Messages advanced together. Eight cover the latency of an AES round on the processors at hand; twice as many gain
/// little and double what a half-filled batch wastes.
const LANES: usize = 8;

/// One message among many: associated data, nonce, text (sealed or opened in place) and its tag.
pub struct Job<'a> {
    /// Associated data: authenticated, not encrypted. First header of S2V.
    pub ad: &'a [u8],
    /// Nonce, 16 octets in NTS. Second header of S2V.
    pub nonce: &'a [u8],
    /// Plaintext when sealing, ciphertext when opening; replaced by the other.
    pub text: &'a mut [u8],
    /// Written when sealing, read when opening.
    pub tag: &'a mut [u8; TAG_LEN],
}

impl<C: BlockCipher> Siv<C> {
    /// Seals every job under this key, as [`Siv::seal`] with headers `[ad, nonce]` would one by one.
    pub fn seal_many(&self, jobs: &mut [Job<'_>]) {
        for group in jobs.chunks_mut(LANES) {
            let tags = self.tags_of(group);
            for (job, tag) in group.iter_mut().zip(tags) {
                *job.tag = tag.0;
            }
            self.counter.encrypt_with_backend(Texts { jobs: group });
        }
    }

    /// Opens every job under this key; `ok[n]` tells whether the n-th was authentic. The text of one that was not is
    /// wiped; it does not disturb the others.
    ///
    /// # Panics
    /// Unless `ok` is as long as `jobs`.
    pub fn open_many(&self, jobs: &mut [Job<'_>], ok: &mut [bool]) {
        assert_eq!(jobs.len(), ok.len(), "one verdict per job");
        for (group, ok) in jobs.chunks_mut(LANES).zip(ok.chunks_mut(LANES)) {
            self.counter.encrypt_with_backend(Texts { jobs: group });
            let tags = self.tags_of(group);
            for ((job, tag), ok) in group.iter_mut().zip(tags).zip(ok) {
                *ok = matches_or_wipe(&tag.0, job.tag, job.text);
            }
        }
    }

    /// Tags of the plaintexts of a group of at most [`LANES`].
    fn tags_of(&self, group: &[Job<'_>]) -> [Block; LANES] {
        let mut tags = [Block::default(); LANES];
        let headers = headers_of(group.iter());
        let messages = &messages_of(group.iter(), &headers);
        self.mac.cipher.encrypt_with_backend(Tags { siv: self, messages, tags: &mut tags });
        tags
    }
}

/// Seals every job under the key beside it, as [`Siv::seal`] with headers `[ad, nonce]` would one by one.
pub fn seal_each<C: BlockCipher>(jobs: &mut [(&Siv<C>, Job<'_>)]) {
    for group in jobs.chunks_mut(LANES) {
        let tags = tags_of_each(group);
        for ((siv, job), tag) in group.iter_mut().zip(tags) {
            *job.tag = tag.0;
            counter::apply(&siv.counter, job.tag, job.text);
        }
    }
}

/// Opens every job under the key beside it; `ok[n]` tells whether the n-th was authentic. The text of one that was not
/// is wiped; it does not disturb the others.
///
/// # Panics
/// Unless `ok` is as long as `jobs`.
pub fn open_each<C: BlockCipher>(jobs: &mut [(&Siv<C>, Job<'_>)], ok: &mut [bool]) {
    assert_eq!(jobs.len(), ok.len(), "one verdict per job");
    for (group, ok) in jobs.chunks_mut(LANES).zip(ok.chunks_mut(LANES)) {
        for (siv, job) in group.iter_mut() {
            counter::apply(&siv.counter, job.tag, job.text);
        }
        let tags = tags_of_each(group);
        for (((_, job), tag), ok) in group.iter_mut().zip(tags).zip(ok) {
            *ok = matches_or_wipe(&tag.0, job.tag, job.text);
        }
    }
}

fn tags_of_each<C: BlockCipher>(group: &[(&Siv<C>, Job<'_>)]) -> [Block; LANES] {
    let Some((any, _)) = group.first() else { return [Block::default(); LANES] };
    let keys = core::array::from_fn(|lane| group.get(lane).map_or(*any, |(siv, _)| *siv));
    let jobs = || group.iter().map(|(_, job)| job);
    let headers = headers_of(jobs());
    s2v(&OwnKeys { keys }, &messages_of(jobs(), &headers))
}

fn headers_of<'j>(jobs: impl Iterator<Item = &'j Job<'j>>) -> [[&'j [u8]; 2]; LANES] {
    let mut headers = [[&[][..]; 2]; LANES];
    for (place, job) in headers.iter_mut().zip(jobs) {
        *place = [job.ad, job.nonce];
    }
    headers
}

/// The jobs as messages; lanes left over get the cheapest one, and nobody looks at its tag.
fn messages_of<'j>(
    jobs: impl Iterator<Item = &'j Job<'j>>,
    headers: &'j [[&'j [u8]; 2]; LANES],
) -> [Message<'j>; LANES] {
    let mut messages = [Message::default(); LANES];
    for ((place, headers), job) in messages.iter_mut().zip(headers).zip(jobs) {
        *place = Message { headers, text: job.text };
    }
    messages
}

/// Counter mode over a group under one key.
struct Texts<'g, 'a> {
    jobs: &'g mut [Job<'a>],
}

impl BlockSizeUser for Texts<'_, '_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Texts<'_, '_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        for job in self.jobs {
            counter::apply_with(backend, job.tag, job.text);
        }
    }
}

/// Every lane under its own key. The `aes` crate has no block of several keys, so each block is its own call; the
/// chains are independent, and the processor runs as many of those calls at once as its window holds.
struct OwnKeys<'a, C> {
    keys: [&'a Siv<C>; LANES],
}

impl<C: BlockCipher> Lanes for OwnKeys<'_, C> {
    #[inline(always)]
    fn encrypt(&self, lane: usize, block: &mut Block) {
        self.keys[lane].mac.cipher.encrypt_block(block);
    }

    #[inline(always)]
    fn subkeys(&self, lane: usize) -> &Subkeys {
        &self.keys[lane].mac.subkeys
    }

    #[inline(always)]
    fn zero(&self, lane: usize) -> Word {
        self.keys[lane].zero
    }
}
