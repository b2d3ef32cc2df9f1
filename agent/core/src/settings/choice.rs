//! Settings with a few named values.

/// Whether a source is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enabled {
    /// Enabled if its hardware exists; its absence is no error.
    #[default]
    Auto,
    /// Enabled; absent hardware is an error.
    True,
    /// Disabled.
    False,
}

/// The value with the name `text` in `words`; the error lists the names.
pub fn pick<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    Err(format!("{text:?} is not known here; write {}", known.join(" or ")))
}

/// Implements [`Textual`](crate::settings::Textual) for an enum with named values.
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
