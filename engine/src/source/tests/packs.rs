//! Packs that are damaged, cut off, or made to cost more than they are worth.

use std::time::{Duration, Instant};

use trueup_core::diagnostic::codes;

use super::super::{FetchLimits, SourceError};
use super::remote::World;
use super::server::{Pack, Reply, Request, pack_answer, response};
use super::{Repository, text};

/// Expects that a fetch of a second commit fails in this way, that the first is still there, and that the next fetch works.
#[track_caller]
fn check_fault(world: &World, judge: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> SourceError {
    world.server.on(|_| Reply::Git);
    let (source, commit) = world.fetch(None).unwrap();
    let snapshot = source.snapshot(&commit).unwrap();
    let next = world.origin.write("base/a.yaml", format!("after {}", commit.id)).commit("next");
    world.server.on(judge);
    let err = world.fetch_id(None).unwrap_err();
    assert_eq!(source.resolve(&commit.id).unwrap().id, commit.id);
    assert_eq!(snapshot.list("base").unwrap().len(), 1);
    world.server.on(|_| Reply::Git);
    assert_eq!(world.fetch_id(None), Ok(next));
    assert!(!world.packs().iter().any(|it| !it.starts_with("pack-")), "{:?}", world.packs());
    err
}

fn fetches_get(reply: fn() -> Reply) -> impl Fn(&Request) -> Reply {
    move |request| if request.is_fetch() { reply() } else { Reply::Git }
}

/// Where the packet ends that a small pack stands in: what the server says of its progress may follow it.
fn end_of_pack(body: &[u8]) -> usize {
    let pack = body.windows(4).position(|it| it == b"PACK").unwrap();
    let length = std::str::from_utf8(&body[pack - 5..pack - 1]).unwrap();
    pack - 5 + usize::from_str_radix(length, 16).unwrap()
}

#[test]
fn a_pack_that_is_cut_off_or_damaged_is_refused_and_the_last_commit_stays() {
    let (world, _) = World::with_commit();
    check_fault(&world, fetches_get(|| Reply::Changed(|body| body.truncate(body.len() / 2))));
    check_fault(&world, fetches_get(|| Reply::Changed(|body| body.truncate(end_of_pack(body) - 8))));
    check_fault(
        &world,
        fetches_get(|| {
            Reply::Changed(|body| {
                let at = body.windows(4).position(|it| it == b"PACK").unwrap() + 40;
                body[at] ^= 0x10;
            })
        }),
    );
    check_fault(
        &world,
        fetches_get(|| {
            Reply::Changed(|body| {
                // In the checksum.
                let at = end_of_pack(body) - 6;
                body[at] ^= 1;
            })
        }),
    );
}

#[test]
fn garbage_in_place_of_an_answer_is_refused() {
    let (world, _) = World::with_commit();
    let html = || response("200 OK", "Content-Type: text/html\r\n", b"<html>please log in</html>");
    let err = check_fault(&world, move |_| html());
    assert!(!err.is_unreachable(), "{err}");
    const REFS: &str = "Content-Type: application/x-git-upload-pack-advertisement\r\n";
    check_fault(&world, |_| response("200 OK", REFS, b"zzzz"));
    check_fault(&world, |_| response("200 OK", REFS, b""));
    check_fault(&world, |_| response("200 OK", REFS, b"001e# service=git-upload-pack\n0000000eversion 2\n"));
    check_fault(&world, |_| {
        response("200 OK", REFS, &[b"001e# service=git-upload-pack\n0000".to_vec(), vec![0xff; 1 << 20]].concat())
    });
    check_fault(&world, fetches_get(|| pack_answer(b"")));
    check_fault(&world, fetches_get(|| pack_answer(b"PACK")));
    check_fault(&world, fetches_get(|| pack_answer(&[7; 100_000])));
    // Four billion objects are announced, and none is sent.
    check_fault(&world, fetches_get(|| pack_answer(&Pack::default().finish_claiming(u32::MAX))));
    // A pack without what was asked for.
    check_fault(
        &world,
        fetches_get(|| {
            let mut pack = Pack::default();
            pack.object(3, b"another blob");
            pack_answer(&pack.finish())
        }),
    );
}

/// A server's answer that is a pack of one commit with one file, which `file` adds to the pack; returns its id too.
fn commit_by_hand(origin: &Repository, blob: &str, file: impl FnOnce(&mut Pack)) -> (String, Vec<u8>) {
    let tree = origin.tree(&[("100644", b"big.yaml", blob)]);
    let commit = origin.commit_tree(&[("100644", b"big.yaml", blob)]);
    let mut pack = Pack::default();
    let raw = |kind: &str, id: &str| {
        let output = super::git(origin.path()).args(["cat-file", kind, id]).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    pack.object(1, &raw("commit", &commit));
    pack.object(2, &raw("tree", &tree));
    file(&mut pack);
    (commit, pack.finish())
}

#[test]
fn a_commit_whose_files_are_not_all_sent_is_refused_until_they_are() {
    let world = World::new();
    let blob = world.origin.object("blob", b"content");
    let (commit, pack) = commit_by_hand(&world.origin, &blob, |_| {});
    let Reply::Raw(mut cut_off) = pack_answer(&pack) else { panic!("it is raw") };
    cut_off.truncate(cut_off.len() - 4);
    world.server.on(move |request| if request.is_fetch() { pack_answer(&pack) } else { Reply::Git });
    let err = world.fetch_id(None).unwrap_err();
    assert!(matches!(&err, SourceError::BadAnswer { cause, .. } if cause.contains("is missing")), "{err}");
    assert_eq!(world.packs(), Vec::<String>::new());
    // Cut off behind the pack, it is kept, and found out by the next fetch.
    let cut = cut_off.clone();
    world.server.on(move |request| if request.is_fetch() { Reply::Raw(cut.clone()) } else { Reply::Git });
    assert!(world.fetch_id(None).is_err());
    assert!(world.packs().iter().any(|it| it.ends_with(".pack")));
    world.server.on(|_| Reply::Git);
    let (source, fetched) = world.fetch(None).unwrap();
    assert_eq!(fetched.id, commit);
    assert_eq!(text(&source.snapshot(&fetched).unwrap(), "big.yaml"), "content");
}

#[test]
fn a_chain_of_a_hundred_thousand_deltas_overflows_no_stack() {
    let world = World::new();
    // Each copies the one before and changes its first byte: the last is what `git` would have.
    let last = [b"z".as_slice(), &[b'x'; 9]].concat();
    let blob = world.origin.object("blob", &last);
    let (commit, pack) = commit_by_hand(&world.origin, &blob, |pack| {
        let mut at = pack.object(3, &[b'x'; 10]);
        for number in 0..100_000_u32 {
            let first = if number == 99_999 { b'z' } else { b'a' + (number % 20) as u8 };
            // Insert one byte, then copy 9 from offset 1.
            at = pack.delta(at, 10, 10, &[1, first, 0x91, 1, 9]);
        }
    });
    world.server.on(move |request| if request.is_fetch() { pack_answer(&pack) } else { Reply::Git });
    let (source, fetched) = world.fetch(None).unwrap();
    assert_eq!(fetched.id, commit);
    assert_eq!(text(&source.snapshot(&fetched).unwrap(), "big.yaml").as_bytes(), last);
}

#[test]
fn a_small_delta_that_unfolds_into_gigabytes_is_refused() {
    let mut world = World::new();
    let blob = world.origin.object("blob", b"never sent");
    let (_, pack) = commit_by_hand(&world.origin, &blob, |pack| {
        let base = pack.object(3, &vec![b'x'; 1 << 16]);
        // 32,768 times the same 64 KiB: 2 GiB from 100 KiB.
        pack.delta(base, 1 << 16, 2 << 30, &[0x80; 1 << 15]);
    });
    assert!(pack.len() < 200_000);
    world.server.on(move |request| if request.is_fetch() { pack_answer(&pack) } else { Reply::Git });
    for memory in [FetchLimits::default().memory, 700 << 20] {
        world.limits.memory = memory;
        let started = Instant::now();
        let err = world.fetch_id(None).unwrap_err();
        assert!(matches!(err, SourceError::BadAnswer { .. } | SourceError::Limit { .. }), "{memory}: {err}");
        assert!(started.elapsed() < Duration::from_secs(20), "{memory}: {:?}", started.elapsed());
    }
}

#[test]
fn a_pack_over_the_limit_of_a_file_is_refused_by_name() {
    let (mut world, _) = World::with_commit();
    let mut noise = vec![0; 3 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    world.origin.write("noise", noise).commit("noise");
    world.limits.file = 1 << 20;
    let err = world.fetch_id(None).unwrap_err();
    assert_eq!(err.code(), codes::SOURCE_LIMIT);
    assert!(err.to_string().contains("the pack from") && err.to_string().contains("1048576 bytes"), "{err}");
    world.limits.file = 8 << 20;
    assert!(world.fetch_id(None).is_ok());
}
