//! Writes the seeds of every fuzz target below the given directory, by default `corpus`: for `npu_smi` every layout of the
//! stand-in for the tool.

use std::path::PathBuf;

use clap::ValueEnum;
use fake_npu_smi::{Family, Fault, Options, table};

fn main() -> std::io::Result<()> {
    let corpus: PathBuf = std::env::args_os().nth(1).unwrap_or_else(|| "corpus".into()).into();
    let directory = corpus.join("npu_smi");
    std::fs::create_dir_all(&directory)?;
    for family in Family::value_variants() {
        for (name, fault) in [("plain", Fault::None), ("orphan", Fault::Orphan), ("zeros", Fault::Zeros)] {
            let options = Options {
                family: *family,
                fault,
                pids: vec![1, 4_000_000, 77],
                ..Options::default()
            };
            std::fs::write(directory.join(format!("{family:?}-{name}").to_lowercase()), table(&options, 7))?;
        }
    }
    let errors = "dcmi module initialize failed. ret is -8005\n";
    std::fs::write(directory.join("error"), errors)?;
    let processes = "Process id:7  Process name:a  Process memory(MB):3\nChip ID : 0\n";
    std::fs::write(directory.join("processes"), processes)
}
