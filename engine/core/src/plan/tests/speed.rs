//! How long the hot path takes.

use std::time::Duration;

use super::*;

/// 100,000 objects in 1,000 scopes, all in sync; by name, neighbours share their scope unless they are `scattered`.
fn large(scattered: bool) -> Sim {
    let mut sim = Sim::new();
    for dir in 0..1_000 {
        let scope = Scope { provider: "p".into(), kind: "K".into(), scope: format!("site/directory-{dir:04}").into() };
        for file in 0..100 {
            let key = format!("site/directory-{dir:04}/file-{file:03}.txt");
            let address = Address { scope: scope.clone(), key: key.as_str().into() };
            let name = if scattered { format!("file-{file:03}-{dir:04}") } else { format!("file-{dir:04}-{file:03}") };
            sim.want_at(&name, &address, json!({"path": key}));
            sim.own_at(&name, &address, json!({"path": key}));
            let digest = sim.put(&address, json!({"spec": {"path": key}})).digest;
            sim.entries.get_mut(&address).unwrap().agreed = Some(digest);
        }
    }
    sim.desired.sort_by(|(a, _), (b, _)| a.resource.cmp(&b.resource));
    sim
}

/// Time that this thread has run: other work on the machine does not count.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts the time of threads");
    Duration::from_nanos(stat.split(' ').next().and_then(|it| it.parse().ok()).expect("nanoseconds come first"))
}

#[test]
#[ignore = "a measurement: run in release"]
fn needs_of_100_000_objects_in_sync_take_less_than_60_ms() {
    let mut took = Vec::new();
    for (scattered, sorted) in [(false, true), (false, false), (true, true), (true, false)] {
        let sim = large(scattered);
        let desired: Vec<Desired> = sim.desired.iter().map(|(it, _)| it.clone()).collect();
        let mut entries: Vec<Entry> = sim.entries.values().cloned().collect();
        if sorted {
            entries.sort_by(|a, b| a.resource.cmp(&b.resource));
        }
        let kinds = |_: &Scope| None;
        let world = World {
            environment: "prod",
            desired: &desired,
            entries: &entries,
            intents: &[],
            views: &sim.views,
            halted: &sim.halted,
            unmade: &sim.unmade,
            others: &|_| None,
            kinds: &kinds,
            mark: &mark,
            shown: &|id| id.to_string(),
            now_ms: 0,
            options: Options::default(),
        };
        let best = (0..5).map(|_| {
            let began = on_cpu();
            assert_eq!(needs(&world), Needs::default());
            on_cpu() - began
        });
        let best = best.min().unwrap();
        assert_eq!(plan(&world, &Docs::default()).unchanged, 100_000);
        took.push((scattered, sorted, best));
    }
    // What is scattered waits for memory, thirty times an object; it is shown and not judged.
    let judged = took.iter().filter(|(scattered, ..)| !scattered);
    assert!(judged.map(|it| it.2).all(|it| it < Duration::from_millis(60)), "scattered, entries sorted, time: {took:?}");
}
