//! Messages of different clients, each under a key of its own that is used for this one message.
//!
//! A server meets such a key twice, in a request and in its answer, and forgets it: expanding it is part of the work. Where the processor has
//! instructions for AES, expansion and chains of eight messages run in lock step ([`crate::aesni`]); elsewhere each key is expanded and
//! [`seal_each`] and [`open_each`] do the rest.

use crate::many::{Job, open_each, seal_each};
use crate::{SivCmac256, TAG_LEN};

/// A message, and the key it is sealed or opened with.
pub struct Keyed<'a> {
    /// AEAD_AES_SIV_CMAC_256.
    pub key: &'a [u8; 32],
    /// The message.
    pub job: Job<'a>,
}

/// Messages advanced together.
pub(crate) const LANES: usize = 8;

/// Seals every message under its key, as [`Siv::seal`](crate::Siv::seal) with headers `[ad, nonce]` would one by one.
pub fn seal_keyed<'l, 'a: 'l>(messages: impl IntoIterator<Item = &'l mut Keyed<'a>>) {
    let mut messages = messages.into_iter().fuse();
    loop {
        let mut group: [_; LANES] = core::array::from_fn(|_| messages.next());
        match &mut group {
            [None, ..] => return,
            [Some(Keyed { key, job }), None, ..] => {
                *job.tag = expanded(key).seal(&[job.ad, job.nonce], job.text);
            }
            group => seal_group(group),
        }
        if group[LANES - 1].is_none() {
            return;
        }
    }
}

/// Opens every message under its key, as [`Siv::open`](crate::Siv::open) would one by one, and tells `each` of them, in their order, whether it was
/// authentic. The text of one that was not is wiped; it does not disturb the others.
pub fn open_keyed<'l, 'a: 'l>(
    messages: impl IntoIterator<Item = &'l mut Keyed<'a>>,
    mut each: impl FnMut(bool),
) {
    let mut messages = messages.into_iter().fuse();
    loop {
        let mut group: [_; LANES] = core::array::from_fn(|_| messages.next());
        let mut ok = [false; LANES];
        match &mut group {
            [None, ..] => return,
            [Some(Keyed { key, job }), None, ..] => {
                ok[0] = expanded(key).open(&[job.ad, job.nonce], job.text, job.tag).is_ok();
            }
            group => open_group(group, &mut ok),
        }
        let filled = group.iter().take_while(|message| message.is_some()).count();
        ok.iter().take(filled).for_each(|ok| each(*ok));
        if filled < LANES {
            return;
        }
    }
}

/// At least two messages, those in front.
type Group<'l, 'a> = [Option<&'l mut Keyed<'a>>; LANES];

fn seal_group(group: &mut Group<'_, '_>) {
    #[cfg(target_arch = "x86_64")]
    if crate::aesni::seal(group) {
        return;
    }
    portable::seal(group);
}

fn open_group(group: &mut Group<'_, '_>, ok: &mut [bool; LANES]) {
    #[cfg(target_arch = "x86_64")]
    if crate::aesni::open(group, ok) {
        return;
    }
    portable::open(group, ok);
}

fn expanded(key: &[u8; 32]) -> SivCmac256 {
    SivCmac256::new(key).expect("32 octets")
}

/// On any processor.
mod portable {
    use super::*;

    pub(super) fn seal(group: &mut Group<'_, '_>) {
        with_jobs(group, seal_each);
    }

    pub(super) fn open(group: &mut Group<'_, '_>, ok: &mut [bool; LANES]) {
        with_jobs(group, |jobs| open_each(jobs, ok.split_at_mut(jobs.len()).0));
    }

    /// Expands the keys and hands over all messages as jobs.
    fn with_jobs(group: &mut Group<'_, '_>, work: impl FnOnce(&mut [(&SivCmac256, Job<'_>)])) {
        let mut keys = [const { None }; LANES];
        for (key, message) in keys.iter_mut().zip(group.iter().flatten()) {
            *key = Some(expanded(message.key));
        }
        let Some(first) = keys.first().and_then(Option::as_ref) else { return };
        let mut idle = [[0; TAG_LEN]; LANES];
        let mut jobs =
            idle.each_mut().map(|tag| (first, Job { ad: &[], nonce: &[], text: &mut [], tag }));
        let mut filled = 0;
        let messages = group.iter_mut().flatten();
        for ((job, key), Keyed { job: message, .. }) in
            jobs.iter_mut().zip(keys.iter().flatten()).zip(messages)
        {
            let Job { ad, nonce, text, tag } = message;
            *job = (key, Job { ad, nonce, text, tag });
            filled += 1;
        }
        work(jobs.split_at_mut(filled).0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of all lengths that begin, end and straddle blocks; every lane another one, or all alike.
    fn check(number: usize, lengths: impl Fn(usize) -> (usize, usize, usize)) {
        let octets = |seed: usize, len: usize| -> ([u8; 1000], usize) {
            (core::array::from_fn(|n| (n * 31 + seed * 17 + 3) as u8), len)
        };
        let keys: [[u8; 32]; 20] = core::array::from_fn(|n| [n as u8 + 1; 32]);
        let parts: [_; 20] = core::array::from_fn(|n| {
            let (ad, nonce, text) = lengths(n);
            (octets(n, ad), octets(n + 100, nonce), octets(n + 200, text))
        });
        let mut expected = parts;
        let mut tags = [[0; TAG_LEN]; 20];
        for (((key, tag), (ad, nonce, text)), _) in
            keys.iter().zip(&mut tags).zip(&mut expected).zip(0..number)
        {
            let siv = SivCmac256::new(key).unwrap();
            *tag = siv.seal(&[&ad.0[..ad.1], &nonce.0[..nonce.1]], &mut text.0[..text.1]);
        }
        let ways: [(Seal, Open); 2] = [(seal_group, open_group), (portable::seal, portable::open)];
        for (seal, open) in ways {
            let mut sealed = parts;
            let mut made = [[0; TAG_LEN]; 20];
            with_messages(&keys, &mut sealed, &mut made, number, |messages| {
                in_groups(messages, seal);
            });
            assert!(sealed == expected && made == tags, "{number} messages sealed");
            // The last one is not authentic.
            made[number - 1][7] ^= 1;
            let mut verdicts = [None; 20];
            let mut next = 0;
            with_messages(&keys, &mut sealed, &mut made, number, |messages| {
                in_groups(messages, |group| {
                    let mut ok = [false; LANES];
                    open(group, &mut ok);
                    for ok in ok.iter().take(group.iter().flatten().count()) {
                        verdicts[next] = Some(*ok);
                        next += 1;
                    }
                });
            });
            for n in 0..number {
                let (is_good, text) = (n + 1 < number, sealed[n].2);
                assert_eq!(verdicts[n], Some(is_good), "{n} of {number}");
                let text = &text.0[..text.1];
                let plain = &parts[n].2.0[..text.len()];
                assert!(if is_good { text == plain } else { text.iter().all(|x| *x == 0) });
            }
        }
    }

    type Part = ([u8; 1000], usize);
    type Seal = fn(&mut Group<'_, '_>);
    type Open = fn(&mut Group<'_, '_>, &mut [bool; LANES]);

    fn with_messages(
        keys: &[[u8; 32]; 20],
        parts: &mut [(Part, Part, Part); 20],
        tags: &mut [[u8; TAG_LEN]; 20],
        number: usize,
        work: impl FnOnce(&mut [Keyed<'_>]),
    ) {
        let mut tags = tags.iter_mut();
        let mut messages = parts.each_mut().map(|(ad, nonce, text)| {
            let tag = tags.next().unwrap();
            let text = &mut text.0[..text.1];
            Job { ad: &ad.0[..ad.1], nonce: &nonce.0[..nonce.1], text, tag }
        });
        let mut keys = keys.iter();
        let mut messages = messages.each_mut().map(|job| {
            let Job { ad, nonce, text, tag } = job;
            Keyed { key: keys.next().unwrap(), job: Job { ad, nonce, text, tag } }
        });
        work(&mut messages[..number]);
    }

    fn in_groups(messages: &mut [Keyed<'_>], mut work: impl FnMut(&mut Group<'_, '_>)) {
        for some in messages.chunks_mut(LANES) {
            let mut some = some.iter_mut();
            work(&mut core::array::from_fn(|_| some.next()));
        }
    }

    #[test]
    fn every_way_gives_what_one_message_at_a_time_gives() {
        for number in [1, 2, 3, 7, 8, 9, 16, 20] {
            // Those of NTS, all alike.
            for (ad, text) in [(188, 0), (916, 0), (84, 104), (84, 832)] {
                check(number, |_| (ad, 16, text));
            }
            // Every one another.
            check(number, |n| (n * 7, n % 40, n * 5));
            check(number, |n| (n * n, 16, 31 * n));
            check(number, |n| (16 * (n % 3), 15 + n % 3, 16 * (n % 4)));
        }
    }

    #[test]
    fn what_is_handed_over_one_by_one_is_all_done() {
        let key = [9; 32];
        for number in [0, 1, 8, 9, 17, 20] {
            let mut tags = [[0; TAG_LEN]; 20];
            let jobs = tags.each_mut().map(|tag| Keyed {
                key: &key,
                job: Job { ad: b"ad", nonce: b"nonce", text: &mut [], tag },
            });
            let mut jobs = jobs;
            seal_keyed(jobs.iter_mut().take(number));
            let mut good = 0;
            open_keyed(jobs.iter_mut().take(number + 1).take(20), |ok| good += usize::from(ok));
            assert_eq!(good, number);
            let made = tags.iter().filter(|tag| **tag != [0; TAG_LEN]).count();
            assert_eq!(made, number);
        }
    }
}
