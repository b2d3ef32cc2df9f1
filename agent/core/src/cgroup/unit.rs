//! systemd's units in a cgroup path.

use super::Delegated;

/// The service or scope of the system's manager: the first one, around which it makes nothing but slices. What a unit has within
/// itself is named by whom it runs, such as a user's own manager.
pub(super) fn of_system(segments: &[&str]) -> Option<String> {
    let depth = depth_of_system(segments)?;
    Some(segments[depth - 1].to_owned())
}

/// The number of names down to its group.
pub(super) fn depth_of_system(segments: &[&str]) -> Option<usize> {
    let at = segments.iter().position(|segment| !is_unit(segment, "slice"))?;
    let unit = segments[at];
    if unit.starts_with("session-") && is_unit(unit, "scope") {
        return (at > 0).then_some(at);
    }
    (is_unit(unit, "service") || is_unit(unit, "scope")).then_some(at + 1)
}

/// Whether it is the slice of one user, such as `user-1000.slice`.
pub(super) fn is_user(segment: &str) -> bool {
    segment.starts_with("user-") && is_unit(segment, "slice")
}

/// The group that systemd gives to a user's own manager.
pub(super) fn delegated(segments: &[&str]) -> Option<Delegated> {
    segments.iter().enumerate().find_map(|(at, segment)| {
        let user = segment.strip_prefix("user@")?.strip_suffix(".service")?;
        let user = user.parse().ok().filter(|user| *user != 0)?;
        let depth = at + 1;
        Some(Delegated { depth, user })
    })
}

fn is_unit(segment: &str, kind: &str) -> bool {
    segment
        .rsplit_once('.')
        .is_some_and(|(name, suffix)| !name.is_empty() && suffix == kind)
}

/// Undoes the escapes (`\x2d`) of a unit's name (systemd.unit(5)). What is no escape stays.
pub(super) fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail
            .strip_prefix(b"x")
            .and_then(|tail| Some((tail.get(..2)?, tail.get(2..)?)));
        let code = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        if let (b'\\', Some((byte, after))) = (first, code) {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
