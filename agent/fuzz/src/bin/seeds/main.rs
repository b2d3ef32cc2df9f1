//! Writes the seeds of every fuzz target below the given directory, by default `corpus`.

#![forbid(unsafe_code)]

mod bundles;
mod cgroups;
mod configuration;
mod ipmi;
mod monitor;
mod npu_smi;
mod responses;
mod worker;

use std::io;
use std::path::PathBuf;

/// Inputs of one target by name.
type Seeds = Vec<(String, Vec<u8>)>;

/// The targets, and what makes their seeds.
const TARGETS: [(&str, fn() -> Seeds); 8] = [
    ("cgroup_paths", cgroups::seeds),
    ("configuration", configuration::seeds),
    ("ipmi_bmc", ipmi::seeds),
    ("monitor_file", monitor::seeds),
    ("npu_smi", npu_smi::seeds),
    ("otlp_response", responses::seeds),
    ("runtime_bundles", bundles::seeds),
    ("worker_messages", worker::seeds),
];

fn main() -> io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()).into();
    for (target, seeds) in TARGETS {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        for (name, bytes) in seeds() {
            std::fs::write(directory.join(name), bytes)?;
        }
    }
    Ok(())
}

/// Seeds from names and texts.
fn texts(all: &[(&str, &str)]) -> Seeds {
    all.iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}
