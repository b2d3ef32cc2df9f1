//! Which series the allocations of a node become.

use super::*;

/// A memory plugin's id for each unit, as Alibaba's, Tencent's and HAMi's do, and a plugin of which nothing is known.
#[test]
fn units_of_a_device_are_one_series_and_take_no_other_container_s() {
    let host = tempfile::tempdir().unwrap();
    let units = |first: &str, count: usize| (0..count).map(|n| format!("{first}{n}")).collect::<Vec<_>>();
    let of = |resource: &str, ids: &[String]| {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        devices(resource, &ids)
    };
    let second = GPU.replace("8f6d", "9f6d");
    let mut memory = units(&format!("{GPU}-_-"), 3000);
    memory.extend(units(&format!("{second}-_-"), 5));
    let cores = of("tencent.com/vcuda-memory", &units("unit-", 3000));
    let replicas = of("nvidia.com/gpu", &units(&format!("{GPU}-"), 10));
    let few = of("example.com/fpga", &units("fpga", 4));
    let claimed = DynamicResource {
        claim_name: "memory".into(),
        claim_namespace: "team".into(),
        claim_resources: units("mem-", 5000)
            .into_iter()
            .map(|device_name| ClaimResource {
                driver_name: "mem.example.com".into(),
                pool_name: "node-1".into(),
                device_name,
            })
            .collect(),
    };
    let _kubelet = Kubelet::start(
        &socket(host.path()),
        Some(answer([
            pod("a", vec![of("aliyun.com/gpu-mem", &memory)], Vec::new()),
            pod("b", vec![cores, few], vec![claimed]),
            pod("c", vec![replicas], Vec::new()),
            one("z", GPU),
        ])),
    );
    let resource = |name| ("accel.resource.name", name);
    let mut all = vec![
        expected(
            "a",
            &[resource("aliyun.com/gpu-mem"), ("hw.id", GPU), ("accel.device.id", GPU)],
        ),
        expected(
            "a",
            &[
                resource("aliyun.com/gpu-mem"),
                ("hw.id", &second),
                ("accel.device.id", &second),
            ],
        ),
        expected("b", &[resource("tencent.com/vcuda-memory")]),
        expected(
            "b",
            &[
                ("accel.claim.name", "memory"),
                ("accel.claim.namespace", "team"),
                ("accel.driver.name", "mem.example.com"),
                ("accel.pool.name", "node-1"),
            ],
        ),
        expected("c", &[resource("nvidia.com/gpu"), ("hw.id", GPU)]),
        expected(
            "z",
            &[resource("nvidia.com/gpu"), ("hw.id", GPU), ("accel.device.id", GPU)],
        ),
    ];
    for id in units("fpga", 4) {
        all.push(expected("b", &[resource("example.com/fpga"), ("accel.device.id", &id)]));
    }
    assert_eq!(look(host.path()), BTreeSet::from_iter(all));
}

/// Containers with more devices than there may be series have fewer, and the others all.
#[test]
fn a_container_with_very_many_devices_hides_only_its_own() {
    let host = tempfile::tempdir().unwrap();
    let uuid = |n: usize| format!("GPU-8f6d1a52-3c0b-4f3e-9a34-{n:012x}");
    let many: Vec<String> = (0..12_000).map(uuid).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let flood = pod("flood", vec![devices("nvidia.com/gpu", &many)], Vec::new());
    let others = (0..20).map(|n| one(&format!("z-{n}"), GPU));
    let pods = std::iter::once(flood).chain(others);
    let _kubelet = Kubelet::start(&socket(host.path()), Some(answer(pods)));
    let found = look(host.path());
    for n in 0..20 {
        let name = format!("z-{n}");
        let is_there = found.iter().any(|one| one.get("k8s.pod.name") == Some(&name));
        assert!(is_there, "{name} is hidden");
    }
}

#[test]
fn an_allocation_has_the_uid_of_its_pod_and_not_that_of_an_earlier_one_of_its_name() {
    let host = tempfile::tempdir().unwrap();
    let logs = host.path().join("var/log/pods");
    let directory = |name: &str| std::fs::create_dir_all(logs.join(name).join("main")).unwrap();
    directory("team_first_0b0c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11");
    directory("other_second_2b0c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11");
    directory("team_second_1b0c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11");
    // A pod of the API server's own manifest has a hash.
    directory("team_static-node1_5f2d1e0c9b8a7f6e5d4c3b2a19080706");
    directory("team_not-a-pod");
    directory("team__x");
    let started = std::time::SystemTime::now();
    wait_for("the clock of the file system to move", || {
        let file = host.path().join("clock");
        std::fs::write(&file, "").unwrap();
        (std::fs::metadata(file).unwrap().modified().unwrap() > started).then_some(())
    });
    // Recreated under its name, as of a StatefulSet; the kubelet removes the old directory later, and changes it before.
    directory("team_second_f00c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11");
    std::fs::create_dir(logs.join("team_second_1b0c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11/more")).unwrap();
    let pods = ["first", "second", "static-node1", "third"].map(|name| one(name, GPU));
    let _kubelet = Kubelet::start(&socket(host.path()), Some(answer(pods)));
    let found: BTreeMap<String, Option<String>> = look(host.path())
        .into_iter()
        .map(|one| (one["k8s.pod.name"].clone(), one.get("k8s.pod.uid").cloned()))
        .collect();
    let uid = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        BTreeMap::from([
            ("first".to_owned(), uid("0b0c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11")),
            ("second".to_owned(), uid("f00c1a52-3c0b-4f3e-9a34-2f1f5d0c7b11")),
            ("static-node1".to_owned(), uid("5f2d1e0c9b8a7f6e5d4c3b2a19080706")),
            ("third".to_owned(), None),
        ])
    );
}
