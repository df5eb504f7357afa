//! `scan` with `wait`, as the service will ask: the host calls the plugin, which watches a real server.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use trueup_host::{
    CallInfo, Coverage, Credential, Grant, HostRule, Limits, NoServices, Provider, ProviderSettings, Runtime, RuntimeOptions,
    Scheme, ScopeQuery, Secret, Slot, Snapshot,
};
use trueup_tests::kubernetes::{ADMIN, Cluster};
use trueup_tests::servers::proxy::{Asked, Fate, Proxy, status};

use super::world::{make, refusal};

/// Long enough that a test which waits for its end is told from one that does not; within the 30 s of a call.
const LONG: u64 = 24_000;

/// A provider of the cluster behind this proxy, which knows its kinds.
async fn provider(cluster: &Cluster, proxy: &Proxy) -> Provider {
    let bundled = trueup::bundled::find("kubernetes").expect("it is bundled");
    let cache_dir = trueup_tests::binary().with_file_name("test-cache");
    let runtime = Runtime::new(RuntimeOptions { cache_dir, limits: Limits::default() }).unwrap();
    let plugin = runtime.load(bundled.wasm).await.unwrap();
    let origin = HostRule::parse(&format!("https://127.0.0.1:{}", proxy.port)).unwrap();
    let credential = Arc::new(Credential {
        name: "cluster".to_owned(),
        origins: vec![origin],
        servers: Vec::new(),
        scheme: Scheme::Bearer(Secret::from(ADMIN)),
        ca_pem: Some(cluster.ca.clone()),
        base: None,
    });
    let slot = Slot { read: credential.clone(), write: credential };
    let provider = plugin.provider(ProviderSettings {
        alias: "k8s".into(),
        config: serde_json::json!({}),
        grant: Grant { credentials: [("cluster".to_owned(), slot)].into(), ..Grant::default() },
        services: Arc::new(NoServices),
        parallel: 4,
    });
    let kinds = provider.discover(&CallInfo::default(), None, None).await.unwrap().unwrap().unwrap().kinds.unwrap();
    provider.set_kinds(&kinds);
    provider
}

async fn scan(provider: &Provider, namespace: &str, since: Option<&str>, wait_ms: u64) -> Snapshot {
    let query = ScopeQuery::new("ConfigMap".into(), namespace.into());
    let query = ScopeQuery { since: since.map(str::to_owned), wait_ms, ..query };
    provider.scan(&CallInfo::default(), vec![query]).await.unwrap().remove(0).unwrap()
}

fn is_watch(asked: &Asked) -> bool {
    asked.what.contains("watch=1")
}

fn holds(seen: &Snapshot, name: &str) -> bool {
    seen.objects.iter().any(|it| &*it.address.key == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_with_a_foreign_change_and_shows_it() {
    let cluster = Cluster::shared();
    let (namespace, proxy) = (cluster.namespace("watched"), cluster.proxy());
    let provider = provider(cluster, &proxy).await;
    let first = scan(&provider, &namespace, None, 0).await;
    let version = first.version.clone().expect("a version");
    let (watching, begun) = mpsc::channel();
    proxy.decide(move |asked| {
        if is_watch(asked) {
            let _ = watching.send(());
        }
        Fate::Pass
    });
    let place = namespace.clone();
    let change = std::thread::spawn(move || {
        begun.recv_timeout(Duration::from_secs(20)).expect("a watch");
        make(Cluster::shared(), &place, "foreign", "new");
        Instant::now()
    });
    let seen = scan(&provider, &namespace, Some(&version), LONG).await;
    let (ended, made) = (Instant::now(), change.join().unwrap());
    assert_eq!(seen.coverage, Coverage::Whole);
    assert!(holds(&seen, "foreign") && seen.version != first.version, "{seen:?}");
    println!("reported {:?} after it was made", ended.saturating_duration_since(made));
    assert!(
        ended.saturating_duration_since(made) < Duration::from_millis(LONG / 2),
        "it was not the end of the wait that showed it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_in_which_nothing_happens_is_unchanged_at_its_end() {
    let cluster = Cluster::shared();
    let (namespace, proxy) = (cluster.namespace("quiet"), cluster.proxy());
    let provider = provider(cluster, &proxy).await;
    let version = scan(&provider, &namespace, None, 0).await.version.expect("a version");
    proxy.take();
    let begun = Instant::now();
    let seen = scan(&provider, &namespace, Some(&version), 2000).await;
    assert!(Duration::from_millis(1900) <= begun.elapsed(), "{:?}", begun.elapsed());
    assert_eq!((seen.coverage, seen.version.as_deref(), seen.objects.len()), (Coverage::Unchanged, Some(&*version), 0));
    assert_eq!(proxy.take().len(), 1, "the watch alone");
    // The version is good for the next wait.
    make(cluster, &namespace, "late", "new");
    assert!(holds(&scan(&provider, &namespace, Some(&version), LONG).await, "late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_cannot_be_had_falls_back_to_a_list() {
    let cluster = Cluster::shared();
    let (namespace, proxy) = (cluster.namespace("expired"), cluster.proxy());
    let provider = provider(cluster, &proxy).await;
    make(cluster, &namespace, "here", "new");
    let version = scan(&provider, &namespace, None, 0).await.version.expect("a version");
    // One that the server itself knows nothing of any more.
    let seen = scan(&provider, &namespace, Some("1"), LONG).await;
    assert!(seen.coverage == Coverage::Whole && holds(&seen, "here"), "{seen:?}");
    let event = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", refusal(410, "Expired", "too old resource version"));
    let answers = [
        status(410, &refusal(410, "Expired", "too old resource version")),
        status(200, &event),
        status(403, &refusal(403, "Forbidden", "cannot watch")),
        status(429, &refusal(429, "TooManyRequests", "later")),
        status(200, "<html>"),
    ];
    for answer in answers {
        make(cluster, &namespace, &format!("more-{}", answer.len()), "new");
        let forged = answer.clone();
        proxy.decide(move |asked| if is_watch(asked) { Fate::Answer(forged.clone()) } else { Fate::Pass });
        let begun = Instant::now();
        let seen = scan(&provider, &namespace, Some(&version), LONG).await;
        assert!(begun.elapsed() < Duration::from_millis(LONG / 2));
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            seen.coverage == Coverage::Whole && holds(&seen, "here") && holds(&seen, &format!("more-{}", answer.len())),
            "{text}"
        );
    }
    // Cut before anything happened: nothing is taken for changed, and nothing for absent.
    let version = scan(&provider, &namespace, None, 0).await.version.expect("a version");
    proxy.decide(|asked| if is_watch(asked) { Fate::Close } else { Fate::Pass });
    let seen = scan(&provider, &namespace, Some(&version), LONG).await;
    assert!(seen.coverage == Coverage::Unchanged || holds(&seen, "here"), "{seen:?}");
}
