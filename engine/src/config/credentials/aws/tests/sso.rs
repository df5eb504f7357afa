//! Keys by SSO: the token that a login left, its renewal, and its end.

use super::*;

const CONFIG: &str = "\
[sso-session corp]
sso_region = eu-west-3
sso_start_url = https://corp.example/start

[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Dev

[profile old]
sso_start_url = https://corp.example/start
sso_region = eu-west-3
sso_account_id = 123456789012
sso_role_name = Dev

[profile lost]
sso_session = none
sso_account_id = 123456789012
sso_role_name = Dev

[profile half]
sso_session = corp
sso_role_name = Dev
";

fn name_of(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!(".aws/sso/cache/{hex}.json")
}

/// A portal that believes the token `new` alone, and renews a login by `c4nary-refresh`.
fn portal() -> Server {
    Server::new(|seen| {
        if seen.line.starts_with("POST /token ") {
            let json: serde_json::Value = serde_json::from_str(&seen.body).unwrap();
            if json["refreshToken"] != "c4nary-refresh"
                || json["grantType"] != "refresh_token"
                || json["clientSecret"] != "c4nary-client"
            {
                return (400, String::new(), json!({"error": "invalid_grant", "error_description": "over"}).to_string());
            }
            let json = json!({"accessToken": "c4nary-new", "expiresIn": 3600, "refreshToken": "c4nary-refresh-2"});
            return (200, String::new(), json.to_string());
        }
        assert_eq!(seen.line, "GET /federation/credentials?role_name=Dev&account_id=123456789012 HTTP/1.1");
        if seen.header("x-amz-sso_bearer_token") != Some("c4nary-new") {
            return (401, String::new(), json!({"message": "Session token not found or invalid"}).to_string());
        }
        let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + 3_600_000;
        let end = u64::try_from(end).unwrap();
        let keys = json!({"accessKeyId": "AKSSO", "secretAccessKey": "c4nary-s", "sessionToken": "c4nary-t", "expiration": end});
        (200, String::new(), json!({ "roleCredentials": keys }).to_string())
    })
}

fn case(server: &Server) -> Case {
    let mut case = Case::new();
    case.around.sso = Some(server.url.clone());
    case.put(".aws/config", CONFIG);
    case
}

fn token(token: &str, lasts: i64, refresh: Option<&str>) -> String {
    let mut json =
        json!({"startUrl": "https://corp.example/start", "region": "eu-west-3", "accessToken": token, "expiresAt": time(lasts)});
    if let Some(refresh) = refresh {
        json["clientId"] = "id".into();
        json["clientSecret"] = "c4nary-client".into();
        json["refreshToken"] = refresh.into();
        json["registrationExpiresAt"] = time(86_400).into();
    }
    json.to_string()
}

#[test]
fn the_token_of_a_login_gives_the_keys_of_a_role() {
    for (profile, identifier) in [("dev", "corp"), ("old", "https://corp.example/start")] {
        let server = portal();
        let case = case(&server);
        case.put(&name_of(identifier), &token("c4nary-new", 3600, None));
        assert_eq!(case.get(&format!("{{profile: {profile}}}")).unwrap(), "AKSSO c4nary-s c4nary-t");
        let login = case.login(&format!("{{profile: {profile}}}")).unwrap();
        login.fetch(None).unwrap();
        assert_eq!(login.values(), ["c4nary-new", "c4nary-s", "c4nary-t"]);
        login.pass(Duration::from_mins(56));
        assert!(login.held().is_none());
    }
}

#[test]
fn a_login_that_ends_soon_is_renewed_and_kept_for_other_tools() {
    for lasts in [60, -60] {
        let server = portal();
        let case = case(&server);
        let file = case.put(&name_of("corp"), &token("c4nary-new", lasts, Some("c4nary-refresh")));
        let login = case.login("{profile: dev}").unwrap();
        assert_eq!(shown(&login.fetch(None).unwrap()), "AKSSO c4nary-s c4nary-t");
        let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!((&kept["accessToken"], &kept["refreshToken"]), (&json!("c4nary-new"), &json!("c4nary-refresh-2")));
        assert_eq!((&kept["startUrl"], &kept["clientId"]), (&json!("https://corp.example/start"), &json!("id")));
        assert!(kept["expiresAt"].as_str().unwrap() > time(3000).as_str());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let values = login.values();
        assert!(["c4nary-client", "c4nary-refresh", "c4nary-refresh-2"].iter().all(|it| values.iter().any(|has| has == it)));
    }
}

#[test]
fn a_login_that_is_over_is_said_with_what_to_run() {
    let again = "run `aws sso login --profile dev`";
    for (file, want) in [
        (None, "nobody logged in by SSO here"),
        (Some(token("c4nary-new", -60, None)), "the login by SSO is over"),
        (Some(token("c4nary-new", -60, Some("c4nary-other"))), "cannot be renewed: invalid_grant: over"),
        (
            Some(token("c4nary-other", 3600, None)),
            "SSO gives no keys for role `Dev` of account 123456789012: 401: Session token not found",
        ),
        (Some("{}".to_owned()), "holds no token"),
        (Some("c4nary".to_owned()), "is no JSON"),
    ] {
        let server = portal();
        let case = case(&server);
        if let Some(text) = &file {
            case.put(&name_of("corp"), text);
        }
        let words = case.get("{profile: dev}").unwrap_err();
        assert!(words.contains(want) && words.contains(again) && words.contains("profile `dev` of `"), "{want}: {words}");
    }
    // What is left of a login that cannot be renewed is used.
    let server = portal();
    let case = case(&server);
    case.put(&name_of("corp"), &token("c4nary-new", 60, Some("c4nary-other")));
    assert_eq!(case.get("{profile: dev}").unwrap(), "AKSSO c4nary-s c4nary-t");
    for (profile, want) in [("lost", "there is no section `[sso-session none]`"), ("half", "has no `sso_account_id`")] {
        assert!(case.login(&format!("{{profile: {profile}}}")).unwrap_err().contains(want), "{profile}");
    }
}
