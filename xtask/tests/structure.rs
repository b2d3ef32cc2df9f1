//! The structure of the workspace: which crate may depend on which, how long a file may be, and where `unsafe` may stand.
//!
//! The compiler refuses a circle between crates, but not a dependency in the wrong direction.
#![expect(clippy::unwrap_used, reason = "what cannot be read is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Most lines of a file outside folders of tests.
const LONGEST_FILE: usize = 500;

/// Packages that may contain `unsafe`, with what they need it for. Every other one forbids it.
const UNSAFE: [(&str, &str); 10] = [
    ("accelscope-ascend", "calls DCMI, a C library"),
    (
        "accelscope-ioctl",
        "calls bpf(2) and perf_event_open(2), reads mapped memory",
    ),
    ("accelscope-ipmi", "calls the ioctls of the kernel's IPMI driver"),
    ("accelscope-memory", "advises the kernel and the allocator on memory"),
    ("accelscope-nvidia", "calls NVML, a C library"),
    ("agent-ebpf", "layouts that the programs in the kernel write"),
    ("benches", "calls what it measures"),
    ("fake-dcmi", "is a C library"),
    ("fake-nvml", "is a C library"),
    ("pcp-nvml-shim", "is a C library"),
];

/// What a crate is for. Data flows from `Core` to `Agent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Generated messages.
    Proto,
    /// Layouts shared with the programs in the kernel, and the programs.
    Ebpf,
    /// What is known of a driver's interface, for every source that needs it.
    Abi,
    /// The process's own memory.
    Memory,
    Core,
    Source,
    /// Simulated hardware for `--demo` and the tests.
    Simulate,
    Pipeline,
    Export,
    /// The binary.
    Agent,
}

impl Layer {
    /// The layer of the crate in a folder; none for tools, benchmarks and what only tests use.
    fn of(folder: &Path) -> Option<Self> {
        let parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
        match parts.as_slice() {
            ["proto"] => Some(Self::Proto),
            ["agent-ebpf"] => Some(Self::Ebpf),
            ["agent"] => Some(Self::Agent),
            ["agent", "memory"] => Some(Self::Memory),
            ["agent", "core"] => Some(Self::Core),
            ["agent", "pipeline"] => Some(Self::Pipeline),
            ["agent", "export"] => Some(Self::Export),
            ["agent", "simulate"] => Some(Self::Simulate),
            ["agent", "tests" | "fuzz", ..] => None,
            ["agent", name] if name.ends_with("-abi") => Some(Self::Abi),
            ["agent", _] | ["agent", "sources", _] => Some(Self::Source),
            _ => None,
        }
    }

    /// Whether a crate of this layer may depend on one of the other.
    fn may_use(self, other: Self) -> bool {
        match self {
            Self::Proto | Self::Ebpf | Self::Abi | Self::Memory => false,
            Self::Core => matches!(other, Self::Proto | Self::Memory),
            Self::Source => matches!(other, Self::Proto | Self::Ebpf | Self::Abi | Self::Memory | Self::Core),
            Self::Simulate | Self::Pipeline => matches!(other, Self::Proto | Self::Core | Self::Source),
            Self::Export => matches!(other, Self::Proto | Self::Core | Self::Pipeline),
            Self::Agent => other != Self::Agent,
        }
    }
}

/// The part of `cargo metadata` that is read here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// "dev" or "build"; none for a normal dependency.
    kind: Option<String>,
    /// Folder of a crate of this workspace; none for one from a registry.
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Package {
    /// Its folder, relative to the workspace's.
    fn folder(&self) -> PathBuf {
        relative(self.manifest_path.parent().unwrap())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix(root()).unwrap_or(path).to_owned()
}

/// The workspace's packages as their manifests declare them; no dependency is resolved.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    metadata.packages
}

/// Normal and build dependencies against the direction, one a line. Dependencies of tests are free.
fn wrong_dependencies(packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages {
        let Some(layer) = Layer::of(&package.folder()) else {
            continue;
        };
        for dependency in &package.dependencies {
            let Some(path) = dependency.path.as_deref() else {
                continue;
            };
            let other = Layer::of(&relative(path));
            if dependency.kind.as_deref() == Some("dev") || other.is_some_and(|other| layer.may_use(other)) {
                continue;
            }
            let other = other.map_or("tests or tools".to_owned(), |other| format!("{other:?}"));
            wrong.push(format!(
                "{} ({layer:?}) depends on {} ({other})",
                package.name, dependency.name
            ));
        }
    }
    wrong
}

/// Adds all files in Rust below a folder, without those of tests, generated ones and what is built.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !matches!(&*name, "target" | "tests" | "generated") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_crate_depends_against_the_direction() {
    let packages = packages();
    for layer in [Layer::Core, Layer::Source, Layer::Pipeline, Layer::Export, Layer::Agent] {
        assert!(
            packages
                .iter()
                .any(|package| Layer::of(&package.folder()) == Some(layer)),
            "no crate is {layer:?}: this test knows the folders by other names"
        );
    }
    let wrong = wrong_dependencies(&packages);
    assert!(
        wrong.is_empty(),
        "data flows core -> sources -> pipeline -> export -> agent, and no source depends on another:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_file_is_too_long() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 100, "only {} files were found", files.len());
    let lines = |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().count();
    let long: Vec<String> = files
        .iter()
        .map(|path| (lines(path), relative(path)))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{}: {lines}", path.display()))
        .collect();
    assert!(
        long.is_empty(),
        "a file has at most {LONGEST_FILE} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn crates_without_ffi_forbid_unsafe_code() {
    let mut missing = Vec::new();
    for package in packages() {
        if UNSAFE.iter().any(|(allowed, _)| package.name == *allowed) {
            continue;
        }
        for target in package.targets {
            let product = |kind: &String| kind.ends_with("lib") || kind == "bin" || kind == "proc-macro";
            if !target.kind.iter().any(product) {
                continue;
            }
            let text = std::fs::read_to_string(&target.src_path).unwrap();
            if !text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]") {
                missing.push(relative(&target.src_path).display().to_string());
            }
        }
    }
    assert!(
        missing.is_empty(),
        "#![forbid(unsafe_code)] is missing in:\n{}",
        missing.join("\n")
    );
}

#[test]
fn the_direction_is_judged_by_folder_and_kind() {
    let permitted = BTreeMap::from([
        (
            "agent",
            vec![
                ("agent/simulate", None),
                ("agent/sources/hailo", None),
                ("agent/export", None),
            ],
        ),
        ("agent/core", vec![("proto", None), ("agent/simulate", Some("dev"))]),
        (
            "agent/sources/ioctl",
            vec![("agent/core", None), ("agent-ebpf", None), ("agent/hailo-abi", None)],
        ),
        ("agent/export", vec![("agent/pipeline", None), ("agent/core", None)]),
        ("xtask", vec![("agent", None)]),
    ]);
    assert_eq!(wrong_dependencies(&made_up(&permitted)), Vec::<String>::new());
    for (folder, other, kind) in [
        ("agent/core", "agent/sources/hailo", None),
        ("agent/core", "agent/pipeline", Some("build")),
        ("agent/sources/hailo", "agent/sources/nvidia", None),
        ("agent/sources/hailo", "agent/pipeline", None),
        ("agent/hailo", "agent/export", None),
        ("agent/hailo", "agent", None),
        ("agent/pipeline", "agent/export", None),
        ("agent/pipeline", "agent/simulate", None),
        ("agent/export", "agent/hailo", None),
        ("agent/export", "agent", None),
        ("agent", "agent/tests/free-port", None),
        ("agent/hailo-abi", "agent/sources/hailo", None),
        ("proto", "agent/core", None),
    ] {
        let found = wrong_dependencies(&made_up(&BTreeMap::from([(folder, vec![(other, kind)])])));
        assert_eq!(found.len(), 1, "{folder} -> {other}: {found:?}");
    }
}

/// Packages by their folders, with the folders and kinds of their dependencies.
fn made_up(packages: &BTreeMap<&str, Vec<(&str, Option<&str>)>>) -> Vec<Package> {
    let dependency = |(folder, kind): &(&str, Option<&str>)| Dependency {
        name: (*folder).to_owned(),
        kind: kind.map(str::to_owned),
        path: Some(root().join(folder)),
    };
    packages
        .iter()
        .map(|(folder, dependencies)| Package {
            name: (*folder).to_owned(),
            manifest_path: root().join(folder).join("Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
            targets: Vec::new(),
        })
        .collect()
}
