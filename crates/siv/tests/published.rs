//! Vectors published with RFC 4493 and RFC 5297.

use noonmark_siv::{Cmac, Siv, SivCmac256};

/// Octets from hexadecimal digits; blanks are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// RFC 4493 §4: key and 64 octets of message of all four examples.
const CMAC_KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const CMAC_MESSAGE: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
    30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";

#[test]
fn cmac_gives_the_examples_of_rfc_4493() {
    fn check(octets: usize, mac: &str) {
        let cmac = Cmac::<aes::Aes128Enc>::new(&hex(CMAC_KEY)).unwrap();
        let message = &hex(CMAC_MESSAGE)[..octets];
        assert_eq!(cmac.mac(message).to_vec(), hex(mac), "{octets} octets");
        assert_eq!(cmac.verify(message, &hex(mac).try_into().unwrap()), Ok(()));
    }
    check(0, "bb1d6929e95937287fa37d129b756746");
    check(16, "070a16b46b4d4144f79bdd9dd04a287c");
    check(40, "dfa66747de9ae63030ca32611497c827");
    check(64, "51f0bebf7e3b9d92fc49741779363cfe");
}

#[test]
fn siv_gives_the_deterministic_example_of_rfc_5297() {
    // RFC 5297 A.1: one header, no nonce, text shorter than a block.
    check_siv(
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        &["101112131415161718191a1b1c1d1e1f 2021222324252627"],
        "112233445566778899aabbccddee",
        "85632d07c6e8f37f950acd320a2ecc93",
        "40c02b9690c4dc04daef7f6afe5c",
    );
}

#[test]
fn siv_gives_the_nonce_based_example_of_rfc_5297() {
    // RFC 5297 A.2: two headers and a nonce, so one more than NTS has.
    check_siv(
        "7f7e7d7c7b7a79787776757473727170 404142434445464748494a4b4c4d4e4f",
        &[
            "00112233445566778899aabbccddeeff deaddadadeaddadaffeeddccbbaa9988 7766554433221100",
            "102030405060708090a0",
            "09f911029d74e35bd84156c5635688c0",
        ],
        "7468697320697320736f6d6520706c61 696e7465787420746f20656e63727970
         74207573696e67205349562d414553",
        "7bdb6e3b432667eb06f4d14bff2fbd0f",
        "cb900f2fddbe404326601965c889bf17 dba77ceb094fa663b7a3f748ba8af829
         ea64ad544a272e9c485b62a3fd5c0d",
    );
}

fn check_siv(key: &str, headers: &[&str], text: &str, tag: &str, sealed: &str) {
    let siv: SivCmac256 = Siv::new(&hex(key)).unwrap();
    let headers: Vec<Vec<u8>> = headers.iter().map(|h| hex(h)).collect();
    let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
    let mut octets = hex(text);
    let made = siv.seal(&headers, &mut octets);
    assert_eq!((made.to_vec(), &octets), (hex(tag), &hex(sealed)));
    assert_eq!(siv.open(&headers, &mut octets, &made), Ok(()));
    assert_eq!(octets, hex(text));
}
