//! Manifests that projects publish, as they are: whole modules of the Go proxy, held to their checksums.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// A module at a version, and the checksum of its content (as `go.sum` has it).
pub struct Module {
    pub name: &'static str,
    pub sum: &'static str,
}

/// The objects of Argo CD.
pub const ARGO: Module =
    Module { name: "github.com/argoproj/argo-cd/v3@v3.1.0", sum: "h1:2+gPskQKCyPC9DzRSWQ1AvmS3WiIlRR7bKz/FO3DozI=" };
/// Definitions of cert-manager.
pub const CERTIFICATES: Module =
    Module { name: "github.com/cert-manager/cert-manager@v1.19.0", sum: "h1:pPKtK06zPriliwq7B12xa7DGKbc4SvnfOjE0BXaAspk=" };
/// Definitions of the Gateway API.
pub const GATEWAYS: Module =
    Module { name: "sigs.k8s.io/gateway-api@v1.4.0", sum: "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=" };
/// Definitions of KEDA.
pub const KEDA: Module =
    Module { name: "github.com/kedacore/keda/v2@v2.17.0", sum: "h1:Msot3UuN6WOhaOaOcVmokmVM0cu3uqSGvnDgg1LkESU=" };
/// Everything of the Prometheus operator.
pub const PROMETHEUS: Module = Module {
    name: "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
};
/// Definitions of KubeRay, one of them larger than a mebibyte.
pub const RAY: Module =
    Module { name: "github.com/ray-project/kuberay/ray-operator@v1.3.0", sum: "h1:c7PKkepTtkDpnAXhZVt5MxSVZC8Jh2s2BvKUvtgCwR0=" };

impl Module {
    /// Where its files are; fetched where they are not there yet.
    ///
    /// # Panics
    ///
    /// Where it cannot be had, or is not what it was.
    pub fn folder(&self) -> PathBuf {
        let mut command = Command::new("go");
        // The checksum here is what holds it; no database is asked, and no module around it is looked for.
        command.args(["mod", "download", "-json", self.name]).env("GOFLAGS", "").env("GOSUMDB", "off").current_dir("/");
        let output = command.output().expect("go runs; tests/run asks for it");
        let told: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(output.status.success(), "{}: {told}\n{}", self.name, String::from_utf8_lossy(&output.stderr));
        assert_eq!(told["Sum"].as_str(), Some(self.sum), "{}", self.name);
        PathBuf::from(told["Dir"].as_str().expect("a folder"))
    }

    /// The text of one file.
    pub fn file(&self, path: &str) -> String {
        let file = self.folder().join(path);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Name and text of every YAML file of a folder, those of other tools left out, by name.
    pub fn files(&self, folder: &str) -> Vec<(String, String)> {
        let folder = self.folder().join(folder);
        let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let yaml = |it: &PathBuf| it.extension().is_some_and(|it| it == "yaml") && !it.ends_with("kustomization.yaml");
        let mut files: Vec<PathBuf> = listed.map(|it| it.expect("an entry").path()).filter(yaml).collect();
        files.sort();
        let name = |it: &Path| it.file_name().expect("a name").to_string_lossy().into_owned();
        files.iter().map(|it| (name(it), fs::read_to_string(it).expect("a text"))).collect()
    }
}
