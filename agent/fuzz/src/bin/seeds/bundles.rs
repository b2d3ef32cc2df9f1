//! Files of each engine: see [`agent_fuzz::node`] for their form.

use agent_fuzz::node::{ID, LINKS, PODS, UID, part};

use crate::Seeds;

pub(crate) fn seeds() -> Seeds {
    let cri = format!(
        r#"{{"ociVersion":"1.2.0","process":{{"args":["/app"]}},"annotations":{{"io.kubernetes.cri.container-name":"detector","io.kubernetes.cri.image-name":"registry.example/vision:3","io.kubernetes.cri.sandbox-name":"vision-7d9f","io.kubernetes.cri.sandbox-namespace":"edge","io.kubernetes.cri.sandbox-uid":"{UID}","nerdctl/name":"a"}}}}"#
    );
    let crio = format!(
        r#"{{"annotations":{{"io.kubernetes.container.name":"detector","io.kubernetes.pod.name":"vision-7d9f","io.kubernetes.pod.namespace":"edge","io.kubernetes.pod.uid":"{UID}","io.kubernetes.cri-o.ImageName":"x"}}}}"#
    );
    let list = format!(
        r#"[{{"id":"other","names":["no"]}},{{"id":"{ID}","names":["frigate"],"metadata":"{{\"image-name\":\"frigate:0.15\"}}"}}]"#
    );
    let docker =
        r#"{"Name":"/frigate","Config":{"Image":"frigate:0.15","Labels":{"io.kubernetes.pod.name":"p"}},"State":{}}"#;
    let isulad = r#"{"CommonConfig":{"Name":"a","Image":"none","Config":{"Labels":{"io.kubernetes.pod.uid":"u"}}}}"#;
    let passwd = "root:x:0:0:root:/root:/bin/bash\nedge:x:1000:1000:Edge,,,:/home/edge:/bin/bash\nbroken\n";
    let parts = |parts: &[(u8, &str)]| {
        parts
            .iter()
            .map(|(letter, content)| part(*letter, content))
            .collect::<Vec<_>>()
            .concat()
    };
    let link = format!("vision-7d9f_edge_detector-{ID}.log\nother-1.log");
    let pods = format!("edge_vision-7d9f_{UID}");
    let cgroup = format!("0::/docker/{ID}\n");
    [
        ("containerd", parts(&[(b'a', &cri)])),
        ("crio", parts(&[(b'b', &crio)])),
        ("podman", parts(&[(b'c', &list), (b'd', "[]")])),
        ("docker", parts(&[(b'e', docker)])),
        ("docker-range", parts(&[(b'f', docker)])),
        ("isulad", parts(&[(b'g', isulad)])),
        (
            "docker-elsewhere",
            parts(&[(b'h', docker), (b'A', r#"{"data-root":"/srv/data"}"#)]),
        ),
        (
            "docker-user",
            parts(&[(b'h', docker), (b'G', r#"{"data-root":"/srv/data"}"#), (b'H', passwd)]),
        ),
        (
            "isulad-elsewhere",
            parts(&[(b'g', isulad), (b'B', r#"{"graph":"/var/lib/isulad"}"#)]),
        ),
        (
            "podman-user",
            parts(&[
                (b'i', &list),
                (b'C', "[storage]\nrootless_storage_path = \"$HOME/data\"\n"),
                (b'H', passwd),
            ]),
        ),
        (
            "podman-own",
            parts(&[
                (b'i', &list),
                (b'F', "[storage]\ngraphroot = \"${HOME}/data\"\n"),
                (b'H', passwd),
            ]),
        ),
        (
            "crio-elsewhere",
            parts(&[(b'i', &list), (b'D', "[crio]\nroot = \"/home/edge/data\"\n")]),
        ),
        (
            "containerd-elsewhere",
            parts(&[(b'a', &cri), (b'E', "version = 2\nstate = \"/run/containerd\"\n")]),
        ),
        ("links", parts(&[(LINKS, &link)])),
        ("pods", parts(&[(PODS, &pods)])),
        (
            "running",
            parts(&[
                (b'h', docker),
                (b'I', "dockerd\n"),
                (b'J', "dockerd\0--data-root\0/srv/data\0"),
                (b'K', "HOME=/home/edge\0USER=edge\0CONTAINERS_STORAGE_CONF=/x\0"),
                (b'L', "0::/system.slice/docker.service\n"),
            ]),
        ),
        (
            "nested",
            parts(&[
                (b'I', "podman\n"),
                (b'J', "podman\0--root=/srv/data"),
                (b'L', &cgroup),
                (b'N', &cgroup),
            ]),
        ),
        (
            "mounts",
            parts(&[
                (
                    b'M',
                    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /home rw - nfs4 s:/h rw\n",
                ),
                (b'H', passwd),
            ]),
        ),
        (
            "broken",
            parts(&[
                (b'a', "{"),
                (b'b', "[]"),
                (b'c', "{\"id\":1}"),
                (b'C', "a = 1\na = 2\n"),
                (b'E', "[[x"),
            ]),
        ),
    ]
    .map(|(name, seed)| (name.to_owned(), seed))
    .into()
}
