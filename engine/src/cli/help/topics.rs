//! What has no command of its own to be explained with: the language of expressions, and the file of credentials.

use trueup_core::expression::{FUNCTIONS, METHODS};

/// The text of a topic; None where there is no such topic.
pub fn text(topic: &str) -> Option<String> {
    match topic {
        "expressions" => Some(expressions()),
        "credentials" => Some(CREDENTIALS.to_owned()),
        _ => None,
    }
}

/// The list of functions is the engine's own, so that it cannot be another one.
fn expressions() -> String {
    let names = |table: &[(&str, usize, usize)]| table.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" ");
    format!("{EXPRESSIONS}\nAll functions: {}\nAll methods:   {}\n", names(FUNCTIONS), names(METHODS))
}

const EXPRESSIONS: &str = r#"Expressions: ${{ … }} in any text of a document's body

A value that is one whole expression keeps its type; inside a text it becomes text. Quote the YAML value where the
expression holds `: ` or ` #`. `$${{` stands for a literal `${{`. Shell `${VAR}` and Go `{{ }}` are left alone.

Names
  vars.greeting                     a value of the environment's `vars:` in trueup.yaml
  env.name                          the environment's name
  ref('File/motd').spec.path        a field that another resource declares; that resource then comes first
  ref('File/motd').status.sha256    what its provider observed; `(known after File/motd)` until it is there
  secret('db-password')             a secret of credentials.yaml, only in fields for secrets
  self.spec.path                    a field of the document itself; in `trueup.dev/wait-for` of the object as it is,
                                    with `self.status`

`ref` and `secret` take a literal name. `metadata` and the fields that make an object's address may use `vars` and
`env` only. What is not there is an error, never an empty text; `has(vars.x)` asks whether it is there.

Operators
  + - * / %   == != < <= > >=   && || !   in   c ? a : b   list[0]   map.key   map['key']
  `+` joins texts and lists; texts and numbers are joined by `string(…)`.

Functions
  size(x)  has(x.y)  string(x)  int(x)  double(x)  bool(x)
  text.contains(t)  text.startsWith(t)  text.endsWith(t)  text.indexOf(t)  text.lastIndexOf(t)  text.charAt(n)
  text.substring(from, to)  text.replace(old, new)  text.split(t)  list.join(t)  text.trim()
  text.lowerAscii()  text.upperAscii()  text.reverse()
  list.item('type', 'Ready')        the first item whose field `type` is `Ready`

The language is CEL without comprehensions (`map`, `filter`, `all`). An expression has at most 4 KiB.

Examples
  content: "${{ vars.greeting }} to ${{ env.name }}\n"
  content: "${{ env.name == 'prod' ? 'live' : 'test' }}"
  mode: "${{ has(vars.mode) ? vars.mode : '0644' }}"
  content: "${{ vars.hosts.join(', ') }}"
  trueup.dev/wait-for: self.status.conditions.item('type', 'Ready').status == 'True'
"#;

const CREDENTIALS: &str = r#"Credentials: what you grant, outside of any repository

The file is credentials.yaml in ~/.config/trueup (or $XDG_CONFIG_HOME/trueup), or the one given with --credentials.
Only you may read it: chmod 600. It names where each value is found and never holds one: {env: NAME} or {file: PATH}.

  secrets:                             # for ${{ secret('db-password') }}
    db-password: {file: /run/secrets/db}
    api-key: {env: API_KEY}
  credentials:                         # for `credential:` of a provider; sent to these origins and nowhere else
    pdns: {origins: ["http://127.0.0.1:8081"], header: {X-API-Key: {env: PDNS_API_KEY}}}
    forge: {origins: ["https://git.example.com"], git: true, basic: {user: {env: GIT_USER}, password: {env: GIT_TOKEN}}}
    store: {origins: ["https://registry.example.com"], registry: true, bearer: {file: /run/secrets/registry}}
    prod: {kubeconfig: {file: ~/.kube/config, context: prod}, exec: [aws]}
    here: {in-cluster: true}
    aws: {origins: ["https://*.amazonaws.com"], sigv4: {profile: prod}}

One of these ways for each entry: `header`, `basic: {user, password}`, `bearer`, `client-certificate: {cert, key}`,
`kubeconfig: {file, context}`, `in-cluster: true`, `sigv4`, `tsig`.
Besides: `ca: {file}` for a certificate authority of your own, `git: true` for the entry that --source uses,
`registry: true` for the one that a registry of plugins is sent (`basic` or `bearer`; where another server gives its
tokens, that is one of the `origins` too).

A kubeconfig is as kubectl's, and only you may read it; without `context` its `current-context` is meant. Its server is the
only origin, unless `origins` says otherwise. A program that it runs to log in (`exec`) must stand in `exec:` of the entry, and
a server whose certificate is not looked at needs `insecure: true` there. `in-cluster: true` is the service account of the pod
that trueup runs in. Tokens are got anew before they end, and once after the server refuses one.

`sigv4` signs requests to AWS, and to others that read its signatures. Its keys come from one place, and from no other where
that has none:
  sigv4: {access_key: {env: NAME}, secret_key: {env: NAME}, session_token: {file: PATH}}   # the token where there is one
  sigv4: {environment: true}           # AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
  sigv4: {profile: prod}               # of ~/.aws/config and ~/.aws/credentials, or where AWS_CONFIG_FILE and
                                       # AWS_SHARED_CREDENTIALS_FILE say; or of `config: {file: PATH}` alone
  sigv4: {web-identity: {role: "arn:aws:iam::123456789012:role/ci", token: {file: PATH}}}
  sigv4: {instance: true}              # the role of the EC2 instance that trueup runs on
Each may have `assume-role: {role: ARN, external-id, session-name, duration: 1h}`, and for these roles `region` and `sts: URL`.
A profile is followed through `source_profile`, `sso_session` (after `aws sso login`) and `web_identity_token_file`; the program of
its `credential_process` must stand in `exec:` of the entry. Keys are got anew before they end, and once after they are refused.

To use a secret, three places name it:
  1. credentials.yaml        secrets: {db-password: {file: /run/secrets/db}}
  2. trueup.yaml             providers: {site: {plugin: file, …, secrets: [db-password]}}
  3. the document            sensitiveContent: "${{ secret('db-password') }}"
Then `trueup trust` grants the project the right to it. `trueup doctor` says whether every declared name is there.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_explained() {
        let (written, _) = expressions().split_once("All functions").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        for (name, ..) in FUNCTIONS {
            assert!(written.contains(&format!("{name}(")), "{name}");
        }
        for (name, ..) in METHODS.iter().filter(|it| it.0 != "size") {
            assert!(written.contains(&format!(".{name}(")), "{name}");
        }
    }
}
