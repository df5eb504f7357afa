//! What is asked of the library that reads Git, and of no code of ours.

/// The first 320 bytes of a file of <https://shattered.io>: with them its twin has the same SHA-1.
const SHATTERED: &str = "255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f4865696768742033203020522f547970652034203020522f\
    537562747970652035203020522f46696c7465722036203020522f436f6c6f7253706163652037203020522f4c656e6774682038203020522f42697473506572\
    436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d3120697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe01\
    7f46dc93a6b67e013b029aaa1db2560b45ca67d688c7f84b8c4c791fe02b3df614f86db1690901c56b45c1530afedfb76038e972722fe7ad728f0e4904e046c2\
    30570fe9d41398abe12ef5bc942be33542a4802d98b5d70f2a332ec37fac3514e74ddc0f2cc1a874cd0c78305a21566461309789606bd0bf3f98cda8044629a1";

#[test]
fn bytes_of_a_known_collision_have_no_id() {
    let byte = |at: usize| u8::from_str_radix(&SHATTERED[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..SHATTERED.len()).step_by(2).map(byte).collect();
    let id = |bytes: &[u8]| {
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        hasher.update(bytes);
        hasher.try_finalize()
    };
    // No object can be made of them, as a header stands before what Git hashes, and from another beginning they collide with
    // nothing. So the function itself is asked that all ids and checksums of packs come from.
    assert!(id(b"blob 320\0").is_ok() && id(&[b"blob 320\0", &*bytes].concat()).is_ok());
    assert!(id(&bytes[..256]).is_ok(), "one block of the two is no collision yet");
    let refused = id(&bytes).unwrap_err().to_string();
    assert!(refused.to_lowercase().contains("collision"), "{refused}");
}
