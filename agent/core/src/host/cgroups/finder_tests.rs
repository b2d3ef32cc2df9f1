use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const POD: &str =
    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice";

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn group(&self, path: &str) {
        self.write(&format!("sys/fs/cgroup/{path}/cgroup.procs"), "");
    }

    fn find(&self, text: &str) -> Option<Groups> {
        let roots = HostRoots::new(self.0.path());
        GroupFinder::new(&roots, Cgroups::new(&roots)).find(text)
    }

    /// A directory as a path below the hierarchies.
    fn shown(&self, directory: Option<&Path>) -> Option<String> {
        let top = self.0.path().join("sys/fs/cgroup");
        Some(directory?.strip_prefix(top).unwrap().to_str().unwrap().to_owned())
    }
}

#[test]
fn the_group_is_the_containers_own_and_not_what_it_has_within_itself() {
    let host = Host::new();
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory");
    let container = format!("{POD}/cri-containerd-{ID}.scope");
    host.group(&format!("{container}/workers/one"));
    let found = host.find(&format!("0::/{container}/workers/one\n")).unwrap();
    assert_eq!(found.cgroup.container_id.as_deref(), Some(ID));
    assert_eq!(host.shown(found.unified()), Some(container));
    assert_eq!(host.shown(found.legacy("cpu")), None);
}

#[test]
fn each_hierarchy_of_v1_has_its_own_and_one_that_knows_only_the_engine_is_left_out() {
    let host = Host::new();
    host.write("sys/fs/cgroup/unified/cgroup.controllers", "");
    for group in [
        "cpu,cpuacct/docker/".to_owned() + ID,
        "memory/docker/".to_owned() + ID,
        "unified/system.slice/docker.service".to_owned(),
    ] {
        host.group(&group);
    }
    let text = format!(
        "5:memory:/docker/{ID}\n4:cpuset:/\n3:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/docker.service\n"
    );
    let found = host.find(&text).unwrap();
    assert_eq!(host.shown(found.legacy("memory")), Some(format!("memory/docker/{ID}")));
    let cpu = Some(format!("cpu,cpuacct/docker/{ID}"));
    assert_eq!(
        (host.shown(found.legacy("cpu")), host.shown(found.legacy("cpuacct"))),
        (cpu.clone(), cpu)
    );
    assert_eq!(found.legacy("cpuset"), None);
    assert_eq!(found.unified(), None);
}

#[test]
fn a_unit_a_session_and_a_job_have_groups_and_the_root_has_none() {
    let host = Host::new();
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory");
    for (path, group) in [
        ("system.slice/a.service/sub/group", "system.slice/a.service"),
        ("user.slice/user-7.slice/session-3.scope", "user.slice/user-7.slice"),
        (
            "system.slice/slurmstepd.scope/job_12/step_0/user/task_0",
            "system.slice/slurmstepd.scope/job_12/step_0",
        ),
    ] {
        host.group(path);
        let found = host.find(&format!("0::/{path}\n")).unwrap();
        assert_eq!(host.shown(found.unified()).as_deref(), Some(group));
    }
    for text in ["0::/\n", "0::/made/by/hand\n", "", "nonsense\n"] {
        assert!(host.find(text).is_none(), "{text}");
    }
    // It has ended meanwhile.
    let gone = host.find("0::/system.slice/gone.service\n").unwrap();
    assert_eq!(gone.unified(), None);
}

#[test]
fn a_path_from_outside_of_the_readers_namespace_begins_at_the_readers_own_group() {
    let host = Host::new();
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory");
    let other = format!("cri-containerd-{ID}.scope");
    host.group(&format!("{POD}/{other}"));
    let own =
        "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podaaaaaaaa_2222_3333_4444_555555555555.slice";
    let own = format!("{own}/cri-containerd-{}.scope", ID.replace('0', "f"));
    host.write(
        &format!("sys/fs/cgroup/{own}/init/cgroup.procs"),
        &format!("1\n{}\n", std::process::id()),
    );
    host.write("proc/self/cgroup", "0::/init\n");
    let pod = POD.strip_prefix("kubepods.slice/").unwrap();
    let found = host.find(&format!("0::/../../../{pod}/{other}\n")).unwrap();
    assert_eq!(host.shown(found.unified()), Some(format!("{POD}/{other}")));
    for beyond in ["../../../../..", "../../../../../../.."] {
        let found = host.find(&format!("0::/{beyond}/{pod}/{other}\n")).unwrap();
        assert_eq!(found.unified(), None, "{beyond}");
    }
}
