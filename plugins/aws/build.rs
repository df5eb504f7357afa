//! Makes one JSON text of the kinds that stand in `kinds/*.yaml`, so that the plugin carries no reader of YAML.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use serde_json::{Map, Value};

mod yaml;

fn main() {
    println!("cargo::rerun-if-changed=kinds");
    println!("cargo::rerun-if-changed=yaml.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kinds.json");
    let made = all(Path::new("kinds")).and_then(|it| fs::write(&out, it.to_string()).map_err(|error| error.to_string()));
    if let Err(error) = made {
        println!("cargo::error={error}");
        process::exit(1);
    }
}

/// Every kind, by the name of its file.
fn all(folder: &Path) -> Result<Value, String> {
    let mut kinds = Map::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|it| it.path()).collect();
    paths.sort();
    for path in paths {
        let (Some(name), Some("yaml")) =
            (path.file_stem().and_then(|it| it.to_str()), path.extension().and_then(|it| it.to_str()))
        else {
            continue;
        };
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let kind = yaml::document(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        kinds.insert(name.to_owned(), kind);
    }
    Ok(Value::Object(kinds))
}
