//! Against messages that another implementation (dnspython 2.7) signed: key `trueup.`, secret 0 to 31, at 2026-01-01.

use super::*;

const NOW: u64 = 1_767_225_600;
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const QUERY: &str = "123400000001000000000000074578616d706c6503636f6d0000060001";
const TRANSFER: &str = "123400000001000000000000076578616d706c6503636f6d0000fc0001";
const SHA256: &str = "123400000001000000000001074578616d706c6503636f6d0000060001067472756575700000fa00ff00000000003d0b686d\
     61632d7368613235360000006955b900012c0020dd9acc9bbc029b7dfd0426e6b8af3c8db937ce67963771cc76792f3c9694\
     f936123400000000";
const SHA384: &str = "123400000001000000000001074578616d706c6503636f6d0000060001067472756575700000fa00ff00000000004d0b686d\
     61632d7368613338340000006955b900012c0030e9dd3cb2b59852935569e0408ed0a680ad57d35f38ef6a3ca95dfd2978bf\
     b6d079ba802864ded174c7046da1bde536a8123400000000";
const SHA512: &str = "123400000001000000000001074578616d706c6503636f6d0000060001067472756575700000fa00ff00000000005d0b686d\
     61632d7368613531320000006955b900012c004005cadd29bf0b891f279ba7cb7ccc7fd25b50c39f44422b6fe3c89aecd73f\
     13d62716c913cee456d3e82d4c9b38dfe4823f19174a3096f7d1ba17e54227030800123400000000";
/// The answer to [`TRANSFER`]: signed, not signed, signed; the server writes the key's name as `Trueup.`.
const CHAIN: [&str; 3] = [
    "123484000001000100000001076578616d706c6503636f6d0000fc0001026131c00c000100010000012c0004c00002010654\
     72756575700000fa00ff00000000003d0b686d61632d7368613235360000006955b900012c002063b1033ab347dd89f6cb27\
     95ed6e34d534c4458c22a9792521990108f935ef99123400000000",
    "123484000001000100000000076578616d706c6503636f6d0000fc0001026132c00c000100010000012c0004c0000202",
    "123484000001000100000001076578616d706c6503636f6d0000fc0001026133c00c000100010000012c0004c00002030654\
     72756575700000fa00ff00000000003d0b686d61632d7368613235360000006955b900012c0020e533428bf2cd80a9466227\
     929c5dc9a23a370d8a0cd017027c6baac63a60fbfe123400000000",
];
/// The server's clock is an hour ahead.
const BADTIME_ANSWER: &str = "123484090001000000000001076578616d706c6503636f6d0000fc0001065472756575700000fa00ff0000000000430b686d\
     61632d7368613235360000006955b900012c00202d8c018f848e9b2b4d0ba1ffd5df39e2d5bee5aadf5664be19e9dcb9f4b3\
     687212340012000600006955c710";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn key(algorithm: TsigAlgorithm) -> TsigKey {
    TsigKey::new("Trueup", algorithm, &Secret::from(SECRET)).unwrap()
}

/// Verifies messages as the answer to [`TRANSFER`]; the first fault, or what is left of the messages.
fn verify(messages: &[Vec<u8>], now: u64) -> Result<Vec<Vec<u8>>, Fault> {
    let key = key(TsigAlgorithm::HmacSha256);
    let mut query = bytes(TRANSFER);
    let signature = key.sign(&mut query, NOW);
    let mut verifier = Verifier::new(&key, &signature);
    let mut out = Vec::new();
    for message in messages {
        let mut bytes = message.clone();
        let read = Message::parse(&bytes).unwrap();
        verifier.take(&mut bytes, &read, now)?;
        Message::parse(&bytes).unwrap();
        out.push(bytes);
    }
    verifier.finish()?;
    Ok(out)
}

fn chain() -> Vec<Vec<u8>> {
    CHAIN.iter().map(|it| bytes(it)).collect()
}

#[test]
fn a_query_is_signed_as_another_implementation_signs_it() {
    for (algorithm, want) in
        [(TsigAlgorithm::HmacSha256, SHA256), (TsigAlgorithm::HmacSha384, SHA384), (TsigAlgorithm::HmacSha512, SHA512)]
    {
        let mut message = bytes(QUERY);
        let signature = key(algorithm).sign(&mut message, NOW);
        assert_eq!(message, bytes(want), "{algorithm:?}");
        assert_eq!(signature.len(), algorithm.len());
    }
}

#[test]
fn a_chain_is_verified_and_its_signatures_are_cut_off() {
    let plain = verify(&chain(), NOW).unwrap();
    assert_eq!(plain[1], chain()[1]);
    for (at, message) in plain.iter().enumerate() {
        let read = Message::parse(message).unwrap();
        assert_eq!((read.id, read.records.len()), (0x1234, 1), "message {at}");
    }
    assert!(verify(&chain(), NOW + 300).is_ok() && verify(&chain(), NOW - 300).is_ok());
}

#[test]
fn a_message_that_was_changed_left_out_moved_or_added_breaks_the_chain() {
    let all = chain();
    for (at, message) in all.iter().enumerate() {
        for place in [2, 3, 20, message.len() / 2] {
            let mut changed = all.clone();
            changed[at][place] ^= 0x01;
            if changed[at] != all[at] && Message::parse(&changed[at]).is_ok() {
                assert!(verify(&changed, NOW).is_err(), "byte {place} of message {at}");
            }
        }
    }
    let of = |order: &[usize]| verify(&order.iter().map(|it| all[*it].clone()).collect::<Vec<_>>(), NOW).unwrap_err();
    assert_eq!(of(&[0, 2]), Fault::Signature, "one is missing");
    assert_eq!(of(&[0, 1, 1, 2]), Fault::Signature, "one came twice");
    assert_eq!(of(&[0, 0]), Fault::Signature, "the first came twice");
    assert_eq!(of(&[1, 2]), Fault::Unsigned { rcode: 0 }, "the first is not signed");
    assert_eq!(of(&[0, 1]), Fault::Unsigned { rcode: 0 }, "the last is not signed");
}

#[test]
fn at_most_99_messages_in_a_row_are_unsigned() {
    let all = chain();
    let run = |count| [vec![all[0].clone()], vec![all[1].clone(); count], vec![all[2].clone()]].concat();
    assert_eq!(verify(&run(99), NOW), Err(Fault::Signature), "so many are taken, and judged by the last");
    assert_eq!(verify(&run(100), NOW), Err(Fault::TooManyUnsigned));
}

#[test]
fn a_clock_that_is_wrong_is_named_with_both_times() {
    let late = verify(&chain(), NOW + 301).unwrap_err();
    assert_eq!(late, Fault::Late { server: NOW, ours: NOW + 301 });
    assert_eq!(
        late.to_string(),
        "it was signed at another time than now: the server's clock says 00:00:00 UTC, 301 s behind ours, 00:05:01 UTC"
    );
    let refused = verify(&[bytes(BADTIME_ANSWER)], NOW).unwrap_err();
    assert!(refused.is_refusal(), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "the server refuses the time of the signature (BADTIME): \
         the server's clock says 01:00:00 UTC, 3600 s ahead of ours, 00:00:00 UTC"
    );
    let mut forged = bytes(BADTIME_ANSWER);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(verify(&[forged], NOW), Err(Fault::Signature), "the server's clock is signed");
}

#[test]
fn a_signature_that_is_cut_short_is_refused_whatever_it_begins_with() {
    // The record again, with less of its signature.
    for len in [0_usize, 1, 10, 16, 31] {
        let message = &chain()[0];
        let read = Message::parse(message).unwrap();
        let record = read.records.last().unwrap();
        let (_, mut signed) = Signed::read(message, record.data.start, record.data.end).unwrap();
        signed.signature.truncate(len);
        let mut short = without(message[..record.start].to_vec());
        key(TsigAlgorithm::HmacSha256).append(&mut short, &signed);
        assert_eq!(verify(&[short], NOW), Err(Fault::Length { got: len, want: 32 }));
    }
}

#[test]
fn another_key_another_algorithm_and_a_record_in_the_wrong_place_are_told_apart() {
    let answer = |key: &TsigKey| {
        let mut message = bytes(TRANSFER);
        message[2] |= 0x80;
        key.sign(&mut message, NOW);
        message
    };
    let other = TsigKey::new("other.key", TsigAlgorithm::HmacSha256, &Secret::from(SECRET)).unwrap();
    let fault = verify(&[answer(&other)], NOW).unwrap_err();
    assert_eq!(fault.to_string(), "it is signed with another key, `other.key.`");
    assert_eq!(verify(&[answer(&key(TsigAlgorithm::HmacSha512))], NOW), Err(Fault::OtherAlgorithm));
    let mut twice = answer(&other);
    other.sign(&mut twice, NOW);
    assert_eq!(verify(&[twice], NOW), Err(Fault::Malformed));
}

#[test]
fn what_a_server_says_of_the_key_is_named() {
    let refusal = |error: u16| {
        let mut message = bytes(TRANSFER);
        (message[2], message[3]) = (0x80, 9);
        let record = Signed { time: 0, fudge: 0, signature: Vec::new(), id: 0x1234, error, other: Vec::new() };
        key(TsigAlgorithm::HmacSha256).append(&mut message, &record);
        verify(&[message], NOW).unwrap_err()
    };
    for (error, want) in [(BADKEY, "does not know the key"), (BADSIG, "holds another secret"), (BADTRUNC, "BADTRUNC")] {
        assert!(refusal(error).is_refusal() && refusal(error).to_string().contains(want), "{error}");
    }
    assert!(!refusal(23).is_refusal());
}

#[test]
fn hostile_bytes_are_refused_and_break_nothing() {
    let take = |message: &[u8]| {
        let mut bytes = message.to_vec();
        let Ok(read) = Message::parse(&bytes) else { return };
        let _ = super::super::transfer::Transfer::new(b"\x07example\x03com\0".to_vec(), Some(1)).take(&bytes, &read);
        let key = key(TsigAlgorithm::HmacSha256);
        let _ = Verifier::new(&key, &[0; 32]).take(&mut bytes, &read, NOW);
    };
    for message in chain().into_iter().chain([bytes(BADTIME_ANSWER)]) {
        (0..message.len()).for_each(|end| take(&message[..end]));
        for at in 0..message.len() {
            for value in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut changed = message.clone();
                changed[at] = value;
                take(&changed);
            }
        }
    }
    let mut seed = 1_u32;
    for _ in 0..20_000 {
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let mut message: Vec<u8> = (0..64).map(|_| random() & random()).collect();
        message[4..12].copy_from_slice(&[0, 1, 0, 1, 0, 0, 0, 1]);
        take(&message);
    }
}
