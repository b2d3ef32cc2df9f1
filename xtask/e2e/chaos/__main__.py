"""An OTLP receiver that misbehaves in every way that is known, then behaves.

usage: python chaos --seconds S --seed N --out FOLDER PORT=NAME...

A NAME is `http-` or `grpc-`, and `poison`, `small` (see book.py) or something else. The other ports share the behaviours of
their protocol: each request of a port meets the next one of that port's list, in random order, and every other request is
taken as it should be. Once each was met and the seconds have passed, a port behaves. FOLDER/NAME.pb has the requests that
a port took (see book.py). FOLDER/state.json is replaced every half second: for each port its name, the number of
requests by behaviour, whether it behaves, and how many requests it took since then.
"""

import argparse
import asyncio
import json
import os
import random
import time

import grpc2
import http1
from book import Book


class Server:
    """One port."""

    def __init__(self, port, name, module, behaviours, options):
        self.name, self.port, self.module = name, port, module
        self.book = Book(os.path.join(options.out, f"{name}.pb"))
        self.behaviours = behaviours
        self.pending = []
        self.met = set()
        self.random = random.Random(f"{options.seed}/{name}")
        self.end = time.monotonic() + options.seconds
        self.turn = 0
        self.listener = None

    def next(self, success):
        """The behaviour for the next request."""
        if len(self.met) == len(self.behaviours) and time.monotonic() >= self.end:
            self.book.calm = True
        lasting = self.module.LASTING.get(self.name.partition("-")[2])
        if lasting and not self.book.calm:
            self.book.begin("lasting")
            return lasting
        self.turn += 1
        if self.book.calm or self.turn % 2:
            self.book.begin("taken")
            return success
        if not self.pending:
            self.pending = list(self.behaviours)
            self.random.shuffle(self.pending)
        name = self.pending.pop()
        self.met.add(name)
        self.book.begin(name)
        return self.behaviours[name]

    async def listen(self):
        async def accept(reader, writer):
            await self.module.serve(self, reader, writer)

        self.listener = await asyncio.start_server(accept, "127.0.0.1", self.port, limit=1 << 20)

    async def pause(self, seconds):
        """Refuses new connections for a time."""
        self.listener.close()

        async def resume():
            await asyncio.sleep(seconds)
            await self.listen()

        self.resuming = asyncio.create_task(resume())

    def state(self):
        return {
            "name": self.name,
            "met": self.book.used,
            "calm": self.book.calm,
            "calm_taken": self.book.calm_taken,
        }


MODULES = {"http": http1, "grpc": grpc2}


def servers(options):
    """One for each port, with its behaviours; those after which a client waits long are spread evenly."""
    ports = [port.split("=") for port in options.ports]
    hands = {name: {} for _, name in ports}
    for kind, module in MODULES.items():
        mixed = [name for name in hands if name.startswith(kind) and name.partition("-")[2] not in module.LASTING]
        for group in (module.REFUSALS, module.SUCCESSES, module.FAILURES):
            for at, (behaviour, act) in enumerate(group.items()):
                if mixed:
                    hands[mixed[at % len(mixed)]][behaviour] = act
    return [Server(int(port), name, MODULES[name.partition("-")[0]], hands[name], options) for port, name in ports]


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("ports", nargs="+")
    options = parser.parse_args()
    all_servers = servers(options)
    for server in all_servers:
        await server.listen()
    state = os.path.join(options.out, "state.json")
    while True:
        with open(state + ".new", "w", encoding="utf-8") as file:
            json.dump([server.state() for server in all_servers], file)
        os.replace(state + ".new", state)
        await asyncio.sleep(0.5)


asyncio.run(main())
