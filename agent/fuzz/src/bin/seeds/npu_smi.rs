//! Output of `npu-smi`: every layout of the stand-in for the tool.

use clap::ValueEnum;
use fake_npu_smi::{Family, Fault, Options, table};

use crate::{Seeds, texts};

pub(crate) fn seeds() -> Seeds {
    let mut seeds = texts(&[
        ("error", "dcmi module initialize failed. ret is -8005\n"),
        (
            "processes",
            "Process id:7  Process name:a  Process memory(MB):3\nChip ID : 0\n",
        ),
    ]);
    for family in Family::value_variants() {
        for (name, fault) in [
            ("plain", Fault::None),
            ("orphan", Fault::Orphan),
            ("zeros", Fault::Zeros),
        ] {
            let options = Options {
                family: *family,
                fault,
                pids: vec![1, 4_000_000, 77],
                ..Options::default()
            };
            let text = table(&options, 7);
            seeds.push((format!("{family:?}-{name}").to_lowercase(), text.into()));
        }
    }
    seeds
}
