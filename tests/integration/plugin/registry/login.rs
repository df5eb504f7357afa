//! Logins: by password at every request, and by a token of another server.

use trueup_tests::Project;
use trueup_tests::servers::registry::{Answer, Artifact, Asked, Fake, Login, PASSWORD, Registry, TokenServer};

use super::{component, credentials, project};

fn basic(origins: &str) -> String {
    format!(
        "credentials:\n  store: {{origins: [{origins}], registry: true, basic: {{user: {{file: user}}, password: {{file: password}}}}}}\n"
    )
}

/// Publishes and adds.
#[track_caller]
fn round(project: &Project, reference: &str) {
    let file = component(project);
    project.run(&["plugin", "publish", file.to_str().unwrap(), reference]).expect_exit(0).expect_no_text(&[PASSWORD]);
    project.run(&["plugin", "add", reference, "--yes", "--allow-unsigned", "-vv"]).expect_exit(0).expect_no_text(&[PASSWORD]);
}

#[test]
fn a_registry_with_passwords_takes_the_entry_for_its_origin_and_refuses_others_by_name() {
    let registry = Registry::start(&Login::Basic);
    let reference = registry.reference("team/thing:1");
    let project = project(&reference);
    let origin = format!("\"http://127.0.0.1:{}\"", registry.port);
    let add = ["plugin", "add", &reference, "--yes", "--allow-unsigned"];
    project.run(&add).expect_exit(1).expect_text(&["TU0720", "wants a login", "`registry: true`"]);
    credentials(&project, &basic("\"http://127.0.0.1:1\""), PASSWORD);
    project.run(&add).expect_exit(1).expect_text(&["wants a login"]);
    credentials(&project, &basic(&origin).replace("registry: true, ", ""), PASSWORD);
    project.run(&add).expect_exit(1).expect_text(&["wants a login"]);
    credentials(&project, &basic(&origin), "wrong-password");
    project.run(&add).expect_exit(1).expect_text(&["does not take the credential `store`"]).expect_no_text(&["wrong-password"]);
    let twice = format!("{}  second: {{origins: [{origin}], registry: true, bearer: {{file: password}}}}\n", basic(&origin));
    credentials(&project, &twice, PASSWORD);
    project.run(&add).expect_exit(1).expect_text(&["TU0502", "leave `registry: true` in one"]);
    credentials(&project, &basic(&origin).replace("registry: true", "registry: yes please"), PASSWORD);
    project.run(&add).expect_exit(1).expect_text(&["TU0502"]);
    credentials(&project, &basic(&origin), PASSWORD);
    round(&project, &reference);
}

#[test]
fn a_token_is_fetched_with_the_credential_only_where_its_entry_names_the_token_server() {
    let tokens = TokenServer::start();
    let registry = Registry::start(&Login::Token(&tokens));
    let reference = registry.reference("team/thing:1");
    let project = project(&reference);
    let origin = format!("\"http://127.0.0.1:{}\"", registry.port);
    credentials(&project, &basic(&origin), PASSWORD);
    let add = ["plugin", "add", &reference, "--yes", "--allow-unsigned"];
    let run = project.run(&add).expect_exit(1);
    run.expect_text(&["TU0720", "the token server", "add that to its `origins`"]).expect_no_text(&[PASSWORD]);
    assert!(!tokens.seen().is_empty() && tokens.seen().iter().all(|it| !it.contains("authorization")), "{:?}", tokens.seen());
    credentials(&project, &basic(&format!("{origin}, \"http://127.0.0.1:{}\"", tokens.port)), PASSWORD);
    round(&project, &reference);
    assert!(tokens.seen().iter().any(|it| it.contains("scope=repository%3ateam%2fthing%3apull%2cpush")), "{:?}", tokens.seen());
}

#[test]
fn a_token_server_is_judged_as_a_redirect_is_and_a_bearer_goes_to_the_registry_itself() {
    let artifact = Artifact::new(trueup_tests::guests::hostile(), |_| ());
    for (realm, words) in [
        ("http://tokens.example/", "only https is taken"),
        ("https://169.254.169.254/", "not public"),
        ("https://mia:x@tokens.example/", "that holds credentials"),
        ("nothing", "is no URL"),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\"");
        let server = Fake::start(move |_| Answer::with(401, &[("WWW-Authenticate", &challenge)], b""));
        let project = project("./x.wasm");
        let reference = format!("oci://127.0.0.1:{}/thing:1", server.port);
        project.run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(1).expect_text(&["TU0720", words]);
    }
    let server = Fake::start(move |asked: &Asked| {
        if asked.head.contains("authorization: bearer static-token") {
            return artifact.answer(asked);
        }
        Answer::with(401, &[("WWW-Authenticate", "Bearer realm=\"http://127.0.0.1:9/\",service=\"x\"")], b"")
    });
    let project = project("./x.wasm");
    let text = format!(
        "credentials:\n  t: {{origins: [\"http://127.0.0.1:{}\"], registry: true, bearer: {{file: password}}}}\n",
        server.port
    );
    credentials(&project, &text, "static-token");
    let reference = format!("oci://127.0.0.1:{}/thing:1", server.port);
    project.run(&["plugin", "add", &reference, "--yes", "--allow-unsigned"]).expect_exit(0);
}
