//! Lists that come in pages: one that does not come whole is no shorter list.

use std::sync::atomic::{AtomicUsize, Ordering};

use trueup_tests::Project;
use trueup_tests::kubernetes::Cluster;
use trueup_tests::servers::proxy::{Asked, Fate, Proxy, status};

use super::world::{apply, deletes_nothing, is_list, maps, project_at, refusal, settled, write};

/// Objects of a namespace; a page has two.
const OBJECTS: usize = 7;

/// The request for a page, for one of two objects.
fn of_two(asked: &Asked) -> Fate {
    let text = String::from_utf8(asked.bytes.clone()).expect("a request without a body");
    Fate::Instead(text.replacen("limit=500", "limit=2", 1).into_bytes())
}

/// Which page a LIST asks for: whether it is one after the first.
fn follows(asked: &Asked) -> bool {
    asked.what.contains("continue=")
}

/// A project whose objects are applied, behind a proxy that makes pages small.
fn project() -> (Proxy, String, Project) {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("paged");
    let proxy = cluster.proxy();
    let project = project_at(cluster, proxy.port, &namespace);
    (0..OBJECTS).for_each(|at| write(&project, &format!("map-{at}"), "same"));
    project.commit("all");
    proxy.decide(|asked| if is_list(asked) { of_two(asked) } else { Fate::Pass });
    apply(&project).expect_exit(0);
    settled(&project);
    (proxy, namespace, project)
}

/// Makes the world another one, so that it is read anew.
fn touch(namespace: &str, value: &str) {
    super::world::make(Cluster::shared(), namespace, value, value);
}

#[test]
fn a_list_whose_pages_expire_is_listed_anew() {
    let (proxy, namespace, project) = project();
    touch(&namespace, "theirs");
    let expired = AtomicUsize::new(0);
    proxy.decide(move |asked| {
        if !is_list(asked) {
            return Fate::Pass;
        }
        // Some pages are in already.
        if follows(asked) && expired.fetch_add(1, Ordering::SeqCst) == 1 {
            let text = "The provided continue parameter is too old to display a consistent list result.";
            return Fate::Answer(status(410, &refusal(410, "Expired", text)));
        }
        of_two(asked)
    });
    settled(&project);
    let asked = proxy.take();
    let firsts = asked.iter().filter(|it| it.contains("/configmaps?limit=") && !it.contains("continue=")).count();
    assert_eq!(firsts, 2, "{asked:#?}");
    // One that never comes to its end is given up, and nothing is taken for absent.
    touch(&namespace, "more");
    proxy.decide(|asked| match (is_list(asked), follows(asked)) {
        (true, true) => Fate::Answer(status(410, &refusal(410, "Expired", "too old"))),
        (true, false) => of_two(asked),
        _ => Fate::Pass,
    });
    let run = project.run(&["plan", "-o", "json"]).expect_exit(1).expect_text(&["took longer than the server keeps it"]);
    deletes_nothing(&run.json());
}

#[test]
fn a_list_whose_second_page_fails_is_no_shorter_list() {
    let (proxy, namespace, project) = project();
    project.remove("base/map-0.yaml").commit("one less");
    let fates: [(fn() -> Fate, &str); 4] = [
        (|| Fate::Answer(status(500, &refusal(500, "InternalError", "etcd is gone"))), "etcd is gone"),
        (|| Fate::Cut(300), "slot:cluster"),
        (|| Fate::Close, "slot:cluster"),
        (|| Fate::Answer(status(200, &refusal(500, "InternalError", "odd"))), "kind `Status`"),
    ];
    let theirs = fates.len();
    for (at, (fate, words)) in fates.into_iter().enumerate() {
        // Where nothing changed since the last look, the first page says so, and no other is asked for.
        touch(&namespace, &format!("theirs-{at}"));
        proxy.decide(move |asked| match (is_list(asked), follows(asked)) {
            (true, true) => fate(),
            (true, false) => of_two(asked),
            _ => Fate::Pass,
        });
        let run = project.run(&["plan", "-o", "json"]).expect_exit(1).expect_text(&[words]);
        deletes_nothing(&run.json());
        apply(&project).expect_exit(1);
        assert_eq!(maps(Cluster::shared(), &namespace).len(), OBJECTS + at + 1);
    }
    proxy.decide(|asked| if is_list(asked) { of_two(asked) } else { Fate::Pass });
    apply(&project).expect_exit(0);
    assert_eq!(maps(Cluster::shared(), &namespace).len(), OBJECTS - 1 + theirs);
}
