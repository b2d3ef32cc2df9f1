//! Suggestion for a misspelt name.

/// Longest name for which one is looked for: the time for that grows with its length.
const LONGEST: usize = 256;

/// The known name most similar to `name`, with the similarity (0 to 1).
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    if name.len() > LONGEST {
        return None;
    }
    known
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
}
