//! Parser of `npu-smi info watch`: a header, then a line for each chip and period.

use super::error::{ParseError, check_length};
use super::value::integer;

/// One line. A value is absent if its column was not requested or its read failed (`NA`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WatchRow {
    /// NPU id.
    pub npu: Option<u32>,
    /// Chip id; a 950 has no such column.
    pub chip: Option<u32>,
    /// Power in watts.
    pub power_watts: Option<f64>,
    /// Temperature in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// AI Core utilization in percent.
    pub aicore_percent: Option<f64>,
    /// AI CPU utilization in percent.
    pub aicpu_percent: Option<f64>,
    /// Utilization of the controlling CPU in percent.
    pub ctrlcpu_percent: Option<f64>,
    /// Memory in use in percent.
    pub memory_percent: Option<f64>,
    /// Memory bandwidth in percent.
    pub memory_bandwidth_percent: Option<f64>,
    /// Utilization of the NPU as a whole in percent.
    pub npu_percent: Option<f64>,
    /// AI Cube utilization in percent.
    pub aicube_percent: Option<f64>,
}

/// Parses what `npu-smi info watch` has printed so far.
pub fn watch(text: &str) -> Result<Vec<WatchRow>, ParseError> {
    check_length(text)?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(header) = lines.find(|line| line.starts_with("NpuID")) else {
        return Err(ParseError::no_table(text));
    };
    // Each title ends with its unit in brackets; two titles can be one blank apart.
    let titles: Vec<&str> = header.split_inclusive(')').map(str::trim).collect();
    Ok(lines.filter_map(|line| row(&titles, line)).collect())
}

fn row(titles: &[&str], line: &str) -> Option<WatchRow> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if words.len() != titles.len() {
        return None;
    }
    let mut row = WatchRow::default();
    for (title, word) in titles.iter().zip(words) {
        let number = || word.parse().ok().filter(|number: &f64| number.is_finite());
        match *title {
            "NpuID(Idx)" => row.npu = integer(word).unwrap_or_default(),
            "ChipId(Idx)" => row.chip = integer(word).unwrap_or_default(),
            "Pwr(W)" => row.power_watts = number(),
            "Temp(C)" => row.temperature_celsius = number(),
            "AI Core(%)" => row.aicore_percent = number(),
            "AI Cpu(%)" => row.aicpu_percent = number(),
            "Ctrl Cpu(%)" => row.ctrlcpu_percent = number(),
            "Memory(%)" => row.memory_percent = number(),
            "Memory BW(%)" => row.memory_bandwidth_percent = number(),
            "NPU Util(%)" => row.npu_percent = number(),
            "AI Cube(%)" => row.aicube_percent = number(),
            _ => {}
        }
    }
    row.npu.is_some().then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_is_absent_and_the_columns_are_those_of_the_header() {
        let text = "NpuID(Idx)  ChipId(Idx) Pwr(W)  Temp(C)\n0  0  8.7  55\n0  1  -  NA\nNpuID(Idx) torn\n";
        let found = watch(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].chip, found[0].power_watts), (Some(0), Some(8.7)));
        assert_eq!((found[1].power_watts, found[1].temperature_celsius), (None, None));
        assert_eq!(found[0].aicore_percent, None, "it has no such column");
    }
}
