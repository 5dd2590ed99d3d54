//! What one message of NTS costs, in nanoseconds: the promises of `docs/performance.md` about this crate.
//!
//! `cargo bench -p noonmark-siv` prints, for each message, the least of many short batches: on a machine shared with
//! other work the least is the figure that repeats. Words after `--` choose the messages whose lines have one of them.

use std::hint::black_box;
use std::time::Instant;

use noonmark_siv::{Job, Keyed, SivCmac256, open_each, open_keyed, seal_each, seal_keyed};

/// A key for each of eight clients.
const OWN: [[u8; 32]; 8] = [[1; 32], [2; 32], [3; 32], [4; 32], [5; 32], [6; 32], [7; 32], [8; 32]];

fn main() {
    let key = SivCmac256::new(&[7; 32]).expect("32 octets");
    let keys: Vec<SivCmac256> =
        (0..8).map(|n| SivCmac256::new(&[n; 32]).expect("32 octets")).collect();
    let (ad, nonce) = ([1; 916], [2; 16]);

    println!("{:<44} {:>10} {:>12}", "message (AD/text octets)", "ns", "ns of all");
    report("new key, wiped after use", 1, || drop(black_box(SivCmac256::new(black_box(&[3; 32])))));
    report("seal one cookie (4/64)", 1, || seal(&key, &ad[..4], &nonce, 64));
    report("seal 8 cookies in lock step (4/64)", 8, || seal_many(&key, &ad[..4], &nonce, 64));
    let opened = sealed(&key, &ad[..4], &nonce);
    report("open one cookie (4/64)", 1, || {
        let (mut text, tag) = opened;
        assert!(key.open(&[&ad[..4], &nonce], black_box(&mut text), &tag).is_ok());
    });
    report("open 8 cookies in lock step (4/64)", 8, || {
        let mut cookies = [opened; 8];
        let mut ok = [false; 8];
        let mut jobs =
            cookies.each_mut().map(|(text, tag)| Job { ad: &ad[..4], nonce: &nonce, text, tag });
        key.open_many(black_box(&mut jobs), &mut ok);
        assert_eq!(ok, [true; 8]);
    });
    report("verify request, 1 cookie (188/0)", 1, || seal(&key, &ad[..188], &nonce, 0));
    report("verify request, 8 cookies (916/0)", 1, || seal(&key, &ad, &nonce, 0));
    report("verify 8 requests, key each (188/0)", 8, || {
        let mut tags = [[0; 16]; 8];
        let mut ok = [false; 8];
        let mut jobs: Vec<_> = keys
            .iter()
            .zip(&mut tags)
            .map(|(siv, tag)| (siv, Job { ad: &ad[..188], nonce: &nonce, text: &mut [], tag }))
            .collect();
        open_each(black_box(&mut jobs), &mut ok);
        black_box(ok);
    });
    for ad_len in [188, 916] {
        report(&format!("verify 8 requests, new key each ({ad_len}/0)"), 8, || {
            let mut tags = [[0; 16]; 8];
            let mut messages: Vec<_> = (OWN.iter().zip(&mut tags))
                .map(|(key, tag)| {
                    let job = Job { ad: &ad[..ad_len], nonce: &nonce, text: &mut [], tag };
                    Keyed { key, job }
                })
                .collect();
            open_keyed(black_box(&mut messages), |ok| {
                black_box(ok);
            });
        });
    }
    report("seal answer, 1 cookie (84/104)", 1, || seal(&key, &ad[..84], &nonce, 104));
    report("seal answer, 8 cookies (84/832)", 1, || seal(&key, &ad[..84], &nonce, 832));
    for text_len in [104, 832] {
        let mut texts = vec![vec![5; text_len]; 8];
        report(&format!("seal 8 answers, new key each (84/{text_len})"), 8, || {
            let mut tags = [[0; 16]; 8];
            let mut messages: Vec<_> = (OWN.iter().zip(&mut texts).zip(&mut tags))
                .map(|((key, text), tag)| Keyed {
                    key,
                    job: Job { ad: &ad[..84], nonce: &nonce, text, tag },
                })
                .collect();
            seal_keyed(black_box(&mut messages));
        });
    }
    for text_len in [104, 832] {
        let mut texts = vec![vec![5; text_len]; 8];
        report(&format!("seal 8 answers, key each (84/{text_len})"), 8, || {
            let mut tags = [[0; 16]; 8];
            let mut jobs: Vec<_> = keys
                .iter()
                .zip(&mut texts)
                .zip(&mut tags)
                .map(|((siv, text), tag)| (siv, Job { ad: &ad[..84], nonce: &nonce, text, tag }))
                .collect();
            seal_each(black_box(&mut jobs));
        });
    }
}

/// A text that stays in place between calls: what it holds does not matter to the time.
fn seal(key: &SivCmac256, ad: &[u8], nonce: &[u8], text_len: usize) {
    let mut text = [5; 832];
    let text = text.get_mut(..text_len).expect("no text is longer");
    black_box(key.seal(&[black_box(ad), nonce], black_box(text)));
}

fn seal_many(key: &SivCmac256, ad: &[u8], nonce: &[u8], text_len: usize) {
    let mut texts = [[5; 64]; 8];
    let mut tags = [[0; 16]; 8];
    let mut tags = tags.iter_mut();
    let mut jobs = texts.each_mut().map(|text| Job {
        ad,
        nonce,
        text: &mut text[..text_len],
        tag: tags.next().expect("eight of each"),
    });
    key.seal_many(black_box(&mut jobs));
}

fn sealed(key: &SivCmac256, ad: &[u8], nonce: &[u8]) -> ([u8; 64], [u8; 16]) {
    let mut text = [5; 64];
    let tag = key.seal(&[ad, nonce], &mut text);
    (text, tag)
}

/// Prints the least time of one run of `work`, in all and for each of the `messages` it treats.
fn report(what: &str, messages: u32, mut work: impl FnMut()) {
    let mut wanted = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|word| what.contains(&word)) {
        return;
    }
    let mut least = f64::INFINITY;
    for _ in 0..BATCHES {
        let begun = Instant::now();
        for _ in 0..RUNS {
            work();
        }
        least = least.min(begun.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS));
    }
    println!("{what:<44} {:>10.1} {least:>12.1}", least / f64::from(messages));
}

const BATCHES: u32 = 200;
const RUNS: u32 = 500;
