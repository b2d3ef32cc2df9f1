//! Documentation of settings, taken from the documentation comments of their types.

/// A type that documents its keys.
pub trait Documented {
    /// The section and its keys.
    const DOCUMENTATION: SectionDocumentation;
}

/// Documentation of one section.
#[derive(Debug, Clone, Copy)]
pub struct SectionDocumentation {
    /// Description of the section, one element per line.
    pub text: &'static [&'static str],
    /// Its keys, in the order of the documentation.
    pub keys: &'static [KeyDocumentation],
}

/// Documentation of one key.
#[derive(Debug, Clone, Copy)]
pub struct KeyDocumentation {
    /// Name of the key.
    pub name: &'static str,
    /// Its type, meaning and values, one element per line. A line of the form `key = value` is an example.
    pub text: &'static [&'static str],
    /// What it takes.
    pub content: Content,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Content {
    /// A value.
    Value,
    /// A table with these keys.
    Section(&'static [KeyDocumentation]),
    /// A table with names that the user chooses, which may contain dots, and values.
    Open,
    /// A table of tables with names that the user chooses. Each has the keys of the surrounding section, and inherits them,
    /// but for this one and those that are named here.
    Heirs(&'static [&'static str]),
}

/// Declares the settings of a section: a struct that serde reads and writes, with a default for each field and its
/// documentation comments as [`Documented`].
///
/// ```
/// use accelscope_core::settings::Enabled;
/// accelscope_core::settings! {
///     /// NPUs of Acme.
///     pub struct Settings {
///         /// "auto", true or false.
///         #[serde(with = "accelscope_core::settings::textual::text")]
///         pub enabled: Enabled = Enabled::Auto,
///         /// Bool: whether to read the slow counters too.
///         pub slow: bool = false,
///     }
/// }
/// assert!(!Settings::default().slow);
/// ```
///
/// A key that is a table has an attribute `#[table(...)]` with a variant of [`Content`], for a section its type. What
/// follows the keys with the attribute `#[internal]` is no key: serde passes it over.
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $section:literal])*
        pub struct $type:ident {
            $(
                $(#[doc = $text:literal])*
                $(#[table($($table:tt)*)])?
                $(#[serde($($serde:tt)*)])?
                pub $key:ident: $value:ty = $default:expr,
            )*
            $(
                #[internal]
                $(#[doc = $comment:literal])*
                pub $internal:ident: $other:ty,
            )*
        }
    ) => {
        $(#[doc = $section])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default)]
        pub struct $type {
            $(
                $(#[doc = $text])*
                $(#[serde($($serde)*)])?
                pub $key: $value,
            )*
            $(
                $(#[doc = $comment])*
                #[serde(skip)]
                pub $internal: $other,
            )*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $($key: $default,)* $($internal: Default::default(),)* }
            }
        }

        impl $crate::settings::Documented for $type {
            const DOCUMENTATION: $crate::settings::SectionDocumentation = $crate::settings::SectionDocumentation {
                text: &[$($section),*],
                keys: &[$($crate::settings::KeyDocumentation {
                    name: stringify!($key),
                    text: &[$($text),*],
                    content: $crate::settings!(@content $($($table)*)?),
                }),*],
            };
        }
    };
    (@content) => {
        $crate::settings::Content::Value
    };
    (@content Section($section:ty)) => {
        $crate::settings::Content::Section(<$section as $crate::settings::Documented>::DOCUMENTATION.keys)
    };
    (@content $($other:tt)*) => {
        $crate::settings::Content::$($other)*
    };
}
