//! A whole number in parts.

/// Whole parts of `total` by `shares`, each a ratio from 0 to 1, and the rest. Parts and rest are exactly the total: parts are
/// rounded down, and shares that are more than 1 together are reduced to 1.
pub(super) fn split(total: u64, shares: impl Iterator<Item = f64> + Clone) -> (Vec<u64>, u64) {
    let valid = shares.map(|share| if share.is_finite() { share.max(0.0) } else { 0.0 });
    let together: f64 = valid.clone().sum();
    let scale = if together > 1.0 { 1.0 / together } else { 1.0 };
    let mut rest = total;
    let parts = valid.map(|share| {
        let part = ((total as f64 * (share * scale)).floor() as u64).min(rest);
        rest -= part;
        part
    });
    let parts = parts.collect();
    (parts, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_rest_are_the_total_whatever_the_shares_are() {
        for (total, shares) in [
            (10, vec![0.5, 0.25]),
            (7, vec![1.0 / 3.0; 3]),
            (u64::MAX, vec![0.1; 11]),
            (3, vec![f64::NAN, -1.0, f64::INFINITY, 2.0]),
            (0, vec![1.0]),
            (5, vec![]),
        ] {
            let (parts, rest) = split(total, shares.iter().copied());
            assert_eq!(parts.iter().sum::<u64>() + rest, total, "{shares:?}");
            assert_eq!(parts.len(), shares.len());
        }
        assert_eq!(split(100, [0.6, 0.2].into_iter()), (vec![60, 20], 20));
    }
}
