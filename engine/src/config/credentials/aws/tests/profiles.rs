//! Profiles, and chains of them.

use super::*;

const CONFIG: &str = "\
[default]
region = eu-west-3

[profile keys]
aws_access_key_id = AKID
aws_secret_access_key = c4nary-1 # one

[profile split]
region = us-east-2

[profile role]
role_arn = arn:aws:iam::123456789012:role/one
source_profile = split
region = ap-south-1
external_id = e:1
role_session_name = s
duration_seconds = 1800

[profile chain]
role_arn = arn:aws:iam::123456789012:role/two
source_profile = role

[profile self]
role_arn = arn:aws:iam::123456789012:role/self
source_profile = self
aws_access_key_id = AKSELF
aws_secret_access_key = c4nary-2

[profile loop]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = pool
[profile pool]
role_arn = arn:aws:iam::123456789012:role/b
source_profile = loop

[profile token]
role_arn = arn:aws:iam::123456789012:role/pod
web_identity_token_file = ~/token

[profile mfa]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/ann

[profile ec2]
role_arn = arn:aws:iam::123456789012:role/a
credential_source = Ec2InstanceMetadata

[profile both]
role_arn = arn:aws:iam::123456789012:role/a
credential_source = Environment
source_profile = keys

[profile nowhere]
role_arn = arn:aws:iam::123456789012:role/a

[profile away]
role_arn = arn:aws:iam::123456789012:role/a
source_profile = keys
endpoint_url = http://evil.example

[profile half]
aws_access_key_id = AKID

[profile login]
login_session = arn:aws:iam::123456789012:user/ann

[profile region]
region = evil.example/
aws_access_key_id = AKID
aws_secret_access_key = c4nary-1

[profile program]
credential_process = helper --for \"a b\"

[profile path]
credential_process = /opt/helper --for x

[profile relative]
credential_process = ./helper
";

const CREDENTIALS: &str =
    "[split]\naws_access_key_id = AKSPLIT\naws_secret_access_key = c4nary-3\naws_session_token = c4nary-t\n";

fn case() -> Case {
    let case = Case::new();
    case.put(".aws/config", CONFIG);
    case.put(".aws/credentials", CREDENTIALS);
    case.put("token", "c4nary-web");
    case
}

#[test]
fn a_profile_is_followed_to_its_keys_and_from_there_through_its_roles() {
    for (profile, want, signed) in [
        ("keys", "AKID c4nary-1 -", &[][..]),
        ("split", "AKSPLIT c4nary-3 c4nary-t", &[]),
        ("role", "ID-one", &["AKSPLIT ap-south-1"]),
        ("chain", "ID-two", &["AKSPLIT us-east-1", "ID-one us-east-1"]),
        ("self", "ID-self", &["AKSELF us-east-1"]),
        ("token", "ID-pod", &["-"]),
        ("away", "ID-a", &["AKID us-east-1"]),
    ] {
        let sts = sts();
        let got = case().get(&format!("{{profile: {profile}, sts: '{}'}}", sts.url)).unwrap();
        assert!(got.starts_with(want), "{profile}: {got}");
        assert_eq!(signers(&sts), signed, "{profile}");
    }
    let sts = sts();
    let more = format!("region: eu-north-1, sts: '{}', assume-role: {{role: '{ROLE}last', external-id: 'x:y'}}", sts.url);
    assert!(case().get(&format!("{{profile: role, {more}}}")).unwrap().starts_with("ID-last"));
    assert_eq!(signers(&sts), ["AKSPLIT eu-north-1", "ID-one eu-north-1"]);
    let forms: Vec<_> = sts.seen().iter().map(form).collect();
    assert_eq!((&*forms[0]["ExternalId"], &*forms[0]["RoleSessionName"], &*forms[0]["DurationSeconds"]), ("e:1", "s", "1800"));
    assert_eq!(forms[1]["ExternalId"], "x:y");
}

#[test]
fn what_other_tools_would_do_for_a_profile_and_we_do_not_is_refused_with_the_reason() {
    let case = case();
    for (profile, want) in [
        ("kays", "there is no profile `kays` in `"),
        ("kays", "did you mean `keys`?"),
        ("default", "says nothing of where its keys come from"),
        ("loop", "comes back to `loop`"),
        ("mfa", "asks somebody for a code"),
        ("ec2", "write `environment: true` or `instance: true` with `assume-role`"),
        ("both", "has both `source_profile` and `credential_source`"),
        ("nowhere", "has a `role_arn` and no `source_profile`"),
        ("away", "it wants another STS (`endpoint_url`)"),
        ("half", "alone"),
        ("login", "`login_session`"),
        ("region", "no name of a region"),
        ("program", "write `exec: [helper]` there"),
        ("path", "write `exec: [/opt/helper]` there"),
        ("relative", "write its whole path"),
    ] {
        // Said where the entry is named, before anything is sent.
        let words = case.login(&format!("{{profile: {profile}}}")).unwrap_err();
        assert!(words.contains(want) && !words.contains("c4nary"), "{profile}: {words}");
        assert!(words.starts_with(&format!("profile `{profile}` of `/")), "{words}");
    }
}

#[test]
fn the_files_are_those_that_the_variables_or_the_entry_name_and_nothing_else() {
    let case = Case::new();
    let keys = |id: &str, key: &str| format!("[{id}]\naws_access_key_id = AK{key}\naws_secret_access_key = c4nary-{key}\n");
    case.put(".aws/credentials", &keys("a", "HOME"));
    let (one, two) = (case.put("one", &keys("profile a", "ONE")), case.put("two", &keys("b", "TWO")));
    assert!(case.get("{profile: a}").unwrap().starts_with("AKHOME"));
    assert!(case.get("{profile: a, config: {file: one}}").unwrap().starts_with("AKONE"));
    assert!(case.get("{profile: b, config: {file: two}}").unwrap().starts_with("AKTWO"));
    assert!(case.get("{profile: b, config: {file: one}}").unwrap_err().contains("there is no profile `b` in `/"));
    assert!(case.get("{profile: b, config: {file: none}}").unwrap_err().contains("there is no file `/"));
    let case = case
        .variable("AWS_CONFIG_FILE", &one.to_string_lossy())
        .variable("AWS_SHARED_CREDENTIALS_FILE", &two.to_string_lossy())
        .variable("AWS_PROFILE", "b")
        .variable("AWS_ACCESS_KEY_ID", "AKENV")
        .variable("AWS_SECRET_ACCESS_KEY", "c4nary-ENV");
    assert!(case.get("{profile: a}").unwrap().starts_with("AKONE"));
    assert!(case.get("{profile: b}").unwrap().starts_with("AKTWO"));
    // Keys that somebody else writes there are taken where the old ones are refused.
    let login = case.login("{profile: b}").unwrap();
    let held = login.fetch(None).unwrap();
    fs::write(&two, keys("b", "NEW")).unwrap();
    assert!(shown(&login.fetch(Some(&held)).unwrap()).starts_with("AKNEW"));
}

#[test]
fn files_that_others_can_read_hold_no_keys_and_those_that_others_can_change_are_not_believed() {
    let case = case();
    let mode = |name: &str, mode: u32| {
        let path = case.folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(".aws/config", 0o644);
    assert!(case.get("{profile: split}").unwrap_err().contains("it holds keys, and others can read it"));
    case.put(".aws/config", "[profile split]\nregion = a\n");
    mode(".aws/config", 0o644);
    assert!(case.get("{profile: split}").is_ok());
    mode(".aws/config", 0o664);
    assert!(case.get("{profile: split}").unwrap_err().contains("others can change it"));
    mode(".aws/config", 0o600);
    mode(".aws/credentials", 0o640);
    assert!(case.get("{profile: split}").unwrap_err().contains("chmod 600"));
    case.put(".aws/config", "[profile split]\nc4nary\n");
    mode(".aws/credentials", 0o600);
    assert!(case.get("{profile: split}").unwrap_err().contains("line 2"));
}

#[test]
fn a_profiles_program_runs_where_the_entry_names_it_and_in_no_shell() {
    let case = Case::new();
    let path = case.folder.path().join("helper");
    let shown_path = path.display().to_string();
    let run = |answer: &str, arguments: &str, more: &str| {
        private::write(&path, format!("#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/arguments\"\n{answer}\n").as_bytes())
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        case.put(".aws/config", &format!("[profile p]\ncredential_process = {shown_path} {arguments}\n"));
        case.login_with("{profile: p}", more).and_then(|it| it.fetch(None).map(|got| (shown(&got), it.values())))
    };
    let exec = format!(", exec: ['{shown_path}']");
    let keys = json!({"Version": 1, "AccessKeyId": "AKP", "SecretAccessKey": "c4nary-p", "SessionToken": "c4nary-t", "Expiration": time(600)});
    let answer = |json: &str| format!("cat <<'X'\n{json}\nX");
    assert!(run(&answer(&keys.to_string()), "", "").unwrap_err().contains("write `exec: ["));
    assert!(!case.folder.path().join("arguments").exists(), "it was not run");
    let got = run(&answer(&keys.to_string()), "--for \"a b\" && $(touch x) > y", &exec).unwrap();
    assert_eq!(got, ("AKP c4nary-p c4nary-t".to_owned(), vec!["c4nary-p".to_owned(), "c4nary-t".to_owned()]));
    assert_eq!(fs::read_to_string(case.folder.path().join("arguments")).unwrap(), "--for a b && $(touch x) > y\n");
    for (body, want) in [
        ("exit 3", "failed"),
        ("echo c4nary", "what is no JSON"),
        ("echo '{\"Version\": 2}'", "another version than 1"),
        ("echo '{\"Version\": 1, \"AccessKeyId\": \"c4nary\"}'", "without `SecretAccessKey`"),
        (
            "echo '{\"Version\": 1, \"AccessKeyId\": \"a\", \"SecretAccessKey\": \"c4nary\", \"Expiration\": \"2020-01-01T00:00:00Z\"}'",
            "over already",
        ),
    ] {
        let words = run(body, "", &exec).unwrap_err();
        assert!(words.contains(want) && words.contains("helper`") && !words.contains("c4nary"), "{body}: {words}");
    }
}
