//! Agreement with the crates `aes-siv` and `cmac` over sizes where blocks begin, end and straddle, and of the ways to
//! do many messages with the way to do one.

use aes_siv::KeyInit;
use aes_siv::siv::CmacSiv;
use noonmark_siv::{BlockCipher, Cmac, Forged, Job, Siv, open_each, seal_each};
use proptest::prelude::*;

/// Around every block boundary; then the sizes of NTS: 84 (answer), 188 and 916 (requests with one and eight cookies).
const AD: [usize; 8] = [0, 1, 15, 16, 17, 84, 188, 916];
/// Likewise; 64 is a cookie's secret, 104 one cookie field, 832 eight.
const TEXT: [usize; 15] = [0, 1, 15, 16, 17, 31, 32, 33, 64, 104, 111, 128, 129, 300, 832];

/// Octets without a pattern, the same every time.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[1]
        })
        .collect()
}

/// Our tag and ciphertext beside those of `aes-siv`.
macro_rules! check_grid {
    ($cipher:ty) => {{
        let key = noise(7, 2 * <$cipher as aes::cipher::KeySizeUser>::key_size());
        let ours = Siv::<$cipher>::new(&key).unwrap();
        for (ad_len, text_len) in AD.iter().flat_map(|ad| TEXT.map(|text| (*ad, text))) {
            let (ad, nonce, text) = (noise(1, ad_len), noise(2, 16), noise(3, text_len));
            let mut theirs = CmacSiv::<$cipher>::new_from_slice(&key).unwrap();
            let mut expected = text.clone();
            let expected_tag = theirs
                .encrypt_inout_detached([&ad, &nonce], expected.as_mut_slice().into())
                .unwrap();

            let case = format!("AD {ad_len}, text {text_len}");
            let mut sealed = text.clone();
            let tag = ours.seal(&[&ad, &nonce], &mut sealed);
            assert_eq!((tag.as_slice(), &sealed), (expected_tag.as_slice(), &expected), "{case}");
            assert_eq!(ours.open(&[&ad, &nonce], &mut sealed, &tag), Ok(()), "{case}");
            assert_eq!(sealed, text, "{case}");
            check_refusals(&ours, &ad, &nonce, &expected, &tag, &case);
        }
    }};
}

/// One bit changed anywhere: refused, and nothing of the plaintext left.
fn check_refusals<C: BlockCipher>(
    siv: &Siv<C>,
    ad: &[u8],
    nonce: &[u8],
    sealed: &[u8],
    tag: &[u8; 16],
    case: &str,
) {
    for place in 0..4 {
        let mut parts = [ad.to_vec(), nonce.to_vec(), sealed.to_vec(), tag.to_vec()];
        let Some(last) = parts[place].last_mut() else { continue };
        *last ^= 0x80;
        let [ad, nonce, mut text, tag] = parts;
        let tag = tag.as_slice().try_into().unwrap();
        assert_eq!(siv.open(&[&ad, &nonce], &mut text, tag), Err(Forged), "{case}, part {place}");
        assert!(text.iter().all(|octet| *octet == 0), "{case}, part {place}");
    }
}

#[test]
fn siv_256_agrees_with_another_implementation() {
    check_grid!(aes::Aes128Enc);
}

#[test]
fn siv_384_agrees_with_another_implementation() {
    check_grid!(aes::Aes192Enc);
}

#[test]
fn siv_512_agrees_with_another_implementation() {
    check_grid!(aes::Aes256Enc);
}

#[test]
fn a_key_of_another_length_is_refused() {
    fn check(siv: Option<noonmark_siv::KeyLength>, expected: usize, found: usize) {
        let error = siv.unwrap();
        assert_eq!((error.expected, error.found), (expected, found));
    }
    check(Siv::<aes::Aes128Enc>::new(&[0; 31]).err(), 32, 31);
    check(Siv::<aes::Aes128Enc>::new(&[0; 64]).err(), 32, 64);
    check(Siv::<aes::Aes192Enc>::new(&[0; 32]).err(), 48, 32);
    check(Siv::<aes::Aes256Enc>::new(&[]).err(), 64, 0);
    check(Cmac::<aes::Aes128Enc>::new(&[0; 17]).err(), 16, 17);
}

/// A message of its own for each of `sizes`: (ad, nonce, text).
fn messages(sizes: &[(usize, usize)]) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    (10..)
        .zip(sizes)
        .map(|(n, (ad, text))| (noise(n, *ad), noise(n + 1000, 16), noise(n + 2000, *text)))
        .collect()
}

/// Seals and opens all at once, under one key and under a key each, with message `forged` spoilt; compares with one by
/// one.
fn check_many<C: BlockCipher>(sizes: &[(usize, usize)], key_len: usize, forged: usize) {
    let shared = Siv::<C>::new(&noise(5, key_len)).unwrap();
    let own: Vec<Siv<C>> =
        (0..).zip(sizes).map(|(n, _)| Siv::new(&noise(90 + n, key_len)).unwrap()).collect();
    let plain = messages(sizes);

    for each in [false, true] {
        let key = |n: usize| if each { &own[n] } else { &shared };
        let mut sealed: Vec<Vec<u8>> = plain.iter().map(|(_, _, text)| text.clone()).collect();
        let mut tags = vec![[0; 16]; plain.len()];
        {
            let mut jobs = jobs(&plain, &mut sealed, &mut tags);
            if each {
                let mut jobs: Vec<_> = own.iter().zip(jobs).collect();
                seal_each(&mut jobs);
            } else {
                shared.seal_many(&mut jobs);
            }
        }
        for (n, (ad, nonce, text)) in plain.iter().enumerate() {
            let mut alone = text.clone();
            let tag = key(n).seal(&[ad, nonce], &mut alone);
            assert_eq!((tags[n], &sealed[n]), (tag, &alone), "message {n} of {}", plain.len());
        }

        if let Some(tag) = tags.get_mut(forged) {
            tag[15] ^= 1;
        }
        let mut ok = vec![false; plain.len()];
        {
            let mut jobs = jobs(&plain, &mut sealed, &mut tags);
            if each {
                let mut jobs: Vec<_> = own.iter().zip(jobs).collect();
                open_each(&mut jobs, &mut ok);
            } else {
                shared.open_many(&mut jobs, &mut ok);
            }
        }
        for (n, (_, _, text)) in plain.iter().enumerate() {
            assert_eq!(ok[n], n != forged, "message {n} of {}", plain.len());
            let expected = if n == forged { vec![0; text.len()] } else { text.clone() };
            assert_eq!(sealed[n], expected, "message {n} of {}", plain.len());
        }
    }
}

fn jobs<'a>(
    plain: &'a [(Vec<u8>, Vec<u8>, Vec<u8>)],
    texts: &'a mut [Vec<u8>],
    tags: &'a mut [[u8; 16]],
) -> Vec<Job<'a>> {
    plain
        .iter()
        .zip(texts)
        .zip(tags)
        .map(|(((ad, nonce, _), text), tag)| Job { ad, nonce, text, tag })
        .collect()
}

#[test]
fn many_messages_agree_with_one_at_a_time() {
    let grid: Vec<(usize, usize)> = AD.iter().flat_map(|ad| TEXT.map(|text| (*ad, text))).collect();
    check_many::<aes::Aes128Enc>(&[], 32, 0);
    for count in 1..=17 {
        check_many::<aes::Aes128Enc>(&vec![(4, 64); count], 32, count / 2);
    }
    check_many::<aes::Aes128Enc>(&grid, 32, 77);
    check_many::<aes::Aes192Enc>(&grid, 48, 0);
    check_many::<aes::Aes256Enc>(&grid, 64, 119);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_mixture_of_lengths_agrees(
        sizes in prop::collection::vec((0usize..200, 0usize..200), 0..20),
        forged in 0usize..20,
    ) {
        check_many::<aes::Aes128Enc>(&sizes, 32, forged);
    }

    #[test]
    fn cmac_agrees_with_another_implementation(
        key in any::<[u8; 16]>(),
        message in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        use cmac::Mac;
        let mut theirs = cmac::Cmac::<aes::Aes128>::new(&key.into());
        theirs.update(&message);
        let ours = Cmac::<aes::Aes128Enc>::new(&key).unwrap();
        let expected: [u8; 16] = theirs.finalize().into_bytes().into();
        prop_assert_eq!(ours.mac(&message), expected);
    }
}
