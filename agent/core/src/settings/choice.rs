//! Settings that take one word of a few.

/// Whether a source runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enabled {
    /// It runs where its hardware is found; its absence is no error.
    #[default]
    Auto,
    /// It must run: absent hardware is an error.
    True,
    /// It does not run.
    False,
}

/// The value that `text` names among `words`; the error lists the words.
pub fn pick<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    Err(format!("{text:?} is not known here; write {}", known.join(" or ")))
}

/// Implements [`Textual`] for an enum whose values are words.
#[macro_export]
macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:path),+ $(,)?) => {
        impl $crate::settings::Textual for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, String> {
                $crate::settings::pick(text, &[$(($word, $value)),+])
            }

            fn show(&self) -> String {
                match self {
                    $($value => $word.to_owned(),)+
                }
            }
        }
    };
}

words!(Enabled, "\"auto\", true or false", "auto" => Enabled::Auto, "true" => Enabled::True, "false" => Enabled::False);
