//! Text written by C code.

use std::ffi::c_char;

/// The text in a buffer, up to its first zero; `None` if there is none. Invalid UTF-8 is replaced.
pub(super) fn text(buffer: &[c_char]) -> Option<String> {
    // `c_char` is signed on x86-64 and unsigned on aarch64.
    let bytes: Vec<u8> = buffer
        .iter()
        .map(|char| char.to_ne_bytes()[0])
        .take_while(|byte| *byte != 0)
        .collect();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_without_an_end_or_without_text_is_no_fault() {
        let buffer = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| c_char::from_ne_bytes([*byte]))
                .collect::<Vec<_>>()
        };
        assert_eq!(text(&buffer(b"GPU-1\0rest")).as_deref(), Some("GPU-1"));
        assert_eq!(text(&buffer(b"GPU-1")).as_deref(), Some("GPU-1"));
        assert_eq!(text(&buffer(b"\0\0")), None);
        assert_eq!(text(&buffer(b"a\xff\0")).as_deref(), Some("a\u{fffd}"));
    }
}
