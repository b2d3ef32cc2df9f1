//! The layouts of every runtime, cgroup driver and hierarchy that the tests know, as they are and as another user's.

use crate::{Seeds, texts};

const SHAPES: &str = include_str!("../../../../tests/fixtures/cgroup/shapes.txt");

pub(crate) fn seeds() -> Seeds {
    let mut seeds = texts(&[(
        "controllers",
        "0#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t2\t9\t1\npids\t5\t90\t1\nmemory\t0\t90\t1\nfreezer\t7\t1\t1\n",
    )]);
    let cases = SHAPES
        .split("\n== ")
        .skip(1)
        .filter_map(|case| Some(case.split_once('\n')?.1.rsplit_once("->")?.0));
    for (nth, text) in cases.enumerate() {
        for depth in [0, 2] {
            seeds.push((format!("shape-{nth:03}-{depth}"), format!("{depth}{text}").into()));
        }
    }
    seeds
}
