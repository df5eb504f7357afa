use trueup_core::value::json;

use super::*;

const HEAD: &str = "apiVersion: trueup.dev/v1\nkind: Plugin\nmetadata: {name: tickets}\n";

fn parse(body: &str) -> Result<PluginProject, Vec<Diagnostic>> {
    PluginProject::parse(FILE, format!("{HEAD}{body}").as_bytes())
}

/// The findings of a body are these, as `line:column message`, with the hint behind ` | `.
#[track_caller]
fn check(body: &str, want: &[&str]) {
    let show = |it: &Diagnostic| {
        let at = it.location.as_ref().map(|it| format!("{}:{} ", it.line, it.column)).unwrap_or_default();
        let hint = it.hint.as_ref().map(|it| format!(" | {it}")).unwrap_or_default();
        format!("{at}{}{hint}", it.message)
    };
    let found: Vec<String> = parse(body).err().unwrap_or_default().iter().map(show).collect();
    assert_eq!(found, want, "{body}");
}

const WHOLE: &str = r#"
build: {language: python, entry: tickets}
test:
  server: {command: ["python3", "server.py", "{port}", "{port}"], env: {MODE: "", BASE: "http://127.0.0.1:{port}"}}
  config: {server: "http://127.0.0.1:{port}", retries: 3}
  hosts: ["http://127.0.0.1:{port}"]
  dirs: ["./x"]
  dns: ["dns://127.0.0.1:{port}"]
  reads: ["POST /search"]
  credentials: {token: {bearer: test-token}, key: {header: {X-Key: abc}}, user: {basic: {user: eve, password: pw}}}
  secrets: {hook: s3cret}
  objects:
    - kind: Ticket
      name: first
      spec: {title: First, tags: [a, b], hook: "${{ secret('hook') }}", home: ["http://127.0.0.1:{port}/"]}
      change: {title: Other}
    - {kind: Queue, name: first, spec: {}}
  extra: {change: {method: PATCH, path: "/tickets/{identity}", body: {assignee: eve}}, look: {path: "/tickets/{identity}", pointer: /assignee}}
  budget: {objects: 500}
"#;

#[test]
fn a_file_with_every_key_reads_and_the_port_is_filled_in() {
    let project = parse(WHOLE).unwrap();
    assert_eq!(project.build, Build::Language { language: Language::Python, entry: Some("tickets".into()) });
    assert_eq!(project.component(), "build/tickets.wasm");
    let test = project.test.unwrap();
    assert_eq!(test.dirs, ["./x"]);
    assert_eq!(test.budget, Budget { objects: 500, seconds: 30 });
    assert_eq!(test.credentials["token"], Credential::Bearer("test-token".into()));
    assert_eq!(test.credentials["key"], Credential::Header([("X-Key".to_owned(), "abc".to_owned())].into()));
    assert_eq!(test.credentials["user"], Credential::Basic { user: "eve".into(), password: "pw".into() });
    assert_eq!(test.objects[1].change, json!({}));
    assert_eq!(test.extra.as_ref().unwrap().look.pointer, "/assignee");
    let at = test.at_port(81);
    let server = at.server.unwrap();
    assert_eq!(server.command, ["python3", "server.py", "81", "81"]);
    assert_eq!(server.env["BASE"], "http://127.0.0.1:81");
    assert_eq!(at.config, json!({"server": "http://127.0.0.1:81", "retries": 3}));
    assert_eq!((&*at.hosts[0], &*at.dns[0]), ("http://127.0.0.1:81", "dns://127.0.0.1:81"));
    assert_eq!(at.objects[0].spec["home"], json!(["http://127.0.0.1:81/"]));
    assert_eq!(at.objects[0].spec["hook"], json!("${{ secret('hook') }}"), "secrets are named, not opened");
}

#[test]
fn the_least_is_a_name_and_a_way_to_build() {
    let project = parse("build: {command: [make, -s], component: ./out/x.wasm}\n").unwrap();
    assert_eq!((project.name.as_str(), project.component().as_str()), ("tickets", "out/x.wasm"));
    assert_eq!(project.test, None);
    let recorded = parse("build: {language: go}\ntest: {recording: tests/r.jsonl, objects: [{kind: A, name: a, spec: {}}]}\n");
    assert_eq!(recorded.unwrap().test.unwrap().recording.as_deref(), Some("tests/r.jsonl"));
}

#[test]
fn an_unknown_key_is_an_error_with_its_place_and_a_suggestion() {
    check(
        "build: {languag: rust}\n",
        &[
            "4:1 `build` needs a key `language` or `command` | `{language: rust}`, or `{command: [\"make\"], component: out.wasm}`",
            "4:9 `build` has no key `languag` | did you mean `language`?",
        ],
    );
    check(
        "build: {language: rust}\ntest: {objcts: [], objects: [{kind: A, name: a, spec: {}, chnge: {}}]}\n",
        &[
            "5:8 `test` has no key `objcts` | did you mean `objects`?",
            "5:59 an object has no key `chnge` | did you mean `change`?",
        ],
    );
}

#[test]
fn a_build_is_by_a_language_or_by_a_command() {
    check("build: {language: perl}\n", &["4:9 `language` must be one of `rust`, `python`, `js`, `go`"]);
    check("build: {language: go, command: [make]}\n", &["4:23 `language` and `command` exclude each other"]);
    check(
        "build: {language: go, component: x}\n",
        &["4:23 `component` goes with `command`; a language writes `build/<name>.wasm`"],
    );
    check("build: {command: [make]}\n", &["4:1 `build` needs a key `component`"]);
    check(
        "build: {command: [make], component: ../x.wasm}\n",
        &["4:26 `component` must be a file below the project's folder, without `..`"],
    );
    check(
        "build: {command: make, component: x}\n",
        &["4:9 `command` must be a list: the program, then its arguments | such as `[\"python3\", \"server.py\", \"{port}\"]`"],
    );
}

#[test]
fn rights_are_judged_as_those_of_a_project_are_and_a_port_needs_a_server() {
    let objects = "objects: [{kind: A, name: a, spec: {}}]";
    check(
        &format!(
            "build: {{language: go}}\ntest: {{server: {{command: [x]}}, hosts: [\"ftp://a:{{port}}\"], reads: [search], {objects}}}\n"
        ),
        &[
            "5:40 `ftp://a:{port}` in `hosts` must be `http://` or `https://`",
            "5:67 `search` in `reads` must be `METHOD /path`, `X-Amz-Target=name` or `Action=name`",
        ],
    );
    check(
        &format!("build: {{language: go}}\ntest: {{config: {{a: [\"{{port}}\"]}}, {objects}}}\n"),
        &["5:21 `{port}` is the port of `server`, and there is none | `server: {command: [\"./server\", \"{port}\"]}`"],
    );
    check(
        &format!("build: {{language: go}}\ntest: {{server: {{command: [x]}}, recording: r, {objects}}}\n"),
        &["5:32 `server` and `recording` exclude each other"],
    );
}

#[test]
fn credentials_are_of_one_scheme_and_no_finding_repeats_them() {
    let body = "build: {language: go}\ntest: {credentials: {A: {bearer: pw-one}, b: {bearer: pw-two, basic: {}}, c: {bearer: [pw-three]}, d: {basic: {user: pw-four}}}, secrets: {\"a b\": pw-five}, objects: []}\n";
    check(
        body,
        &[
            "5:22 `A` cannot be a name in `credentials`",
            "5:43 a credential needs one of `bearer`, `header`, `basic` | `{bearer: text}`, `{header: {Name: value}}` or `{basic: {user: name, password: text}}`",
            "5:79 a credential's value must be a text",
            "5:104 `basic` needs a key `password`",
            "5:140 `a b` cannot be a name in `secrets`",
            "5:157 a test needs an object of each kind",
        ],
    );
    let all = parse(body).unwrap_err().iter().map(|it| format!("{it:?}")).collect::<String>();
    assert!(!all.contains("pw-"), "{all}");
}

#[test]
fn what_only_tests_need_is_judged_too() {
    check(
        "build: {language: go}\ntest:\n  objects: [{kind: A, name: a, spec: 3}, {kind: A, name: a, spec: {}}]\n  extra: {change: {method: GET, path: x}, look: {path: /x, pointer: x}}\n  budget: {objects: 0, seconds: 9999}\n",
        &[
            "6:32 `spec` must be a mapping",
            "6:42 the A `a` stands twice",
            "7:20 `method` must be one of `PATCH`, `POST`, `PUT`, `DELETE`",
            "7:33 the path of a request begins with `/`: `/tickets/{identity}`",
            "7:60 a pointer begins with `/`: `/assignee`",
            "8:12 `objects` must be a whole number from 1 to 1000000",
            "8:24 `seconds` must be a whole number from 1 to 3600",
        ],
    );
}

#[test]
fn a_folder_without_the_file_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (findings, _) = PluginProject::open(folder.path()).unwrap_err();
    assert!(findings[0].message.contains("plugin.yaml") && findings[0].hint.as_ref().unwrap().contains("plugin new"));
}
