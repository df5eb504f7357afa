//! Which requests only read, and which headers a plugin may set. Pure.

use url::Url;

/// A request beyond GET, HEAD and OPTIONS that only reads:
/// - `"POST /search"`: a method and a path, `*` for any text (`"PATCH /api*?dryRun=All"`; a query given there must be in
///   the request exactly once with that value, other parameters are free);
/// - `"X-Amz-Target=DynamoDB_20120810.Get*"`: a POST with that header;
/// - `"Action=Describe*"`: a POST of a form, or of nothing, that has exactly one `Action` in query and form together, with
///   that value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRule {
    text: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Path { method: String, path: String, query: Vec<(String, String)> },
    Target(String),
    Action(String),
}

/// What a read rule looks at.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a Url,
    /// Names in lower case.
    pub(crate) headers: &'a [(String, String)],
    pub(crate) body: &'a [u8],
    /// The base URL of the cluster whose credential goes along, if it is a cluster's: its paths have a shape.
    pub(crate) cluster: Option<&'a Url>,
}

impl ReadRule {
    /// # Errors
    ///
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no rule; write `POST /path`, `PATCH /path*?dryRun=All`, `X-Amz-Target=Name*` or `Action=Name*`")
        };
        let rule = if let Some(target) = text.strip_prefix("X-Amz-Target=") {
            Rule::Target(target.to_owned())
        } else if let Some(action) = text.strip_prefix("Action=") {
            Rule::Action(action.to_owned())
        } else {
            let (method, rest) = text.split_once(' ').ok_or_else(wrong)?;
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            let query = query.split('&').filter(|it| !it.is_empty()).map(|it| {
                let (name, value) = it.split_once('=').ok_or_else(wrong)?;
                Ok((name.to_owned(), value.to_owned()))
            });
            let method_fits = !method.is_empty() && method.bytes().all(|it| it.is_ascii_uppercase());
            if !method_fits || !path.starts_with('/') {
                return Err(wrong());
            }
            Rule::Path { method: method.to_owned(), path: path.to_owned(), query: query.collect::<Result<_, String>>()? }
        };
        match &rule {
            Rule::Target(value) | Rule::Action(value) if value.trim_matches('*').is_empty() => Err(wrong()),
            _ => Ok(Self { text: text.to_owned(), rule }),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        match &self.rule {
            Rule::Path { method, path, query } => {
                let once = |(name, value): &(String, String)| {
                    let mut found = asked.url.query_pairs().filter(|(key, _)| key == name);
                    matches!((found.next(), found.next()), (Some((_, only)), None) if only == *value)
                };
                asked.method == method && fits(path, asked.url.path()) && query.iter().all(once)
            }
            Rule::Target(pattern) => {
                let mut found = asked.headers.iter().filter(|(name, _)| name == "x-amz-target");
                let only = matches!((found.next(), found.next()), (Some((_, only)), None) if fits(pattern, only));
                asked.method == "POST" && only && actions(asked).is_some_and(|it| it.is_empty())
            }
            Rule::Action(pattern) => {
                let target = asked.headers.iter().any(|(name, _)| name == "x-amz-target");
                let readable = asked.body.is_empty() || body_of(asked) == Some(Body::Form);
                let only = actions(asked).is_some_and(|it| matches!(&*it, [only] if fits(pattern, only)));
                asked.method == "POST" && !target && readable && only
            }
        }
    }
}

/// How a server will read a body.
#[derive(PartialEq, Eq)]
enum Body {
    Form,
    Other,
}

/// None where servers may differ over it: more than one `content-type`, or a form in a character set of its own.
fn body_of(asked: &Asked<'_>) -> Option<Body> {
    let mut types = asked.headers.iter().filter(|(name, _)| name == "content-type");
    let Some((_, text)) = types.next() else { return Some(Body::Other) };
    if types.next().is_some() {
        return None;
    }
    let mut parts = text.split(';').map(str::trim);
    let form = parts.next().is_some_and(|it| it.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    if !form {
        // A list in one header is as good as two, and one of them may be the form.
        let mixed = text.contains(',') || text.to_ascii_lowercase().contains("x-www-form-urlencoded");
        return (!mixed).then_some(Body::Other);
    }
    let plain =
        |it: &str| it.is_empty() || it.eq_ignore_ascii_case("charset=utf-8") || it.eq_ignore_ascii_case("charset=\"utf-8\"");
    parts.all(plain).then_some(Body::Form)
}

/// Every `Action` of the query and of the body read as a form; what is no form has none. None where it cannot be told how a
/// server reads the body.
fn actions(asked: &Asked<'_>) -> Option<Vec<String>> {
    let named = |(key, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        key.eq_ignore_ascii_case("action").then(|| value.into_owned())
    };
    let mut all: Vec<String> = asked.url.query_pairs().filter_map(named).collect();
    if body_of(asked)? == Body::Form {
        all.extend(url::form_urlencoded::parse(asked.body).filter_map(named));
    }
    Some(all)
}

/// Whether a request may change nothing: GET, HEAD and OPTIONS, and what the grant lists. Upgrades, and paths that reach
/// through a server into something else (`/proxy`, `/exec`, `/attach`, `/portforward`), are writes whatever their method.
pub(crate) fn only_reads(asked: &Asked<'_>, rules: &[ReadRule]) -> bool {
    let upgrade = asked.headers.iter().any(|(name, value)| {
        name == "upgrade"
            || name == "connection"
            || name.starts_with("sec-websocket")
            || (name == "x-http-method-override" && !value.is_empty())
    });
    if upgrade || leads_through(asked) {
        return false;
    }
    matches!(asked.method, "GET" | "HEAD" | "OPTIONS") || rules.iter().any(|rule| rule.matches(asked))
}

/// What stands behind an object's name to reach through the server into something else.
const THROUGH: [&str; 4] = ["proxy", "exec", "attach", "portforward"];

/// Whether the path reaches through the server. On a cluster names do not count: a ConfigMap called `proxy` is one like any other,
/// and the words mean something only behind an object's name.
fn leads_through(asked: &Asked<'_>) -> bool {
    // Decoded as a whole, as servers do: an escaped slash parts names too.
    let path = decoded(asked.url.path());
    let parts: Vec<&str> = path.split('/').collect();
    let below = asked.cluster.and_then(|base| {
        let base = base.path().trim_end_matches('/');
        asked.url.path().strip_prefix(base).filter(|it| it.starts_with('/'))?;
        parts.get(decoded(base).split('/').count()..)
    });
    let judged = below.and_then(behind_names).unwrap_or(&parts);
    judged.iter().any(|it| THROUGH.contains(it))
}

/// What is left of the path of a Kubernetes API behind names: `api/v1/namespaces/a/pods/b/…`, `apis/g/v1/nodes/b/…`. None where the
/// path has another shape.
fn behind_names<'a, 'b>(parts: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let rest = match parts {
        ["api", version, rest @ ..] | ["apis", _, version, rest @ ..] if is_version(version) => rest,
        _ => return None,
    };
    let is_kind = |it: &str| !it.is_empty() && it != "watch" && !THROUGH.contains(&it);
    match rest {
        // A namespace, a list in it, an object in it.
        ["namespaces", _] => Some(&[]),
        ["namespaces", _, kind] if is_kind(kind) => Some(&[]),
        ["namespaces", _, kind, _, rest @ ..] if is_kind(kind) => Some(rest),
        ["namespaces", ..] => None,
        [kind, _, rest @ ..] if is_kind(kind) => Some(rest),
        _ => None,
    }
}

/// `v1`, `v2beta1`.
fn is_version(text: &str) -> bool {
    let rest = text.strip_prefix('v').unwrap_or_default();
    rest.starts_with(|it: char| it.is_ascii_digit()) && rest.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
}

/// A path's part as the server will read it, so that `%70roxy` hides nothing.
pub(super) fn decoded(part: &str) -> String {
    let escaped = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes()).map(|(key, _)| key.into_owned()).next().unwrap_or_default()
}

/// Why a plugin may not set a header, if it may not: it is the host's, or would change whose request it is (D18).
pub(crate) fn forbidden(name: &str) -> Option<&'static str> {
    const HOSTS: [&str; 13] = [
        "authorization",
        "host",
        "transfer-encoding",
        "content-length",
        "connection",
        "cookie",
        "cookie2",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "x-http-method-override",
    ];
    let method = matches!(name, "x-http-method" | "x-method-override");
    // Of clusters: in whose name the request is made.
    let whose = name.starts_with("impersonate-") || name.starts_with("x-remote-");
    (HOSTS.contains(&name) || method || whose || name.starts_with("proxy-") || name.starts_with(':'))
        .then_some("is set by the host; name a credential instead of setting it")
}

/// Whether `text` fits a pattern in which `*` stands for any text. Linear: no backtracking beyond the last star.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: &[&str], method: &str, url: &str, headers: &[(&str, &str)], body: &str, want: bool) {
        let rules: Vec<_> = rules.iter().map(|it| ReadRule::parse(it).unwrap()).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = Url::parse(url).unwrap();
        let got = only_reads(&Asked { method, url: &url, headers: &headers, body: body.as_bytes(), cluster: None }, &rules);
        assert_eq!(got, want, "{method} {url} {headers:?} {body}");
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn without_a_rule_only_get_head_and_options_are_reads() {
        for (method, want) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("POST", false),
            ("DELETE", false),
            ("QUERY", false),
            ("get", false),
        ] {
            check(&[], method, "https://a.example/x", &[], "", want);
        }
    }

    #[test]
    fn a_rule_names_method_path_and_a_query_that_stands_there_once() {
        let rules = ["POST /search", "PATCH /api*?dryRun=All"];
        check(&rules, "POST", "https://a.example/search", &[], "", true);
        check(&rules, "POST", "https://a.example/search/x", &[], "", false);
        check(&rules, "PUT", "https://a.example/search", &[], "", false);
        check(&rules, "PATCH", "https://a.example/apis/v1/pods?dryRun=All&fieldManager=x", &[], "", true);
        check(&rules, "PATCH", "https://a.example/apis/v1/pods?dryRun=All&dryRun=None", &[], "", false);
        check(&rules, "PATCH", "https://a.example/apis/v1/pods?dryRun=all", &[], "", false);
        check(&rules, "PATCH", "https://a.example/apis/v1/pods", &[], "", false);
    }

    #[test]
    fn several_actions_or_none_are_a_write() {
        let rules = ["Action=Describe*", "X-Amz-Target=DynamoDB_20120810.Get*"];
        check(&rules, "POST", "https://a.example/", &[FORM], "Action=DescribeHosts&Version=1", true);
        check(&rules, "POST", "https://a.example/", &[FORM], "Action=DescribeHosts&Action=RunInstances", false);
        check(&rules, "POST", "https://a.example/?Action=RunInstances", &[FORM], "Action=DescribeHosts", false);
        check(&rules, "POST", "https://a.example/", &[FORM], "Version=1", false);
        check(&rules, "POST", "https://a.example/", &[], "Action=DescribeHosts", false);
        check(&rules, "POST", "https://a.example/", &[("x-amz-target", "DynamoDB_20120810.GetItem")], "{}", true);
        check(&rules, "POST", "https://a.example/", &[("x-amz-target", "DynamoDB_20120810.PutItem")], "{}", false);
        // However the type is written, the server reads the body as a form; where it is none, it may still.
        let query = "https://a.example/?Action=DescribeHosts";
        check(&rules, "POST", query, &[], "", true);
        check(&rules, "POST", query, &[FORM], "Version=1", true);
        for kind in [
            "application/X-WWW-Form-Urlencoded",
            " application/x-www-form-urlencoded ; charset=utf-8",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/x-www-form-urlencoded, text/plain",
            "text/plain, application/x-www-form-urlencoded",
            "text/plain",
            "",
        ] {
            check(&rules, "POST", query, &[("content-type", kind)], "Action=RunInstances", false);
            let target = [("x-amz-target", "DynamoDB_20120810.GetItem"), ("content-type", kind)];
            check(&rules, "POST", query, &target, "Action=RunInstances", false);
        }
        check(&rules, "POST", query, &[], "Action=RunInstances", false);
        check(&rules, "POST", query, &[FORM], "Action=DescribeHosts", false);
        let kinds = [("content-type", "text/plain"), FORM];
        check(&rules, "POST", "https://a.example/", &kinds, "Action=DescribeHosts", false);
        check(
            &rules,
            "POST",
            "https://a.example/",
            &[("content-type", "Application/X-WWW-form-urlencoded;charset=UTF-8")],
            "Action=DescribeHosts",
            true,
        );
        let both = [("x-amz-target", "DynamoDB_20120810.GetItem"), FORM];
        check(&rules, "POST", "https://a.example/", &both, "Action=RunInstances", false);
    }

    #[test]
    fn upgrades_and_ways_through_a_server_are_writes() {
        check(&[], "GET", "https://a.example/api/v1/namespaces/x/pods/y/exec?command=rm", &[], "", false);
        check(&[], "GET", "https://a.example/api/v1/nodes/x/proxy/run", &[], "", false);
        check(&[], "GET", "https://a.example/api/v1/nodes/x/%70roxy/run", &[], "", false);
        check(&[], "GET", "https://a.example/x", &[("upgrade", "websocket")], "", false);
        check(&[], "GET", "https://a.example/proxying", &[], "", true);
    }

    #[track_caller]
    fn check_cluster(base: &str, path: &str, want: bool) {
        let (url, base) = (Url::parse(&format!("{base}{path}")).unwrap(), Url::parse(base).unwrap());
        let got = only_reads(&Asked { method: "GET", url: &url, headers: &[], body: &[], cluster: Some(&base) }, &[]);
        assert_eq!(got, want, "{base} {path}");
    }

    #[test]
    fn on_a_cluster_only_what_stands_behind_an_objects_name_leads_through_it() {
        for base in
            ["https://a.example", "https://a.example/", "https://a.example/k8s/clusters/c-1", "https://a.example/proxy/api/v1"]
        {
            let base = base.trim_end_matches('/');
            for (path, want) in [
                ("/api/v1/namespaces/x/configmaps/proxy", true),
                ("/api/v1/namespaces/exec/configmaps/attach", true),
                ("/api/v1/namespaces/exec", true),
                ("/api/v1/namespaces/exec/configmaps?limit=500", true),
                ("/api/v1/namespaces/x/proxy", false),
                ("/api/v1/namespaces/x/proxy/a", false),
                ("/api/v1/nodes/portforward", true),
                ("/apis/apps/v1/namespaces/x/deployments/exec", true),
                ("/apis/apps/v1/namespaces/x/deployments/exec/status", true),
                ("/apis/rbac.authorization.k8s.io/v1/clusterroles/proxy", true),
                ("/api/v1/namespaces/x/pods/y/exec?command=rm", false),
                ("/api/v1/namespaces/x/pods/exec/exec", false),
                ("/api/v1/namespaces/x/pods/y/attach", false),
                ("/api/v1/namespaces/x/pods/y/portforward", false),
                ("/api/v1/namespaces/x/services/https:y:1/proxy/a", false),
                ("/api/v1/namespaces/x/pods/y/%65xec", false),
                ("/api/v1/namespaces/x/pods/y%2Fexec", false),
                ("/api/v1/namespaces/x/pods/y%2Fproxy%2Frun", false),
                ("/api/v1//namespaces/x/pods/y/exec", false),
                ("/api/v1/nodes/x/proxy/run", false),
                ("/api/v1/proxy/nodes/x", false),
                ("/api/v1/proxy/namespaces/x/pods/y", false),
                ("/api/v1/watch/proxy/x", false),
                ("/apis/example.com/v1/widgets/a/proxy", false),
                ("/apis/example.com/odd/widgets/proxy", false),
                ("/logs/proxy", false),
            ] {
                check_cluster(base, path, want);
            }
        }
    }

    #[test]
    fn a_rule_that_would_match_everything_is_refused() {
        for text in ["POST", "post /x", "Action=*", "X-Amz-Target=", "POST x", "PATCH /x?dryRun"] {
            assert!(ReadRule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stars_match_any_text_and_nothing_else_does() {
        let cases = [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("a", "ab", false),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(fits(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn headers_that_decide_whose_request_it_is_are_the_hosts() {
        for name in [
            "authorization",
            "host",
            "transfer-encoding",
            "proxy-authorization",
            "cookie",
            "connection",
            "impersonate-user",
            "impersonate-extra-scopes",
            "x-remote-user",
        ] {
            assert!(forbidden(name).is_some(), "{name}");
        }
        assert!(forbidden("x-api-version").is_none());
    }
}
