//! What is wanted is the same with a memory of the last pass and without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use trueup_core::diagnostic::codes;

use super::{Context, Desired, load};
use crate::engine::{Engine, Reading, Where};

const PROJECT: &str = "apiVersion: trueup.dev/v1
kind: Project
metadata: {name: shop, id: 4f0c9a000000000000000000000000aa}
providers:
  site: {plugin: file, config: {root: ./site}, dirs: [\"./site\"]}
  copy: {plugin: file, config: {root: ./copy}, dirs: [\"./copy\"]}
environments:
  prod: {layers: [base, over]}
";

/// A repository, and the memory of passes over it.
struct World {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = Self { folder: tempfile::tempdir().unwrap(), runtime };
        world.git(&["init", "-q", "-b", "main"]);
        world.write("trueup.yaml", PROJECT);
        world.write("base/keep.txt", "");
        world.write("over/keep.txt", "");
        world
    }

    fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.repo().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        fs::create_dir_all(self.repo()).unwrap();
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]).args(arguments);
        let output = git.current_dir(self.repo()).env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    }

    /// Everything that the committed documents ask for, documents included.
    fn load(&self, memory: Option<PathBuf>) -> (Context, Desired) {
        self.runtime.block_on(async {
            let place = Where { directory: Some(self.repo()), ..Where::default() };
            let engine = Engine::open(place).unwrap_or_else(|problem| panic!("{problem:?}"));
            let environment = engine.environment(Some("prod")).unwrap_or_else(|problem| panic!("{problem:?}"));
            let context = engine.context(&environment, Reading::Documents, Arc::default()).await;
            let context = Context { memory, ..context.unwrap_or_else(|problem| panic!("{problem:?}")) };
            let desired = load(&context).await;
            (context, desired)
        })
    }

    /// What people and the planner learn of it, one line each.
    fn told(&self, context: &Context, desired: &mut Desired) -> Vec<String> {
        let all: Vec<usize> = (0..desired.objects.len()).collect();
        let made = self.runtime.block_on(desired.make(context, &all));
        let mut lines: Vec<String> = desired.diagnostics.iter().map(|it| format!("{it:?}")).collect();
        lines.sort();
        lines.extend(made.err().into_iter().flatten().map(|it| format!("while made: {it:?}")));
        lines.extend(desired.objects.iter().enumerate().map(|(at, it)| {
            let document = desired.document(at);
            format!("{} {} {} {:?} {:?} {} {document:?}", it.resource, it.address, it.digest, it.settings, it.after, it.location)
        }));
        let mut waiting: Vec<String> = desired.waiting.keys().map(|it| format!("{it} waits")).collect();
        waiting.sort();
        lines.extend(waiting);
        lines
    }

    /// Commits, compares a pass with its memory to one without, remembers where nothing is wrong, and gives the findings.
    #[track_caller]
    fn check(&self, what: &str) -> Desired {
        self.commit();
        let (with, mut quick) = self.load(Some(self.memory()));
        let (without, mut full) = self.load(None);
        let counts = quick.counts;
        assert_eq!(self.told(&with, &mut quick), self.told(&without, &mut full), "{what}");
        // Without what it cost to compare.
        quick.counts = counts;
        if !quick.has_errors() && quick.is_new() {
            quick.remember(&with);
        }
        quick
    }

    fn memory(&self) -> PathBuf {
        self.folder.path().join("memory/prod.index")
    }
}

/// A `File` of this name; `extra` are more lines of `spec`, `annotations` is inside the mapping.
fn file(alias: &str, name: &str, annotations: &str, extra: &str) -> String {
    format!(
        "apiVersion: {alias}/v1\nkind: File\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec:\n  path: {name}.txt\n{extra}"
    )
}

fn content(text: &str) -> String {
    format!("  content: \"{text}\"\n")
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// One document of a random project: as the files hold it.
#[derive(Clone)]
struct Document {
    file: String,
    text: String,
}

/// Makes, changes, moves or takes away one document. References may dangle and close circles: these are cases too.
fn edit(dice: &mut Dice, documents: &mut BTreeMap<(bool, String), Document>) {
    let name = format!("r{}", dice.below(9));
    let other = format!("r{}", dice.below(9));
    let over = dice.below(4) == 0;
    let alias = if dice.below(9) == 0 { "copy" } else { "site" };
    let key = (over, format!("{alias}/{name}"));
    let folder = if over { "over" } else { "base" };
    let place = format!("{folder}/f{}.yaml", dice.below(6));
    match dice.below(10) {
        0 | 1 => drop(documents.remove(&key)),
        2 => {
            if let Some(document) = documents.get_mut(&key) {
                document.file = place;
            }
        }
        // Every document of one file moves to another one.
        3 => {
            let from = format!("{folder}/f{}.yaml", dice.below(6));
            documents.values_mut().filter(|it| it.file == from).for_each(|it| it.file.clone_from(&place));
        }
        roll => {
            let text = match (over, roll) {
                (true, 4) => file(alias, &name, "trueup.dev/remove: \"true\"", ""),
                (true, 5) => file(alias, &name, &format!("trueup.dev/depends-on: File/{other}"), ""),
                (true, _) => file(alias, &name, "", &content(&format!("over {}", dice.below(3)))),
                (false, 4) => file(alias, &name, "", &content(&format!("${{{{ ref('File/{other}').spec.content }}}}!"))),
                (false, 5) => file(alias, &name, "", &content(&format!("${{{{ ref('site:File/{other}').status.sha256 }}}}"))),
                (false, 6) => file(alias, &name, &format!("trueup.dev/depends-on: File/{other}"), &content("follows")),
                (false, _) => file(alias, &name, "", &content(&format!("plain {}", dice.below(5)))),
            };
            documents.insert(key, Document { file: place, text });
        }
    }
}

fn lay_out(world: &World, documents: &BTreeMap<(bool, String), Document>) {
    for folder in ["base", "over"] {
        fs::remove_dir_all(world.repo().join(folder)).unwrap();
        world.write(&format!("{folder}/keep.txt"), "");
    }
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    for document in documents.values() {
        let text = files.entry(&document.file).or_default();
        *text = format!("{text}---\n{}", document.text);
    }
    files.iter().for_each(|(path, text)| world.write(path, text));
}

#[test]
fn after_random_edits_what_is_wanted_is_the_same_with_and_without_a_memory() {
    let (mut sound, mut used) = (0, 0);
    for seed in 1..=4 {
        let world = World::new();
        let mut dice = Dice(seed);
        let mut documents = BTreeMap::new();
        for round in 0..40 {
            let before = documents.clone();
            for _ in 0..=dice.below(3) {
                edit(&mut dice, &mut documents);
            }
            lay_out(&world, &documents);
            let desired = world.check(&format!("seed {seed}, round {round}"));
            if desired.has_errors() && dice.below(3) > 0 {
                // Most mistakes are taken back, so that projects grow.
                documents = before;
            }
            sound += usize::from(!desired.has_errors());
            used += usize::from(!desired.has_errors() && desired.counts.evaluated < desired.counts.resources);
        }
    }
    assert!(sound > 40 && used > 20, "{sound} sound revisions, {used} of them only evaluated in part");
}

#[track_caller]
fn finds(desired: &Desired, code: trueup_core::diagnostic::Code) {
    assert!(desired.diagnostics.iter().any(|it| it.code == code), "{:?}", desired.diagnostics);
}

#[test]
fn a_circle_that_another_layer_closes_is_found_with_a_memory_too() {
    for (first, closing) in [
        (file("site", "a", "trueup.dev/depends-on: File/b", &content("a")), "trueup.dev/depends-on: File/c"),
        (file("site", "a", "", &content("${{ ref('File/b').status.size }}")), "trueup.dev/depends-on: File/c"),
    ] {
        let world = World::new();
        world.write("base/a.yaml", &first);
        world.write("base/b.yaml", &file("site", "b", "", &content("b")));
        world.write("base/c.yaml", &file("site", "c", "trueup.dev/depends-on: File/a", &content("c")));
        assert!(!world.check("a line").has_errors());
        world.write("over/b.yaml", &file("site", "b", closing, ""));
        finds(&world.check("a circle"), codes::CYCLE);
    }
}

#[test]
fn what_depends_on_something_that_is_gone_is_told_of_with_a_memory_too() {
    let world = World::new();
    world.write("base/a.yaml", &file("site", "a", "", &content("a")));
    world.write("base/b.yaml", &file("site", "b", "trueup.dev/depends-on: File/a", &content("b")));
    world.write("base/c.yaml", &file("site", "c", "", &content("${{ ref('File/b').status.size }}")));
    assert!(!world.check("a line").has_errors());
    fs::remove_file(world.repo().join("base/a.yaml")).unwrap();
    finds(&world.check("a is gone"), codes::REFERENCE_MISSING);
    world.write("base/a.yaml", &file("site", "a", "", &content("a")));
    world.write("over/b.yaml", &file("site", "b", "trueup.dev/remove: \"true\"", ""));
    finds(&world.check("another layer takes b away"), codes::REFERENCE_MISSING);
}

#[test]
fn a_short_name_that_means_two_things_from_now_on_is_told_of_with_a_memory_too() {
    let world = World::new();
    world.write("base/a.yaml", &file("site", "a", "", &content("a")));
    world.write("base/b.yaml", &file("site", "b", "trueup.dev/depends-on: File/a", &content("b")));
    assert!(!world.check("one a").has_errors());
    world.write("base/other.yaml", &file("copy", "a", "", &content("a")));
    finds(&world.check("two of them"), codes::REFERENCE_AMBIGUOUS);
}

#[test]
fn what_another_layer_changes_reaches_what_refers_to_it() {
    let world = World::new();
    world.write("base/a.yaml", &file("site", "a", "", &content("one")));
    world.write("base/b.yaml", &file("site", "b", "", &content("${{ ref('File/a').spec.content }}")));
    world.write("base/c.yaml", &file("site", "c", "", &content("c")));
    assert!(!world.check("one layer").has_errors());
    world.write("over/a.yaml", &file("site", "a", "", &content("two")));
    let desired = world.check("two layers");
    assert_eq!((desired.has_errors(), desired.counts.evaluated), (false, 2), "c is left alone");
    assert!(Path::new(&world.memory()).exists());
}

#[test]
fn more_resources_than_an_environment_may_have_are_refused_whether_they_are_remembered_or_not() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.write(&format!("base/{name}.yaml"), &file("site", name, "", &content("x")));
    }
    world.commit();
    let (mut context, desired) = world.load(Some(world.memory()));
    assert_eq!((desired.has_errors(), desired.counts.resources), (false, 3));
    desired.remember(&context);
    for memory in [Some(world.memory()), None] {
        context.memory = memory;
        for (most, refused) in [(3, false), (2, true)] {
            context.max_resources = most;
            let desired = world.runtime.block_on(load(&context));
            assert_eq!((desired.has_errors(), desired.objects.is_empty()), (refused, refused));
            let texts: Vec<&str> = desired.diagnostics.iter().map(|it| it.message.as_str()).collect();
            let want = "the environment `prod` declares 3 resources; there may be 2";
            assert_eq!(texts, if refused { vec![want] } else { Vec::new() });
            assert!(desired.diagnostics.iter().all(|it| it.code == codes::SOURCE_LIMIT && it.hint.is_some()));
        }
    }
}
