//! Calls stand under the name by which the program was run, whatever becomes of its file.
//!
//! All programs here are copies or other names of this one, and run in one pod, so that nothing but the name tells them
//! apart.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags};
use skip_test::skip;

use crate::lasting::Paced;
use crate::pods::Pod;
use crate::seen::Agent;
use crate::tests::{CALLS, call_by};

pub(crate) const TESTS: [(&str, fn()); 8] = [
    ("names_of_one_file_are_told_apart", links),
    ("a_renamed_program_is_another_from_then_on", renamed),
    ("a_program_that_was_replaced_keeps_its_name", replaced),
    ("files_of_two_layers_with_one_number_are_told_apart", layers),
    ("files_of_two_subvolumes_with_one_number_are_told_apart", subvolumes),
    ("programs_in_memory_are_told_apart", in_memory),
    ("long_names_are_told_apart_by_their_ends", long_names),
    ("a_process_that_runs_another_program_has_its_name", executed),
];

struct Scene {
    agent: Agent,
    pod: Pod,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        let agent = Agent::start(&[])?;
        let pod = Pod::any()?;
        let folder = tempfile::tempdir().unwrap();
        Some(Self { agent, pod, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn group(&self) -> &str {
        self.pod.group.to_str().unwrap()
    }

    /// This program, as another file.
    fn copy(&self, name: &str) -> PathBuf {
        copy(&self.path(name))
    }

    fn run(&self, program: &Path, calls: u32) {
        call_by(program, self.group(), calls);
    }

    /// A process that makes that many calls, and as many again.
    fn twice(&self, program: &Path, calls: &str) -> Paced {
        let mut caller = Paced::by(program, &["twice", self.group(), calls]);
        caller.says(calls);
        caller
    }

    /// Waits for all calls of the pod, and compares them by executable.
    fn expect(&self, wanted: &[(&str, u32)]) {
        let of_pod = ("k8s.pod.name", self.pod.name.as_str());
        let all = f64::from(wanted.iter().map(|(_, calls)| calls).sum::<u32>());
        self.agent.wait("all calls of the pod", |agent| {
            (agent.sum(CALLS, &[of_pod]) >= all).then_some(())
        });
        self.agent.readings(3);
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        for line in self.agent.matching(CALLS, &[of_pod]) {
            let name = line["attributes"]["process.executable.name"]
                .as_str()
                .unwrap_or_default();
            *found.entry(name.to_owned()).or_default() += line["value"].as_f64().unwrap();
        }
        let wanted = wanted
            .iter()
            .map(|(name, calls)| ((*name).to_owned(), f64::from(*calls)));
        assert_eq!(found, wanted.collect());
    }
}

fn copy(to: &Path) -> PathBuf {
    std::fs::copy(std::env::current_exe().unwrap(), to).unwrap();
    to.to_owned()
}

/// Mounted until the test ends, however it ends.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where the kernel or the user's rights do not allow it.
    fn new(source: &str, kind: &str, options: &str, at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount(source, &at, kind, MountFlags::empty(), options.as_c_str()).ok()?;
        Some(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).ok();
    }
}

fn links() {
    let Some(scene) = Scene::new() else { return };
    let alpha = scene.copy("alpha");
    std::fs::hard_link(&alpha, scene.path("beta")).unwrap();
    // Its path's file name is that of the file it leads to.
    std::os::unix::fs::symlink(&alpha, scene.path("linked")).unwrap();
    scene.run(&alpha, 10);
    scene.run(&scene.path("beta"), 20);
    std::fs::rename(scene.path("beta"), scene.path("gamma")).unwrap();
    scene.run(&scene.path("gamma"), 30);
    scene.run(&scene.path("linked"), 5);
    scene.expect(&[("alpha", 15), ("beta", 20), ("gamma", 30)]);
}

fn renamed() {
    let Some(scene) = Scene::new() else { return };
    let before = scene.copy("before");
    let mut caller = scene.twice(&before, "40");
    std::fs::rename(&before, scene.path("after")).unwrap();
    // Another program gets the name that is free now.
    let other = scene.copy("before");
    caller.send();
    caller.says("40");
    caller.send();
    caller.end();
    scene.run(&other, 3);
    scene.expect(&[("after", 40), ("before", 43)]);
}

fn replaced() {
    let Some(scene) = Scene::new() else { return };
    let alpha = scene.copy("alpha");
    let number = alpha.metadata().unwrap().ino();
    scene.run(&alpha, 10);
    std::fs::remove_file(&alpha).unwrap();
    // File systems that use a free number again take it soon; others are as good for the rest of the test.
    let again = (0..64).any(|_| {
        let beta = scene.copy("beta");
        let again = beta.metadata().unwrap().ino() == number;
        if !again {
            std::fs::rename(&beta, scene.path("other")).unwrap();
        }
        again
    });
    if !again {
        println!("this file system did not use the number of the removed file again");
        scene.copy("beta");
    }
    scene.run(&scene.path("beta"), 20);
    // One that runs without its file, and another in its place.
    let gone = scene.copy("gone");
    let mut caller = scene.twice(&gone, "7");
    std::fs::remove_file(&gone).unwrap();
    let gamma = scene.copy("gamma");
    caller.send();
    caller.says("7");
    scene.run(&gamma, 30);
    caller.send();
    caller.end();
    scene.expect(&[("alpha", 10), ("beta", 20), ("gamma", 30), ("gone", 14)]);
}

fn layers() {
    let Some(scene) = Scene::new() else { return };
    let lower: Option<Vec<Mounted>> = ["one", "two"]
        .into_iter()
        .map(|name| Mounted::new("none", "tmpfs", "", scene.path(name)))
        .collect();
    let Some(lower) = lower else {
        return skip("mounts", "no file system can be mounted");
    };
    for (layer, name) in lower.iter().zip(["alpha", "beta"]) {
        copy(&layer.0.join(name));
    }
    let options = format!("lowerdir={}:{}", lower[0].0.display(), lower[1].0.display());
    let Some(merged) = Mounted::new("overlay", "overlay", &options, scene.path("merged")) else {
        return skip("mounts", "no overlay can be mounted");
    };
    scene.run(&merged.0.join("alpha"), 10);
    scene.run(&merged.0.join("beta"), 20);
    scene.expect(&[("alpha", 10), ("beta", 20)]);
}

fn subvolumes() {
    let Some(scene) = Scene::new() else { return };
    let image = scene.path("image");
    File::create(&image).unwrap().set_len(512 << 20).unwrap();
    let tool = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let image = image.to_str().unwrap();
    let at = scene.path("volume");
    let mounted = tool("mkfs.btrfs", &["-q", image])
        .and_then(|_| tool("losetup", &["--find", "--show", image]))
        .and_then(|device| {
            let mounted = Mounted::new(&device, "btrfs", "", at.clone());
            // The mount holds it until it ends.
            tool("losetup", &["--detach", &device]);
            mounted
        });
    let Some(_mounted) = mounted else {
        return skip("btrfs", "no file system of that kind can be made and mounted");
    };
    for name in ["alpha", "beta"] {
        let subvolume = at.join(format!("of-{name}"));
        tool("btrfs", &["subvolume", "create", subvolume.to_str().unwrap()]).unwrap();
        copy(&subvolume.join(name));
    }
    let number = |name: &str| at.join(format!("of-{name}")).join(name).metadata().unwrap().ino();
    assert_eq!(number("alpha"), number("beta"), "each subvolume counts by itself");
    scene.run(&at.join("of-alpha/alpha"), 10);
    scene.run(&at.join("of-beta/beta"), 20);
    scene.expect(&[("alpha", 10), ("beta", 20)]);
}

fn in_memory() {
    let Some(scene) = Scene::new() else { return };
    for (name, calls) in [("one", 10), ("two", 20)] {
        let file = File::from(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::empty()).unwrap());
        let mut own = File::open(std::env::current_exe().unwrap()).unwrap();
        std::io::copy(&mut own, &mut &file).unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        scene.run(Path::new(&path), calls);
    }
    scene.expect(&[("memfd:one", 10), ("memfd:two", 20)]);
}

fn long_names() {
    let Some(scene) = Scene::new() else { return };
    // As long as a file's name may be, and the same up to the last byte; characters of several bytes.
    let names = ["a", "b"].map(|end| format!("{}{end}", "\u{e4}".repeat(127)));
    let alpha = scene.copy(&names[0]);
    std::fs::hard_link(&alpha, scene.path(&names[1])).unwrap();
    scene.run(&alpha, 10);
    scene.run(&scene.path(&names[1]), 20);
    scene.expect(&[(&names[0], 10), (&names[1], 20)]);
}

fn executed() {
    let Some(scene) = Scene::new() else { return };
    let (alpha, beta) = (scene.copy("alpha"), scene.path("beta"));
    std::fs::hard_link(&alpha, &beta).unwrap();
    // One process: a shell that becomes the first program, which is followed by the second one in another.
    let script = format!(
        "{} call {group} 1 10 0 && exec {} call {group} 1 20 0",
        alpha.display(),
        beta.display(),
        group = scene.group()
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    scene.expect(&[("alpha", 10), ("beta", 20)]);
}
