//! The bill of materials (CycloneDX 1.6, JSON): every package that the shipped programs are made of, with version, licence and digest.
//!
//! It has neither a serial number nor a time of making, so that the same tree gives the same octets.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::workspace;

/// The packages whose programs are shipped.
pub const SHIPPED: &[&str] = &["noonmarkd", "noonmark"];

/// The platform whose dependencies are listed; what is for other platforms alone is in no program.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The bill of this checkout, as text.
///
/// # Errors
/// A sentence, when cargo or the lock file does not tell.
pub fn of_this_tree() -> Result<String, String> {
    let bill = read()?.bill();
    serde_json::to_string_pretty(&bill).map_err(|error| format!("the bill of materials: {error}"))
}

/// Every component from a registry has its digest and its licence.
///
/// # Errors
/// Those that lack one, a line each.
pub fn check() -> Result<(), String> {
    let graph = read()?;
    let reached = graph.reached();
    let mut findings = Vec::new();
    for package in graph.packages.values().filter(|package| reached.contains_key(&package.id)) {
        let ours = package.source.is_none();
        if !ours && graph.digest(package).is_none() {
            findings.push(format!("{} {}: no digest in Cargo.lock", package.name, package.version));
        }
        if package.license.is_none() {
            findings.push(format!("{} {}: no licence", package.name, package.version));
        }
    }
    if reached.len() < 20 {
        findings.push(format!("{} components are too few to be all", reached.len()));
    }
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

fn read() -> Result<Graph, String> {
    let output = workspace::cargo()
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let lock = std::fs::read_to_string(workspace::root().join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    let told: Told = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(Graph::new(told, &lock))
}

/// What `cargo metadata` tells, as far as it is needed here.
#[derive(Deserialize)]
struct Told {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    /// `None` is what the program links or the compiler loads, else "build" or "dev".
    kind: Option<String>,
}

/// How a package takes part.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    /// It runs while building and leaves nothing of itself but what it was made to write.
    Builds,
    /// It is in a program, or the compiler runs it as a macro: cargo does not tell these two apart.
    Linked,
}

struct Graph {
    packages: BTreeMap<String, Package>,
    edges: BTreeMap<String, Vec<Edge>>,
    /// SHA-256 in hexadecimal digits, by name and version.
    digests: BTreeMap<(String, String), String>,
}

impl Graph {
    fn new(told: Told, lock: &str) -> Self {
        let packages = told.packages.into_iter().map(|package| (package.id.clone(), package));
        let edges = told.resolve.nodes.into_iter().map(|node| (node.id, node.deps));
        Self { packages: packages.collect(), edges: edges.collect(), digests: digests(lock) }
    }

    /// Every package that the shipped ones need, directly or not.
    fn reached(&self) -> BTreeMap<String, Part> {
        let mut reached: BTreeMap<String, Part> = BTreeMap::new();
        let shipped = self
            .packages
            .values()
            .filter(|package| package.source.is_none() && SHIPPED.contains(&package.name.as_str()));
        let mut open: Vec<(String, Part)> =
            shipped.map(|package| (package.id.clone(), Part::Linked)).collect();
        while let Some((id, part)) = open.pop() {
            if reached.get(&id).is_some_and(|known| *known >= part) {
                continue;
            }
            reached.insert(id.clone(), part);
            for edge in self.edges.get(&id).into_iter().flatten() {
                let of_kind =
                    |kind: Option<&str>| edge.dep_kinds.iter().any(|k| k.kind.as_deref() == kind);
                if of_kind(None) {
                    open.push((edge.pkg.clone(), part));
                } else if of_kind(Some("build")) {
                    open.push((edge.pkg.clone(), Part::Builds));
                }
            }
        }
        reached
    }

    fn digest(&self, package: &Package) -> Option<&String> {
        self.digests.get(&(package.name.clone(), package.version.clone()))
    }

    fn bill(&self) -> Value {
        let reached = self.reached();
        let known = |id: &String| self.packages.get(id);
        let of = |id: &String, part: Part| known(id).map(|package| self.component(package, part));
        let components: Vec<Value> =
            reached.iter().filter_map(|(id, part)| of(id, *part)).collect();
        let dependencies: Vec<Value> = reached
            .keys()
            .filter_map(|id| {
                let needs: BTreeSet<String> = self
                    .edges
                    .get(id)?
                    .iter()
                    .filter(|edge| edge.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev")))
                    .filter(|edge| reached.contains_key(&edge.pkg))
                    .filter_map(|edge| known(&edge.pkg).map(reference))
                    .collect();
                Some(json!({ "ref": reference(known(id)?), "dependsOn": needs }))
            })
            .collect();
        let version = self.packages.values().find(|package| package.name == "noonmarkd");
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application",
                    "bom-ref": "noonmark",
                    "name": "noonmark",
                    "version": version.map(|package| package.version.as_str()),
                    "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
                },
            },
            "components": components,
            "dependencies": dependencies,
        })
    }

    fn component(&self, package: &Package, part: Part) -> Value {
        let shipped = package.source.is_none() && SHIPPED.contains(&package.name.as_str());
        let mut component = json!({
            "type": if shipped { "application" } else { "library" },
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
            "scope": match part {
                Part::Linked => "required",
                Part::Builds => "excluded",
            },
        });
        let mut add = |key: &str, value: Value| {
            component.as_object_mut().map(|fields| fields.insert(key.to_owned(), value))
        };
        if let Some(description) = &package.description {
            add("description", json!(description.trim()));
        }
        if let Some(licence) = &package.license {
            add("licenses", json!([{ "expression": licence.replace('/', " OR ") }]));
        }
        if package.source.is_some() {
            add("purl", json!(reference(package)));
        }
        if let Some(digest) = self.digest(package) {
            add("hashes", json!([{ "alg": "SHA-256", "content": digest }]));
        }
        component
    }
}

/// The package's URL (purl), by which other tools know it.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

/// The digests in a lock file, by name and version. Only registries give them.
fn digests(lock: &str) -> BTreeMap<(String, String), String> {
    let mut digests = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let start = format!("{key} = \"");
            let line = block.lines().find_map(|line| line.strip_prefix(start.as_str()))?;
            line.strip_suffix('"').map(str::to_owned)
        };
        if let (Some(name), Some(version), Some(digest)) =
            (value("name"), value("version"), value("checksum"))
        {
            digests.insert((name, version), digest);
        }
    }
    digests
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"aes\"\nversion = \"0.9.4\"\nsource = \"registry\"\nchecksum = \"00ff\"\n\n\
        [[package]]\nname = \"noonmarkd\"\nversion = \"0.1.0\"\ndependencies = [\n \"aes\",\n]\n";

    fn graph() -> Graph {
        let package = |name: &str, source: Option<&str>| {
            json!({ "id": name, "name": name, "version": if source.is_some() { "0.9.4" } else { "0.1.0" },
                "license": "MIT/Apache-2.0", "source": source, "description": null })
        };
        let edge =
            |pkg: &str, kind: Option<&str>| json!({ "pkg": pkg, "dep_kinds": [{ "kind": kind }] });
        let told = json!({
            "packages": [package("noonmarkd", None), package("aes", Some("r")), package("cc", Some("r")),
                package("proptest", Some("r")), package("xtask", None)],
            "resolve": { "nodes": [
                { "id": "noonmarkd", "deps": [edge("aes", None), edge("cc", Some("build")), edge("proptest", Some("dev"))] },
                { "id": "aes", "deps": [] }, { "id": "cc", "deps": [] }, { "id": "proptest", "deps": [] },
                { "id": "xtask", "deps": [edge("proptest", None)] },
            ] },
        });
        Graph::new(serde_json::from_value(told).expect("as cargo has it"), LOCK)
    }

    #[test]
    fn what_is_shipped_and_what_builds_it_is_listed_and_what_tests_it_is_not() {
        let bill = graph().bill();
        let components = bill["components"].as_array().expect("a list");
        let told: Vec<(&str, &str)> = components
            .iter()
            .map(|c| (c["name"].as_str().unwrap_or(""), c["scope"].as_str().unwrap_or("")))
            .collect();
        assert_eq!(told, [("aes", "required"), ("cc", "excluded"), ("noonmarkd", "required")]);
        assert_eq!(components[0]["hashes"][0]["content"], "00ff");
        assert_eq!(components[0]["purl"], "pkg:cargo/aes@0.9.4");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[2]["type"], "application");
        let needs = &bill["dependencies"].as_array().expect("a list")[2];
        assert_eq!(needs["dependsOn"], json!(["pkg:cargo/aes@0.9.4", "pkg:cargo/cc@0.9.4"]));
    }

    #[test]
    fn the_same_tree_gives_the_same_octets() {
        assert_eq!(graph().bill().to_string(), graph().bill().to_string());
    }
}
