//! Patterns of device names.

/// Whether `name` matches `pattern`, in which `#` stands for digits and `*` for anything but a slash.
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            let most = name.iter().take_while(|&&byte| byte != b'/').count();
            (0..=most).any(|taken| matches(rest, &name[taken..]))
        }
        Some((b'#', rest)) => {
            let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (1..=digits).any(|taken| matches(rest, &name[taken..]))
        }
        Some((byte, rest)) => name
            .split_first()
            .is_some_and(|(first, more)| first == byte && matches(rest, more)),
    }
}
