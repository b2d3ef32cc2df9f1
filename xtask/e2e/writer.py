"""Writes a HailoRT monitor file as a live process does: its own pid, once an interval, until it is killed.

The message comes as protobuf JSON; the types are compiled by protoc. Nothing is shared with the agent.
With --container the process becomes pid 1 of a PID and mount namespace of its own first, as in a pod.
"""

import argparse
import contextlib
import ctypes
import os
import pathlib
import random
import string
import sys
import time

from google.protobuf import json_format

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG, SIGKILL = 1, 9


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--schema", required=True, help="folder of scheduler_mon_pb2.py")
    parser.add_argument("--message", required=True, help="ProtoMon as protobuf JSON, without pid")
    parser.add_argument("--dir", required=True, type=pathlib.Path)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds")
    parser.add_argument("--write-mode", choices=["in-place", "rename"], default="rename")
    parser.add_argument("--hold", action="append", default=[], help="device node to keep open")
    parser.add_argument("--cgroup", type=pathlib.Path, help="cgroup to move to")
    parser.add_argument("--container", action="store_true", help="own PID and mount namespace, own /tmp")
    parser.add_argument("--bind", help="host folder to see as --dir inside the container")
    parser.add_argument("--ready", type=pathlib.Path, help="gets the writer's pid on the node after its first write")
    return parser.parse_args()


def libc(name, *args):
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), name, args)


def enter_container(args):
    """Returns in the child, pid 1 of its namespace; the parent stays outside and reports the child's pid."""
    ready = os.open(args.ready, os.O_WRONLY | os.O_CREAT, 0o644) if args.ready else None
    written, report = os.pipe()
    libc("unshare", CLONE_NEWNS | CLONE_NEWPID)
    child = os.fork()
    if child:
        os.close(report)
        # The write end closes without a byte when the child dies before its first write.
        if os.read(written, 1) and ready is not None:
            os.write(ready, str(child).encode())
        os.waitpid(child, 0)
        sys.exit(1)
    libc("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    libc("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    # It may be below the /tmp that is hidden next; only a mount of this namespace can be bound.
    source = os.open(args.bind, os.O_PATH) if args.bind else None
    libc("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None)
    args.dir.mkdir(parents=True, exist_ok=True)
    if source is not None:
        libc("mount", f"/proc/self/fd/{source}".encode(), os.fsencode(args.dir), None, MS_BIND, None)
        os.close(source)
    return report


def main():
    args = arguments()
    sys.path.insert(0, args.schema)
    import scheduler_mon_pb2

    message = json_format.Parse(args.message, scheduler_mon_pb2.ProtoMon())
    held = [os.open(path, os.O_RDWR) for path in args.hold]
    if args.cgroup:
        (args.cgroup / "cgroup.procs").write_text(str(os.getpid()))
    report = enter_container(args) if args.container else None
    message.pid = str(os.getpid())
    suffix = "".join(random.choices(string.ascii_letters + string.digits, k=6))
    path = args.dir / (message.pid + suffix)
    due = time.monotonic()
    while held is not None:
        # As HailoRT 5 does: the folder is made again when it is gone. If it goes just now, the next write mends it.
        args.dir.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if args.write_mode == "rename":
                part = path.with_name(path.name + ".tmp")
                part.write_bytes(message.SerializeToString())
                part.rename(path)
            else:
                path.write_bytes(message.SerializeToString())
        if report is not None:
            os.write(report, b".")
            os.close(report)
            report = None
        elif args.ready and not args.container and not args.ready.exists():
            args.ready.write_text(message.pid)
        due += args.interval
        time.sleep(max(0.0, due - time.monotonic()))


main()
