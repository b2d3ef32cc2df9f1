#!/usr/bin/env python3
"""Reads Hailo monitor files with Google's own protobuf: a decoder that shares nothing with accelscope's.

usage: read_hmon.py SCHEMA DIR    one line of JSON per file of DIR, in the order of their names
       read_hmon.py --probe       exit 0 if everything it needs is here, else tell what is missing

Needs the module `protobuf` and a protoc: the module `grpcio-tools` brings one, Debian's `protobuf-compiler` another.
The schema is compiled to a descriptor and not to Python code, so that any protoc fits any version of the module.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
except ImportError as error:
    sys.exit(f"no module protobuf ({error}): pip install protobuf grpcio-tools")


def protoc():
    """The command line of the first protoc that runs."""
    for command in (["protoc"], [sys.executable, "-m", "grpc_tools.protoc"]):
        try:
            subprocess.run([*command, "--version"], check=True, capture_output=True)
            return command
        except (OSError, subprocess.CalledProcessError):
            pass
    sys.exit("no protoc: pip install grpcio-tools, or apt-get install protobuf-compiler")


def message_class(schema):
    """The class of the schema's root message."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "descriptors")
        subprocess.run([*protoc(), f"-I{schema.parent}", f"--descriptor_set_out={out}", schema.name], check=True)
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    root = pool.FindMessageTypeByName(f"{descriptors.file[0].package}.ProtoMon")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(root)
    return message_factory.MessageFactory(pool).GetPrototype(root)


def main():
    if sys.argv[1:] == ["--probe"]:
        protoc()
        return
    schema, folder = map(pathlib.Path, sys.argv[1:])
    monitor = message_class(schema)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        message = monitor.FromString(data)
        line = {
            "name": path.name,
            "size": len(data),
            # Nothing unknown, nothing out of order, no default on the wire.
            "canonical": message.SerializeToString() == data,
            "message": json_format.MessageToDict(message, preserving_proto_field_name=True),
        }
        print(json.dumps(line))


main()
