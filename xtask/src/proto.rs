//! Generates the Rust types of `proto/`, without a system `protoc`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use prost_build::Module;

/// Schemas in `proto/proto/`; each is compiled to `proto/src/generated/<name>.rs`.
const SCHEMAS: [&str; 2] = ["scheduler_mon", "pod_resources"];

const EDITION: &str = "2024";

/// Regenerates the types; with `check` fails if they are out of date instead.
pub(crate) fn generate(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent folder")?;
    for name in SCHEMAS {
        let path = root.join("proto/src/generated").join(name).with_extension("rs");
        let wanted = render(root, name)?;
        if check {
            compare(&path, &wanted)?;
        } else {
            std::fs::write(&path, &wanted).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn render(root: &Path, name: &str) -> Result<String> {
    let schemas: PathBuf = root.join("proto/proto");
    let file = format!("{name}.proto");
    let set = protox::compile([&file], [&schemas])
        .with_context(|| format!("cannot compile {}", schemas.join(&file).display()))?;
    // protox includes imported files, which are not generated here.
    let own = set
        .file
        .into_iter()
        .filter(|descriptor| descriptor.name.as_deref() == Some(file.as_str()));
    let requests = own
        .map(|descriptor| (Module::from_protobuf_package_name(descriptor.package()), descriptor))
        .collect();
    let modules = prost_build::Config::new().generate(requests)?;
    ensure!(
        modules.len() == 1,
        "{file} gave {} modules where one was expected",
        modules.len()
    );
    let body: String = modules.into_values().collect();
    rustfmt(
        root,
        &format!("// Generated from proto/proto/{file}; `cargo xtask bless` rewrites it.\n\n{body}"),
    )
}

/// rustfmt rather than a pretty printer, so that `cargo fmt --check` agrees with the committed file.
fn rustfmt(root: &Path, source: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", EDITION, "--emit", "stdout", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt; install it with `rustup component add rustfmt`")?;
    // The handle is dropped with the statement: rustfmt reads to the end of its input before it writes.
    child
        .stdin
        .take()
        .context("rustfmt has no input")?
        .write_all(source.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn compare(path: &Path, wanted: &str) -> Result<()> {
    let found = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; `cargo xtask bless` writes it", path.display()))?;
    if found == wanted {
        return Ok(());
    }
    let differs = found
        .lines()
        .zip(wanted.lines())
        .position(|(left, right)| left != right);
    let line = differs.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1;
    bail!(
        "{}:{line} is out of date with its schema; run `cargo xtask bless` and commit the result",
        path.display()
    );
}
