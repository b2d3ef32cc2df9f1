//! Layouts of the tool's table: widths and contents of the columns.

use clap::ValueEnum;

/// A layout and the chips in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// Tool 1.9 with 910A: no huge pages, no processes
    V1,
    /// Driver 21.0 with 310 on an Atlas 200DK: 80 columns
    Dk200,
    /// 22.0 with 310P3: logical ids
    V22,
    /// 23.0 with 310P3: no power
    NoHbm,
    /// 23.0 with 310B4: a chip on a board, no processes
    Soc,
    /// 23.0 with 910A: DDR and HBM, 93 columns
    Hbm93,
    /// 25.5 with 910B3: HBM, 98 columns
    Hbm,
    /// 25.2 with 910_93: two chips a card, physical ids
    A3,
    /// 26.0 with 910B4: 116 columns, ids in containers
    V26,
    /// 26.0 with 910_93
    A3V26,
    /// 950 in 99 columns: five bars, no chip ids
    A5,
    /// 950 in 116 columns
    A5Wide,
}

/// Parameters of a layout.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) versions: (&'static str, &'static str),
    pub(super) name: &'static str,
    /// Widths of the cells of ids, of health and of measurements, without their bars.
    pub(super) cells: [usize; 3],
    /// Offsets of the second and the third measurement.
    pub(super) measures: [usize; 2],
    /// Offset of the second id.
    pub(super) id: usize,
    /// Title of a chip's second id.
    pub(super) second_id: &'static str,
    pub(super) chips: u32,
    pub(super) has_hugepages: bool,
    pub(super) ddr: u64,
    pub(super) hbm: u64,
    pub(super) has_bus: bool,
    pub(super) has_power: bool,
    /// Widths of the columns after the process id; empty if there is no process table.
    pub(super) processes: &'static [usize],
    /// Width of the first of five cells.
    pub(super) npu_cell: Option<usize>,
}

const CLASSIC: Layout = Layout {
    versions: ("25.5.1", "25.5.1"),
    name: "910B3",
    cells: [27, 15, 52],
    measures: [12, 30],
    id: 6,
    second_id: "",
    chips: 1,
    has_hugepages: true,
    ddr: 0,
    hbm: 65536,
    has_bus: true,
    has_power: true,
    processes: &[26, 25],
    npu_cell: None,
};

const EDGE: Layout = Layout {
    versions: ("23.0.0", "23.0.0"),
    name: "310P3",
    cells: [31, 17, 54],
    measures: [13, 31],
    id: 8,
    second_id: "Device",
    ddr: 21527,
    hbm: 0,
    has_power: false,
    processes: &[26, 27],
    ..CLASSIC
};

const A5: Layout = Layout {
    versions: ("25.6.0", "25.6.0"),
    name: "Ascend950PR",
    cells: [18, 15, 53],
    hbm: 114_688,
    processes: &[26, 26],
    npu_cell: Some(8),
    ..CLASSIC
};

impl Family {
    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::V1 => Layout {
                versions: ("1.9.3", "21.0.rc1"),
                name: "910A",
                cells: [22, 15, 45],
                measures: [11, 29],
                has_hugepages: false,
                ddr: 15171,
                hbm: 32768,
                processes: &[],
                ..CLASSIC
            },
            Self::Dk200 => Layout {
                versions: ("21.0.3.1", "21.0.3.1"),
                name: "310",
                cells: [19, 17, 40],
                measures: [18, 36],
                has_hugepages: false,
                ddr: 8192,
                has_bus: false,
                has_power: true,
                processes: &[],
                ..EDGE
            },
            Self::V22 => Layout {
                versions: ("22.0.0", "22.0.3"),
                cells: [19, 17, 54],
                has_power: true,
                processes: &[],
                ..EDGE
            },
            Self::NoHbm => EDGE,
            Self::Soc => Layout {
                name: "310B4",
                ddr: 15609,
                has_bus: false,
                has_power: true,
                processes: &[],
                ..EDGE
            },
            Self::Hbm93 => Layout {
                versions: ("23.0.rc1", "23.0.rc1"),
                name: "910ProB",
                cells: [22, 15, 52],
                ddr: 15137,
                hbm: 32768,
                ..CLASSIC
            },
            Self::Hbm => CLASSIC,
            Self::A3 => Layout {
                versions: ("25.2.0", "25.2.0"),
                name: "Ascend910",
                second_id: "Phy-ID",
                chips: 2,
                ..CLASSIC
            },
            Self::V26 => Layout {
                versions: ("26.0.rc1", "26.0.rc1"),
                name: "910B4",
                cells: [27, 15, 70],
                measures: [21, 45],
                hbm: 32768,
                processes: &[20, 23, 25],
                ..CLASSIC
            },
            Self::A3V26 => Layout {
                name: "Ascend910",
                second_id: "Phy-ID",
                chips: 2,
                hbm: 65536,
                ..Self::V26.layout()
            },
            Self::A5 => A5,
            Self::A5Wide => Layout {
                cells: [18, 15, 70],
                measures: [22, 47],
                has_bus: false,
                processes: &[34, 35],
                ..A5
            },
        }
    }
}
