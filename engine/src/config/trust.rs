//! Which rights a project asks for, and whether the operator has agreed to exactly these.
//!
//! Owns the list of rights, its digest and the record of what was agreed to; asking and printing are the command line's.
//! Rights are collected over all environments, so that one answer covers the project.
//!
//! Invariant: whatever a plugin could do beyond the project's own folder is in the digest, so any change of it asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};
use trueup_core::text::inner_folder;
use trueup_core::value::{Digest, Json, json};

use super::lock::Lock;
use super::project::{PluginRef, Project, ProviderConfig};
use crate::private::{self, Refused};

/// Bytes of `trust.json`.
const BYTES: u64 = 16 << 20;
const FORMAT: u64 = 1;

/// What a right lets a provider do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Run a component that does not come with the program. None: the lock does not pin it.
    Plugin { sha256: Option<Digest> },
    /// Send requests there.
    Host(String),
    /// Send DNS messages there.
    Dns(String),
    /// Read, and in an apply change, what lies in a directory. `resolved` is absolute, links followed.
    Directory { written: String, resolved: PathBuf },
    /// Have requests signed with a credential. `use` is `read`, `write` or `read and write`.
    Credential { name: String, slot: String, using: &'static str },
    /// Learn a secret within an apply.
    Secret(String),
    /// Send a request that is no GET, HEAD or OPTIONS outside an apply.
    Read(String),
}

impl fmt::Display for Right {
    /// What it lets a provider do, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin { sha256: Some(sha256) } => write!(f, "run the plugin with sha256 {sha256}"),
            Self::Plugin { sha256: None } => f.write_str("run a plugin that `trueup.lock` does not pin"),
            Self::Host(host) => write!(f, "send requests to {host}"),
            Self::Dns(server) => write!(f, "send DNS messages to {server}"),
            Self::Directory { resolved, .. } => write!(f, "read and change files in {}", resolved.display()),
            Self::Credential { name, slot, using } if slot.is_empty() => write!(f, "use the credential `{name}` to {using}"),
            Self::Credential { name, slot, using } => write!(f, "use the credential `{name}` as `{slot}` to {using}"),
            Self::Secret(name) => write!(f, "learn the secret `{name}` while it applies"),
            Self::Read(request) => write!(f, "send `{request}` while it only reads"),
        }
    }
}

/// A right, who asks for it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub alias: String,
    pub plugin: PluginRef,
    pub right: Right,
    /// Environments in which it is asked for, sorted; those that only differ in this are one line for people.
    pub environments: Vec<String>,
}

/// Everything a project asks for beyond its own folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Sorted by alias, plugin and right.
    pub asked: Vec<Asked>,
}

impl Rights {
    /// Collects the rights of a project whose folder is `root`. Directories are resolved as they are now.
    pub fn of(project: &Project, root: &Path, lock: &Lock) -> Self {
        Self::collect(project, root, lock, true)
    }

    /// As [`Rights::of`] for a project without a checkout: `root` is a folder of the operator's that merely stands for its own,
    /// so that no directory is the project's to give.
    pub fn without_checkout(project: &Project, root: &Path, lock: &Lock) -> Self {
        Self::collect(project, root, lock, false)
    }

    fn collect(project: &Project, root: &Path, lock: &Lock, checkout: bool) -> Self {
        let root = resolve(root, Path::new("."));
        let mut found: BTreeMap<(String, PluginRef, Right), BTreeSet<String>> = BTreeMap::new();
        for environment in project.environments.values() {
            for (alias, provider) in &environment.providers {
                for right in rights_of(provider, &root, lock, checkout) {
                    let key = (alias.to_string(), provider.plugin.clone(), right);
                    found.entry(key).or_default().insert(environment.name.clone());
                }
            }
        }
        let asked = found.into_iter().map(|((alias, plugin, right), environments)| Asked {
            alias,
            plugin,
            right,
            environments: environments.into_iter().collect(),
        });
        Self { asked: asked.collect() }
    }

    /// Whether there is anything to agree to: data in the project's own folder is free.
    pub fn needs_trust(&self) -> bool {
        self.asked.iter().any(|it| !matches!(it.right, Right::Read(_)))
    }

    /// SHA-256 over every right, whichever environments ask for it.
    pub fn digest(&self) -> Digest {
        let mut sum = Sha256::new();
        let mut add = |text: &str| {
            sum.update((text.len() as u64).to_be_bytes());
            sum.update(text);
        };
        for Asked { alias, plugin, right, .. } in &self.asked {
            add(alias);
            add(plugin.text());
            let (kind, values) = match right {
                Right::Plugin { sha256 } => ("plugin", vec![sha256.map(|it| it.to_string()).unwrap_or_default()]),
                Right::Host(host) => ("host", vec![host.clone()]),
                Right::Dns(server) => ("dns", vec![server.clone()]),
                Right::Directory { resolved, .. } => ("directory", vec![resolved.to_string_lossy().into_owned()]),
                Right::Credential { name, slot, using } => ("credential", vec![name.clone(), slot.clone(), (*using).to_owned()]),
                Right::Secret(name) => ("secret", vec![name.clone()]),
                Right::Read(request) => ("read", vec![request.clone()]),
            };
            add(kind);
            values.iter().for_each(|it| add(it));
        }
        Digest(sum.finalize().into())
    }
}

fn rights_of(provider: &ProviderConfig, root: &Path, lock: &Lock, checkout: bool) -> Vec<Right> {
    let mut rights = Vec::new();
    if provider.plugin.is_pinned_by_lock() {
        rights.push(Right::Plugin { sha256: lock.plugins.get(provider.plugin.text()).map(|it| it.sha256) });
    }
    rights.extend(provider.hosts.iter().cloned().map(Right::Host));
    rights.extend(provider.dns.iter().cloned().map(Right::Dns));
    rights.extend(provider.secrets.iter().cloned().map(Right::Secret));
    rights.extend(provider.reads.iter().cloned().map(Right::Read));
    let slots =
        provider.credential.iter().map(|it| ("", it)).chain(provider.credentials.iter().map(|(slot, it)| (slot.as_str(), it)));
    for (slot, names) in slots {
        let right = |name: &str, using| Right::Credential { name: name.to_owned(), slot: slot.to_owned(), using };
        if names.read == names.write {
            rights.push(right(&names.read, "read and write"));
        } else {
            rights.extend([right(&names.read, "read"), right(&names.write, "write")]);
        }
    }
    for written in &provider.dirs {
        let resolved = resolve(root, Path::new(written));
        if !(checkout && is_free(&resolved, root)) {
            rights.push(Right::Directory { written: written.clone(), resolved });
        }
    }
    rights
}

/// Whether a directory is the project's own to give: strictly below its folder, and not in `.git` or `.trueup`, neither the
/// project's nor those of a repository inside it. Such folders *below* a free directory are not judged here: the host refuses
/// every path that has one as a part below its granted directory, so that only a grant of the folder itself reaches it.
fn is_free(resolved: &Path, root: &Path) -> bool {
    let Ok(below) = resolved.strip_prefix(root) else { return false };
    let mut parts = below.components();
    let Some(Component::Normal(first)) = parts.next() else { return false };
    let inner = |name: &std::ffi::OsStr| name.to_str().is_none_or(|it| inner_folder(it).is_some());
    !inner(first) && !parts.any(|it| matches!(it, Component::Normal(name) if inner(name)))
}

/// `path` below `root`, absolute, with every link followed as far as it exists; what does not exist is taken literally.
pub fn resolve(root: &Path, path: &Path) -> PathBuf {
    let mut done = PathBuf::new();
    let absolute = std::path::absolute(root.join(path)).unwrap_or_else(|_| root.join(path));
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(done.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => {
                done.push(part);
                if let Ok(real) = done.canonicalize() {
                    done = real;
                }
            }
        }
    }
    done
}

/// What the operator agreed to, per project.
#[derive(Clone, Debug)]
pub struct TrustRecord {
    path: PathBuf,
    /// Digest of the rights, by place and id.
    projects: BTreeMap<String, Digest>,
}

/// Why the record cannot be used.
#[derive(Debug)]
pub struct TrustError {
    pub path: PathBuf,
    pub what: String,
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record of trust in `{}` cannot be used: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for TrustError {}

impl TrustRecord {
    /// Reads the record; one that is not there agrees to nothing.
    ///
    /// # Errors
    ///
    /// Where others can write it, or it is not what was written: it is never taken for agreement, nor for an empty one.
    pub fn open(path: &Path) -> Result<Self, TrustError> {
        let fail = |what: String| TrustError { path: path.to_owned(), what };
        let Some(bytes) = private::read(path, BYTES).map_err(|err: Refused| fail(err.to_string()))? else {
            return Ok(Self { path: path.to_owned(), projects: BTreeMap::new() });
        };
        let root: Json = serde_json::from_slice(&bytes).map_err(|_| fail("it is not JSON; move it away to begin anew".into()))?;
        if root.get("format").and_then(Json::as_u64) != Some(FORMAT) {
            return Err(fail("it has another format; use the version of trueup that wrote it, or move it away".into()));
        }
        let projects = root.get("projects").and_then(Json::as_object).ok_or_else(|| fail("it names no projects".into()))?;
        let read = |(key, value): (&String, &Json)| {
            let digest = value.get("rights").and_then(Json::as_str).and_then(Digest::parse);
            digest.map(|it| (key.clone(), it)).ok_or_else(|| fail("one of its digests is none".into()))
        };
        Ok(Self { path: path.to_owned(), projects: projects.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether the operator agreed to exactly these rights. `place` is the project's real path or its source's URL.
    pub fn covers(&self, place: &str, id: &str, rights: &Rights) -> bool {
        !rights.needs_trust() || self.projects.get(&key(place, id)) == Some(&rights.digest())
    }

    /// Whether the operator agreed to other rights of this project before.
    pub fn knows(&self, place: &str, id: &str) -> bool {
        self.projects.contains_key(&key(place, id))
    }

    /// Records that the operator agrees to these rights.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; nothing is agreed to then.
    pub fn record(&mut self, place: &str, id: &str, rights: &Rights) -> Result<(), TrustError> {
        self.change(|projects| {
            projects.insert(key(place, id), rights.digest());
        })
    }

    /// Forgets what the operator agreed to for this project.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; the agreement stands then.
    pub fn revoke(&mut self, place: &str, id: &str) -> Result<(), TrustError> {
        self.change(|projects| {
            projects.remove(&key(place, id));
        })
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, Digest>)) -> Result<(), TrustError> {
        // Another process may have recorded something meanwhile.
        let mut now = Self::open(&self.path)?;
        change(&mut now.projects);
        let projects: Json =
            Json::Object(now.projects.iter().map(|(key, it)| (key.clone(), json!({ "rights": it.to_string() }))).collect());
        let text = format!("{:#}\n", json!({ "format": FORMAT, "projects": projects }));
        private::write(&self.path, text.as_bytes())
            .map_err(|err| TrustError { path: self.path.clone(), what: err.to_string() })?;
        *self = now;
        Ok(())
    }
}

/// An id is hex digits, so that the last `#` splits.
fn key(place: &str, id: &str) -> String {
    format!("{place}#{id}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn project(providers: &str) -> Project {
        let text = format!(
            "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {{name: shop, id: {}}}\nproviders: {{{providers}}}\nenvironments: {{dev: {{layers: [a]}}, prod: {{layers: [a]}}}}\n",
            "0a".repeat(16)
        );
        Project::parse("trueup.yaml", text.as_bytes()).unwrap()
    }

    fn rights(root: &Path, providers: &str) -> Rights {
        Rights::of(&project(providers), root, &Lock::default())
    }

    #[test]
    fn data_in_the_projects_own_folder_is_free_and_everything_else_is_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("repo/site")).unwrap();
        let root = root.join("repo");
        symlink("/etc", root.join("link")).unwrap();
        symlink("site", root.join("inside")).unwrap();
        let free = |text: &str| !rights(&root, &format!("a: {{plugin: file, {text}}}")).needs_trust();
        for text in ["dirs: [./site]", "dirs: [site/deep/new]", "dirs: [./inside/x]", "config: {x: 1}", "reads: ['POST /x']"] {
            assert!(free(text), "{text}");
        }
        for text in [
            "dirs: [.]",
            "dirs: [./link]",
            "dirs: [./link/ssh]",
            "dirs: [..]",
            "dirs: [../other]",
            "dirs: [site/../..]",
            "dirs: [/etc]",
            "dirs: [./.git]",
            "dirs: [./.git/hooks]",
            "dirs: [./.GIT/hooks]",
            "dirs: [./.trueup]",
            "dirs: [./site/.git/hooks]",
            "dirs: ['./site/git~1/hooks']",
            "dirs: ['./.git./hooks']",
            "dirs: [./missing/../.git]",
            "hosts: ['https://example.com']",
            "dns: ['dns://127.0.0.1:53']",
            "credential: x",
            "credentials: {a: x}",
            "secrets: [x]",
        ] {
            assert!(!free(text), "{text}");
        }
        assert!(rights(&root, "a: {plugin: ./x.wasm}").needs_trust());
        assert!(rights(&root, "a: {plugin: 'oci://h/x:1'}").needs_trust());
    }

    #[test]
    fn any_change_of_a_right_changes_the_digest_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let digest = |providers: &str| rights(root.path(), providers).digest();
        let base = "a: {plugin: dns, hosts: ['https://x.org'], credential: c, config: {k: 1}}";
        let same = "a: {config: {k: 2}, credential: {read: c, write: c}, plugin: dns, hosts: ['https://x.org'], dirs: [./free]}";
        assert_eq!(digest(base), digest(same));
        for other in [
            "a: {plugin: dns, hosts: ['https://y.org'], credential: c}",
            "a: {plugin: dns, hosts: ['https://x.org', 'https://y.org'], credential: c}",
            "a: {plugin: dns, hosts: ['https://x.org'], credential: d}",
            "a: {plugin: dns, hosts: ['https://x.org'], credential: {read: c, write: d}}",
            "a: {plugin: dns, hosts: ['https://x.org'], credentials: {s: c}}",
            "a: {plugin: dns, hosts: ['https://x.org'], credential: c, secrets: [s]}",
            "a: {plugin: dns, hosts: ['https://x.org'], credential: c, reads: ['POST /x']}",
            "a: {plugin: dns, hosts: ['https://x.org'], credential: c, dirs: [/etc]}",
            "a: {plugin: file, hosts: ['https://x.org'], credential: c}",
            "b: {plugin: dns, hosts: ['https://x.org'], credential: c}",
            "a: {plugin: dns, hosts: ['https://x.org']}, b: {plugin: dns, credential: c}",
        ] {
            assert_ne!(digest(base), digest(other), "{other}");
        }
        let wasm = project("a: {plugin: ./x.wasm}");
        let pinned =
            |bytes: &[u8]| Lock { plugins: BTreeMap::from([("./x.wasm".into(), Digest::of(bytes).into())]), ..Lock::default() };
        let of = |lock: &Lock| Rights::of(&wasm, root.path(), lock).digest();
        assert_ne!(of(&pinned(b"1")), of(&pinned(b"2")));
        assert_ne!(of(&pinned(b"1")), of(&Lock::default()));
    }

    #[test]
    fn a_right_is_asked_for_once_for_all_environments_and_says_what_it_lets_do() {
        let root = tempfile::tempdir().unwrap();
        let rights = rights(root.path(), "a: {plugin: dns, hosts: ['https://x.org'], credential: {read: r, write: w}}");
        let lines: Vec<_> =
            rights.asked.iter().map(|it| format!("{} in {}: {}", it.alias, it.environments.join(","), it.right)).collect();
        assert_eq!(
            lines,
            [
                "a in dev,prod: send requests to https://x.org",
                "a in dev,prod: use the credential `r` to read",
                "a in dev,prod: use the credential `w` to write",
            ]
        );
    }

    #[test]
    fn agreement_holds_for_one_place_one_project_and_exactly_these_rights() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config/trust.json");
        let (old, new) =
            (rights(root.path(), "a: {plugin: dns, secrets: [x]}"), rights(root.path(), "a: {plugin: dns, secrets: [y]}"));
        let mut record = TrustRecord::open(&path).unwrap();
        assert!(!record.covers("/srv/shop", "id", &old) && !record.knows("/srv/shop", "id"));
        assert!(record.covers("/srv/shop", "id", &Rights::default()), "nothing asked for needs no agreement");
        record.record("/srv/shop", "id", &old).unwrap();
        let record = TrustRecord::open(&path).unwrap();
        assert!(record.covers("/srv/shop", "id", &old));
        assert!(!record.covers("/srv/shop", "id", &new) && record.knows("/srv/shop", "id"));
        assert!(!record.covers("/srv/fork", "id", &old) && !record.covers("/srv/shop", "other", &old));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut record = record;
        record.record("/srv/blog", "id", &old).unwrap();
        record.revoke("/srv/shop", "id").unwrap();
        let record = TrustRecord::open(&path).unwrap();
        assert!(!record.knows("/srv/shop", "id") && record.covers("/srv/blog", "id", &old));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(TrustRecord::open(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "{}", r#"{"format":2,"projects":{}}"#, r#"{"format":1,"projects":{"a#b":{"rights":"x"}}}"#] {
            fs::write(&path, text).unwrap();
            TrustRecord::open(&path).unwrap_err();
        }
    }
}
