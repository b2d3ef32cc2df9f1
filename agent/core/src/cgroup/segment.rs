//! One directory name of a cgroup path.

use super::Cgroup;

/// What stands before a container's id: `<prefix><id>.scope` under the systemd driver, `<prefix><id>` where the cgroupfs
/// driver has a prefix at all.
const PREFIXES: &[&str] = &["cri-containerd-", "nerdctl-", "crio-", "docker-", "libpod-"];

/// The pod, the container or both that the name `text` below `parent` is of; `second` where that is all that stands above
/// it.
pub(super) fn parse(text: &str, parent: Option<&str>, second: bool) -> Option<Cgroup> {
    let mut found = Cgroup::default();
    if let Some(uid) = pod_uid(text) {
        found.pod_uid = Some(uid);
    } else if let Some((slice, id)) = slice_and_container(text) {
        found.pod_uid = pod_uid(slice);
        found.container_id = Some(id.to_owned());
    } else if let Some(id) = container(text) {
        found.container_id = Some(id.to_owned());
    } else if let Some(name) = named(text, parent) {
        found.container_name = Some(name);
    } else if second && parent == Some("default") {
        // ctr lets its user choose the id; the first directory is containerd's namespace.
        found.container_id = Some(text.to_owned());
    } else {
        return None;
    }
    Some(found)
}

/// `pod<uid>` (cgroupfs) or `…-pod<uid>.slice` (systemd, which cannot have `-` in the uid and takes `_`).
fn pod_uid(text: &str) -> Option<String> {
    let uid = match text.strip_suffix(".slice") {
        Some(slice) => &slice[slice.rfind("-pod")? + "-pod".len()..],
        None => text.strip_prefix("pod")?,
    };
    uid_of(uid)
}

/// A UUID, or the 32 hexadecimal digits that a static pod has.
fn uid_of(text: &str) -> Option<String> {
    let uid = text.replace('_', "-");
    let digits = uid.split('-').map(str::len).collect::<Vec<_>>();
    let known_shape = digits == [8, 4, 4, 4, 12] || digits == [32];
    (known_shape && uid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())).then_some(uid)
}

/// `<pod's slice>:cri-containerd:<id>`: runc takes this for one directory when containerd is set to the cgroupfs driver
/// while Kubernetes is set to the systemd driver.
fn slice_and_container(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split(':');
    let (slice, _, id) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && is_id(id)).then_some((slice, id))
}

fn container(text: &str) -> Option<&str> {
    if is_id(text) {
        return Some(text);
    }
    let scope = text.strip_suffix(".scope");
    let name = scope.unwrap_or(text);
    // `crio-conmon-<id>` and `libpod-conmon-<id>` hold the monitor beside the container, and end in no id here.
    let known = PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix).filter(|id| is_id(id)));
    known.or_else(|| {
        // A runtime that is not known here, by what they have in common.
        let (prefix, id) = scope?.rsplit_once('-')?;
        (is_id(id) && !prefix.ends_with("conmon")).then_some(id)
    })
}

/// The id of every OCI runtime's container: 256 bits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Name of a container of LXC, Incus or systemd-nspawn.
fn named(text: &str, parent: Option<&str>) -> Option<String> {
    let is_lxc = matches!(parent, Some("lxc" | "lxc.payload"));
    if let Some(name) = text.strip_prefix("lxc.payload.").or(is_lxc.then_some(text)) {
        return Some(name.to_owned());
    }
    let instance = text.strip_prefix("systemd-nspawn@");
    if let Some(name) = instance.and_then(|instance| instance.strip_suffix(".service")) {
        return Some(unescape(name));
    }
    let machine = unescape(text.strip_prefix("machine-")?.strip_suffix(".scope")?);
    // libvirt registers its virtual machines in the same place.
    (parent == Some("machine.slice") && !machine.starts_with("qemu-")).then_some(machine)
}

/// Undoes the escapes (`\x2d`) of a systemd unit's name (systemd.unit(5)). What is no escape stays.
fn unescape(name: &str) -> String {
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
