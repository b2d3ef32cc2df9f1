//! Columns of a table, from its header.

macro_rules! columns {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal, [$($title:literal),*];)*) => {
        /// Meaning of one value in a row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Column {
            $($(#[doc = $doc])* $name,)*
        }

        impl Column {
            /// Reason for a skipped value.
            pub(super) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }

        /// Reasons for a skipped value, one for each column.
        pub const COLUMNS: &[&str] = &[$($word,)*];

        const TITLES: &[(&str, Column)] = &[$($(($title, Column::$name),)*)*];
    };
}

// Titles are in lower case, without blanks and hyphens. A title includes its unit: in another unit it is another column.
columns! {
    Npu = "npu_id", ["npu", "npuid"];
    Name = "name", ["name"];
    Health = "health", ["health"];
    Power = "power", ["power(w)"];
    Temperature = "temperature", ["temp(c)"];
    Hugepages = "hugepages", ["hugepagesusage(page)"];
    Chip = "chip_id", ["chip", "chipid"];
    LogicalId = "logical_id", ["device"];
    PhysicalId = "physical_id", ["phyid"];
    Bus = "bus_id", ["busid"];
    AiCore = "aicore", ["aicore(%)"];
    AiCpu = "aicpu", ["aicpu(%)"];
    NpuUtilization = "npu_utilization", ["npuutil(%)"];
    Ddr = "memory", ["memoryusage(mb)"];
    Hbm = "hbm", ["hbmusage(mb)", "hbm(mb)"];
    ProcessId = "process_id", ["processid"];
    ProcessName = "process_name", ["processname"];
    ProcessMemory = "process_memory", ["processmemory(mb)"];
    ProcessIdInContainer = "process_id_in_container", ["processidincontainer"];
    /// A column that no known version has: its values are skipped.
    Unknown = "unknown_column", [];
}

/// Words of the longest title.
const LONGEST_TITLE: usize = 4;

/// Most cells of a header, and most words in one of them. Each row is compared with its header: without a bound, the
/// time would be quadratic in the length of the output.
const MAX_CELLS: usize = 16;
const MAX_WORDS: usize = 16;

impl Column {
    /// Whether its values have the form `used / total`.
    pub(super) const fn is_pair(self) -> bool {
        matches!(self, Self::Hugepages | Self::Ddr | Self::Hbm)
    }

    /// Whether its values are numbers or pairs that share a cell with others.
    pub(super) const fn is_measure(self) -> bool {
        matches!(
            self,
            Self::Power | Self::Temperature | Self::AiCore | Self::AiCpu | Self::NpuUtilization | Self::Unknown
        ) || self.is_pair()
    }
}

/// A header row: the columns of each of its cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cells: Vec<Vec<Column>>,
}

impl Header {
    /// Parses a header; `None` if it has more cells or words than any header.
    pub(super) fn of(cells: &[&str]) -> Option<Self> {
        if cells.len() > MAX_CELLS {
            return None;
        }
        let cells: Option<Vec<_>> = cells.iter().map(|cell| columns(cell)).collect();
        Some(Self { cells: cells? })
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.cell_of(column).is_some()
    }

    /// Index of the cell that holds `column`.
    pub(super) fn cell_of(&self, column: Column) -> Option<usize> {
        self.cells.iter().position(|columns| columns.contains(&column))
    }

    /// Whether its first cell is blank or begins with the title of the NPU or the chip, as that of every header does.
    pub(super) fn starts_with_id(&self) -> bool {
        self.cells
            .first()
            .is_some_and(|cell| matches!(cell.first(), None | Some(Column::Npu | Column::Chip)))
    }
}

fn columns(cell: &str) -> Option<Vec<Column>> {
    let words: Vec<&str> = cell.split_whitespace().take(MAX_WORDS + 1).collect();
    if words.len() > MAX_WORDS {
        return None;
    }
    let mut columns = Vec::new();
    let mut rest = &words[..];
    while !rest.is_empty() {
        let (count, column) = known_title(rest).unwrap_or_else(|| (unknown_title_length(rest), Column::Unknown));
        columns.push(column);
        rest = &rest[count..];
    }
    Some(columns)
}

/// The known title at the start of the words, with its length in words.
fn known_title(words: &[&str]) -> Option<(usize, Column)> {
    let mut counts = (1..=words.len().min(LONGEST_TITLE)).rev();
    counts.find_map(|count| Some((count, column_of_title(&words[..count])?)))
}

/// Length of an unknown title in words: those up to its unit, one blank apart.
fn unknown_title_length(words: &[&str]) -> usize {
    for (place, word) in words.iter().enumerate().take(LONGEST_TITLE) {
        let end = |word: &str| word.as_ptr().addr() + word.len();
        let is_apart = place > 0 && end(words[place - 1]) + 1 != word.as_ptr().addr();
        if is_apart || (place > 0 && known_title(&words[place..]).is_some()) {
            break;
        }
        if word.ends_with(')') {
            return place + 1;
        }
    }
    1
}

fn column_of_title(words: &[&str]) -> Option<Column> {
    let letters = || {
        words
            .iter()
            .flat_map(|word| word.bytes())
            .filter(|byte| !matches!(byte, b'-' | b'_'))
            .map(|byte| byte.to_ascii_lowercase())
    };
    TITLES
        .iter()
        .find_map(|(title, column)| letters().eq(title.bytes()).then_some(*column))
}

#[cfg(test)]
mod tests {
    use super::Column::{AiCore, Bus, Chip, Ddr, Hbm, Npu, NpuUtilization, PhysicalId, ProcessId, Unknown};
    use super::*;

    #[test]
    fn titles_of_one_and_of_several_words_are_distinguished() {
        let header = Header::of(&["", " ", " Bus-Id", "NPU Util(%) Memory-Usage(MB)  HBM-Usage(MB)"]).unwrap();
        assert_eq!(
            header.cells,
            [vec![], vec![], vec![Bus], vec![NpuUtilization, Ddr, Hbm]]
        );
        assert_eq!(Header::of(&["Chip  Phy-ID"]).unwrap().cells, [[Chip, PhysicalId]]);
        let header = Header::of(&["NPU ID", "Process id", "Process id in container"]).unwrap();
        assert_eq!(header.cells, [[Npu], [ProcessId], [Column::ProcessIdInContainer]]);
    }

    #[test]
    fn an_unknown_title_of_several_words_is_one_column() {
        let header = Header::of(&["AICore(%)   AI Vector(%)  Memory-Usage(MB)  HBM BW(%)"]).unwrap();
        assert_eq!(header.cells, [[AiCore, Unknown, Ddr, Unknown]]);
        for several in ["Huge(x)  Small(y)", "Huge Small", "Huge  Small(y)", "Huge(x) Small(y)"] {
            assert_eq!(Header::of(&[several]).unwrap().cells, [[Unknown, Unknown]], "{several}");
        }
        assert_eq!(Header::of(&["Huge AICore(%)"]).unwrap().cells, [[Unknown, AiCore]]);
    }

    #[test]
    fn a_column_in_another_unit_is_not_taken_for_the_known_one() {
        assert_eq!(
            Header::of(&["AICore(%) HBM-Usage(GB)"]).unwrap().cells,
            [[AiCore, Unknown]]
        );
    }
}
