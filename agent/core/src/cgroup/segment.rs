//! One directory name of a cgroup path.

use super::runtime::Runtime;

/// Meaning of one name.
pub(super) enum Segment {
    /// A pod, with its uid.
    Pod(String),
    /// Both in one name.
    PodAndContainer(String, Option<Runtime>, String),
    /// A container, with its id.
    Container(Option<Runtime>, String),
    /// A container that has a name only.
    Named(Runtime, String),
    /// Nothing that matters here.
    Other,
}

/// What stands before a container's id, by runtime: `<prefix><id>.scope` under the systemd driver, `<prefix><id>` where
/// the cgroupfs driver has a prefix at all.
const PREFIXES: &[(&str, Option<Runtime>)] = &[
    ("cri-containerd-", Some(Runtime::Containerd)),
    ("nerdctl-", Some(Runtime::Containerd)),
    ("crio-", Some(Runtime::CriO)),
    ("docker-", Some(Runtime::Docker)),
    ("libpod-", Some(Runtime::Podman)),
];

impl Segment {
    /// Of `text`, that stands below `parent`; `second` where that is all that stands above it.
    pub(super) fn of(text: &str, parent: Option<&str>, second: bool) -> Self {
        if let Some(uid) = pod_uid(text) {
            return Self::Pod(uid);
        }
        if let Some(both) = pod_and_container(text) {
            return both;
        }
        if let Some((runtime, id)) = container(text) {
            return Self::Container(runtime, id.to_owned());
        }
        if let Some((runtime, name)) = named(text, parent) {
            return Self::Named(runtime, name);
        }
        // ctr lets its user choose the id; the first directory is containerd's namespace.
        if second && parent == Some("default") {
            return Self::Container(Some(Runtime::Containerd), text.to_owned());
        }
        Self::Other
    }
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
fn pod_and_container(text: &str) -> Option<Segment> {
    let mut parts = text.split(':');
    let (slice, prefix, id) = (parts.next()?, parts.next()?, parts.next()?);
    let runtime = PREFIXES
        .iter()
        .find(|(known, _)| known.strip_suffix('-') == Some(prefix))
        .and_then(|(_, runtime)| *runtime);
    if parts.next().is_some() || !is_id(id) {
        return None;
    }
    Some(match pod_uid(slice) {
        Some(uid) => Segment::PodAndContainer(uid, runtime, id.to_owned()),
        None => Segment::Container(runtime, id.to_owned()),
    })
}

fn container(text: &str) -> Option<(Option<Runtime>, &str)> {
    if is_id(text) {
        return Some((None, text));
    }
    let scope = text.strip_suffix(".scope");
    let name = scope.unwrap_or(text);
    for (prefix, runtime) in PREFIXES {
        // `crio-conmon-<id>` and `libpod-conmon-<id>` hold the monitor beside the container, and end in no id here.
        if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((*runtime, id));
        }
    }
    // A runtime that is not known here, by what they have in common.
    let (prefix, id) = scope?.rsplit_once('-')?;
    (is_id(id) && !prefix.ends_with("conmon")).then_some((None, id))
}

/// The id of every OCI runtime's container: 256 bits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn named(text: &str, parent: Option<&str>) -> Option<(Runtime, String)> {
    if let Some(name) = text
        .strip_prefix("lxc.payload.")
        .or_else(|| matches!(parent, Some("lxc" | "lxc.payload")).then_some(text))
    {
        return Some((Runtime::Lxc, name.to_owned()));
    }
    if let Some(name) = text
        .strip_prefix("systemd-nspawn@")
        .and_then(|name| name.strip_suffix(".service"))
    {
        return Some((Runtime::Nspawn, unescape(name)));
    }
    let machine = unescape(text.strip_prefix("machine-")?.strip_suffix(".scope")?);
    // libvirt registers its virtual machines in the same place.
    (parent == Some("machine.slice") && !machine.starts_with("qemu-")).then_some((Runtime::Nspawn, machine))
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
