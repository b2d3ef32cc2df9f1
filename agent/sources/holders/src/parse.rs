//! The kernel's files of control groups (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst,
//! scheduler/sched-bwc.rst, accounting/psi.rst, Linux 6.18).

/// From here on a limit is none: v1 has the largest number of pages for that (`PAGE_COUNTER_MAX`), 9223372036854771712 with
/// pages of 4 KiB, less with larger ones.
const NO_LIMIT: u64 = 1 << 60;

/// The number of a line `<name> <number>`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, number) = line.split_once(' ')?;
        (found == name).then(|| number.trim().parse().ok())?
    })
}

/// A file that is one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// A limit of bytes; nothing where there is none.
pub(super) fn bytes_limit(text: &str) -> Option<i64> {
    let limit = number(text).filter(|limit| *limit < NO_LIMIT)?;
    i64::try_from(limit).ok()
}

/// CPUs of a quota and its period in µs: `cpu.max` has both, v1 a file of each. `max` and -1 are none.
pub(super) fn cpu_limit(quota: &str, period: &str) -> Option<f64> {
    let quota = number(quota).filter(|quota| *quota > 0)?;
    let period = number(period).filter(|period| *period > 0)?;
    Some(quota as f64 / period as f64)
}

/// Time in µs in which some and in which all tasks were stalled. Kernels before 5.13 have no `full` of the CPU.
pub(super) fn pressure(text: &str) -> [Option<u64>; 2] {
    ["some", "full"].map(|kind| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        let total = line
            .split_ascii_whitespace()
            .find_map(|part| part.strip_prefix("total="))?;
        total.parse().ok()
    })
}

/// Time in ns that a thread ran and that it waited for a CPU (Documentation/scheduler/sched-stats.rst). Nothing where the
/// kernel does not count it: then all is 0, and a thread that exists has run.
pub(super) fn schedstat(text: &str) -> Option<[u64; 2]> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let ran = numbers.next()?.ok()?;
    let waited = numbers.next()?.ok()?;
    (ran > 0).then_some([ran, waited])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_has_several_spellings() {
        for text in [
            "max\n",
            "9223372036854771712\n",
            "9223372036854710272\n",
            "18446744073709551615",
            "-1",
            "",
        ] {
            assert_eq!(bytes_limit(text), None, "{text}");
        }
        assert_eq!(bytes_limit("1073741824\n"), Some(1 << 30));
        for (quota, period) in [
            ("max", "100000"),
            ("-1\n", "100000\n"),
            ("0", "1"),
            ("1", "0"),
            ("", ""),
        ] {
            assert_eq!(cpu_limit(quota, period), None, "{quota} {period}");
        }
        assert_eq!(cpu_limit("20000\n", "100000\n"), Some(0.2));
    }

    #[test]
    fn a_pressure_without_full_has_some() {
        let some = "some avg10=0.00 avg60=1.25 avg300=0.40 total=12345\n";
        assert_eq!(pressure(some), [Some(12345), None]);
        assert_eq!(
            pressure(&format!("{some}full avg10=0 avg60=0 avg300=0 total=7\n")),
            [Some(12345), Some(7)]
        );
        assert_eq!(pressure("something total=1\nfull total=-1\n"), [None, None]);
    }

    #[test]
    fn a_field_has_its_whole_name_and_a_number() {
        let text = "nr_periods 10\nnr_throttled 3\nthrottled_usec x\nnr_throttled_more 9";
        assert_eq!(field(text, "nr_throttled"), Some(3));
        assert_eq!(field(text, "nr_throttled_more"), Some(9));
        assert_eq!((field(text, "throttled_usec"), field(text, "nr")), (None, None));
    }

    #[test]
    fn a_kernel_that_does_not_count_waits_says_nothing() {
        assert_eq!(schedstat("0 0 0\n"), None);
        assert_eq!(schedstat("5 0 1\n"), Some([5, 0]));
        assert_eq!((schedstat("5"), schedstat("5 x 1")), (None, None));
    }
}
