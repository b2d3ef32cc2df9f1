//! One directory name of a cgroup path.

use super::Cgroup;
use super::unit::unescape;

/// Names of engines in `<slice>:<engine>:<id>`, whose ids may have any shape.
const ENGINES: &[&str] = &[
    "buildkit",
    "cri-containerd",
    "crio",
    "docker",
    "isulad",
    "libpod",
    "nerdctl",
    "podman",
    "runc",
];

/// Directories in which an engine has a group for each of its containers, named after an id of its own kind: `BuildKit`'s
/// steps, Cloud Foundry's Garden, Mesos.
const PARENTS: &[&[&str]] = &[
    &["buildkit"],
    &["garden"],
    &["garden", "good"],
    &["garden", "bad"],
    &["mesos"],
];

/// The pod, the container or both that the name `text` below `above` is of.
pub(super) fn parse(text: &str, above: &[&str]) -> Option<Cgroup> {
    let parent = above.last().copied();
    let mut found = Cgroup::default();
    if let Some(uid) = pod_uid(text) {
        found.pod_uid = Some(uid);
    } else if let Some((slice, id)) = slice_and_container(text) {
        found.pod_uid = pod_uid(slice);
        found.container_id = Some(id.to_owned());
    } else if let Some(id) = container(text) {
        found.container_id = Some(id.to_owned());
    } else if let Some(task) = nomad(text, above) {
        found.container_id = Some(task.to_owned());
    } else if let Some(name) = named(text, parent) {
        found.container_name = Some(name);
    } else if (PARENTS.iter().any(|parent| above.ends_with(parent)) && is_generated(text))
        || (above.contains(&"ecs") && is_fargate(text))
        // ctr lets its user choose the id; the first directory is containerd's namespace.
        || above == ["default"]
    {
        found.container_id = Some(text.to_owned());
    } else {
        return None;
    }
    Some(found)
}

/// Whether the container of that name is what the unit around it runs: Podman with `--cgroups=split`, as Quadlet has it.
pub(super) fn is_units_own(text: &str) -> bool {
    text.strip_prefix("libpod-payload-").is_some_and(is_id)
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
    (is_uuid(&uid) || (uid.len() == 32 && is_hexadecimal(&uid))).then_some(uid)
}

/// `<slice>:<engine>:<id>`: runc takes this for one directory when the engine is set to the cgroupfs driver while its caller
/// is set to the systemd driver. `BuildKit` inside Docker does so too.
fn slice_and_container(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split(':');
    let (slice, engine, id) = (parts.next()?, parts.next()?, parts.next()?);
    let known = is_id(id) || (ENGINES.contains(&engine) && is_generated(id));
    (parts.next().is_none() && known).then_some((slice, id))
}

/// `<id>`, `<engine>-<id>` or, with the systemd driver, `<engine>-<id>.scope`.
fn container(text: &str) -> Option<&str> {
    let name = text.strip_suffix(".scope").unwrap_or(text);
    let (prefix, id) = name.rsplit_once('-').unwrap_or(("", name));
    // `crio-conmon-<id>` and `libpod-conmon-<id>` hold the monitor beside the container.
    (is_id(id) && !prefix.ends_with("conmon")).then_some(id)
}

/// `<allocation>.<task>`, with the suffix `.scope` on cgroup v2, of a task that Nomad runs itself.
fn nomad<'a>(text: &'a str, above: &[&str]) -> Option<&'a str> {
    let name = text.strip_suffix(".scope").unwrap_or(text);
    let (allocation, task) = name.split_once('.')?;
    let is_one = above.iter().any(|segment| matches!(*segment, "nomad" | "nomad.slice"));
    (is_one && is_uuid(allocation) && !task.is_empty()).then_some(name)
}

/// `<task>-<number>`, as ECS on Fargate has it.
fn is_fargate(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        task.len() == 32 && is_hexadecimal(task) && digits(number)
    })
}

/// An id that an engine made: letters, digits and dashes, at least as long as the shortest known kind.
fn is_generated(text: &str) -> bool {
    (20..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_uuid(text: &str) -> bool {
    let digits = text.split('-').map(str::len).collect::<Vec<_>>();
    digits == [8, 4, 4, 4, 12] && text.split('-').all(is_hexadecimal)
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
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
    // libvirt and systemd-vmspawn register virtual machines in the same place. Above it may be anything: a user's manager, or
    // nothing that a cgroup namespace shows.
    let is_virtual = machine.starts_with("qemu-") || machine.starts_with("vmspawn-");
    (!is_virtual).then_some(machine)
}
