//! An arbitrary `/proc/<pid>/cgroup`: ids are of a known kind, pods only below `kubepods`, no user's and no container's claim is
//! one of the node's.
//!
//! The input's first byte, if it is a digit but 0, is the depth below which the paths are another user's; its rest is the text.
#![no_main]

use accelscope_core::cgroup::{self, Cgroup, Delegated};
use accelscope_core::host::cgroups::Controllers;
use libfuzzer_sys::fuzz_target;

/// A container and a pod that no input names.
const OTHER: &str = "/kubepods/pod00000000-0000-4000-8000-000000000001/\
    0000000000000000000000000000000000000000000000000000000000000001";

fuzz_target!(|bytes: &[u8]| {
    let Some((depth, text)) = bytes.split_first() else {
        return;
    };
    // At a line's end it belongs to the name or not, by what follows.
    let text = String::from_utf8_lossy(text).replace('\r', "_");
    let depth = char::from(*depth).to_digit(10).unwrap_or_default() as usize;
    let all = Cgroup::parse(&text);
    is_of_known_kind(&all, &text);
    let turned: Vec<&str> = text.lines().rev().collect();
    assert_eq!(
        Cgroup::parse(&turned.join("\n")),
        all,
        "the order of the hierarchies does not matter"
    );
    for path in cgroup::paths(&text) {
        let one = Cgroup::from_path(path);
        is_of_known_kind(&one, path);
        a_pod_is_where_a_kubelet_makes_it(&one, path);
        what_a_pods_container_makes_stays_its_own(&one, path);
        a_pod_in_a_container_is_its_claim(&one, path);
        if let Some(at) = cgroup::start_of_container(path) {
            assert!(at == 0 || path.as_bytes()[at - 1] == b'/');
            assert!(!path[at..].is_empty());
        }
        // What is outside the reader's namespace is not seen to be anybody's.
        if depth > 0 && !path.starts_with("/..") {
            a_user_makes_no_pods_and_no_jobs(path, depth);
        }
    }
    let captured = Controllers::parse(&text).captured();
    assert!(captured.len() <= 4);
    for (at, one) in captured.iter().enumerate() {
        assert!(one.number != 0 && captured[..at].iter().all(|other| other.number != one.number));
    }
});

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_of_known_kind(cgroup: &Cgroup, text: &str) {
    if let Some(uid) = &cgroup.pod_uid {
        let digits = uid.replace('-', "");
        assert!(digits.len() == 32 && is_hexadecimal(&digits), "{uid}");
        assert!(text.replace('_', "-").contains(uid.as_str()));
    }
    if let Some(id) = &cgroup.container_id {
        assert!(
            !id.is_empty() && !id.contains('/') && text.contains(id.as_str()),
            "{id}"
        );
        // Others are Nomad's, those of Fargate, and what ctr's users choose.
        let is_engines =
            (20..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(
            is_engines || ["nomad", "ecs", "default"].iter().any(|parent| text.contains(parent)),
            "{id}"
        );
    }
    if let Some(job) = &cgroup.job {
        for id in [Some(&job.id), job.step.as_ref()].into_iter().flatten() {
            assert!(
                (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()),
                "{id}"
            );
        }
    }
    assert_eq!(
        cgroup.is_contained(),
        cgroup.container().is_some() || cgroup.pod_uid.is_some()
    );
    assert!(cgroup.outermost.is_some() || !cgroup.is_contained());
    assert!(cgroup.outer_container.is_none() || cgroup.is_claimed());
}

fn a_pod_is_where_a_kubelet_makes_it(cgroup: &Cgroup, path: &str) {
    let Some(uid) = &cgroup.pod_uid else { return };
    let written = |name: &str| name.replace('_', "-").contains(uid.as_str());
    let names: Vec<&str> = cgroup::names(path).collect();
    let at = names.iter().rposition(|name| written(name)).unwrap_or_default();
    let around = names[..=at].join("/");
    assert!(around.contains("kubepods") || path.starts_with("/.."), "{path}");
    let first = names.iter().position(|name| written(name)).unwrap_or_default();
    let above = &names[..first];
    if cgroup.outer_container.is_none() {
        assert!(
            !above
                .iter()
                .any(|name| *name == "user.slice" || name.starts_with("user-")),
            "{path}"
        );
    }
    // Within a pod users may have groups.
    let is_manager = |name: &&str| {
        let user = name
            .strip_prefix("user@")
            .and_then(|user| user.strip_suffix(".service"));
        user.is_some_and(|user| user.parse::<u32>().is_ok_and(|user| user != 0))
    };
    assert!(cgroup.user.is_none() || !above.iter().any(is_manager), "{path}");
}

fn what_a_pods_container_makes_stays_its_own(cgroup: &Cgroup, path: &str) {
    if cgroup.pod_uid.is_some() && cgroup.container().is_some() && !path.ends_with(" (deleted)") {
        for below in ["/init.scope", "/kubepods", OTHER] {
            let inner = Cgroup::from_path(&format!("{path}{below}"));
            assert_eq!(
                (&inner.pod_uid, inner.container()),
                (&cgroup.pod_uid, cgroup.container()),
                "{path}{below}"
            );
        }
    }
}

fn a_pod_in_a_container_is_its_claim(cgroup: &Cgroup, path: &str) {
    // Of a shape that is a container's wherever it is.
    let is_id = |id: &&str| id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let own = cgroup.container_id.as_deref().filter(is_id);
    for id in own.into_iter().chain([&OTHER[OTHER.len() - 64..]]) {
        let inner = Cgroup::from_path(&format!("/docker/{id}/{}", path.trim_matches('/')));
        assert!(
            inner.pod_uid.is_none() || inner.outer_container.is_some(),
            "{path} in {id}"
        );
    }
}

fn a_user_makes_no_pods_and_no_jobs(path: &str, depth: usize) {
    let user = 1000;
    let claimed = Cgroup::of_owned([(path, Some(Delegated { depth, user }))]);
    let rest: Vec<&str> = cgroup::names(path).take(depth).collect();
    let above = Cgroup::from_path(&format!("/{}", rest.join("/")));
    // What is new in the user's part.
    if claimed.pod_uid.is_some() {
        assert_eq!(claimed.pod_uid, above.pod_uid, "{path}");
    }
    if claimed.job.is_some() {
        assert!(above.job.is_some(), "{path}");
    }
    if claimed.container() != above.container() {
        // This user's, or that of the manager whose group this is below.
        assert!(claimed.user.is_some(), "{path}");
    }
}
