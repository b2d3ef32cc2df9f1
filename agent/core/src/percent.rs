//! From a ratio back to the percentage that it was made of.

/// How many neighbours of the product are tried, to each side: dividing and multiplying err by less than two.
const NEIGHBOURS: usize = 2;

/// The percentage that gives this ratio when it is divided by 100: 57, where the product of 0.57 and 100 is
/// 56.99999999999999.
///
/// Up to two numbers give the same ratio. One that a `float` can hold is preferred, since some sources widen theirs, then
/// the one with the fewest digits.
pub fn percent(ratio: f64) -> f64 {
    let product = ratio * 100.0;
    let below = std::iter::successors(Some(product), |value| Some(value.next_down()));
    let above = std::iter::successors(Some(product), |value| Some(value.next_up()));
    let candidates = below.take(NEIGHBOURS + 1).chain(above.take(NEIGHBOURS + 1).skip(1));
    candidates
        .filter(|candidate| (candidate / 100.0).to_bits() == ratio.to_bits())
        .min_by_key(|candidate| (!is_single(*candidate), candidate.to_string().len()))
        .unwrap_or(product)
}

fn is_single(value: f64) -> bool {
    f64::from(value as f32).to_bits() == value.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_percentage_with_up_to_three_decimals_comes_back() {
        for thousandths in 0..=250_000_u32 {
            let written = f64::from(thousandths) / 1000.0;
            assert_eq!(percent(written / 100.0).to_bits(), written.to_bits(), "{written}");
        }
    }

    #[test]
    fn every_single_precision_percentage_comes_back() {
        let (mut value, mut tried) = (0.1_f32, 0);
        while value < 101.0 {
            let written = f64::from(value);
            assert_eq!(percent(written / 100.0).to_bits(), written.to_bits(), "{written}");
            value *= 1.0003;
            tried += 1;
        }
        assert!(tried > 10_000, "{tried}");
    }

    #[test]
    fn what_is_no_percentage_stays_as_it_is() {
        assert_eq!(percent(0.0).to_bits(), 0.0_f64.to_bits());
        assert!(percent(f64::NAN).is_nan());
        assert!(percent(f64::INFINITY).is_infinite());
    }
}
