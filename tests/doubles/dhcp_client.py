"""A program that is the DHCP half of neod and nothing else: ``python -m tests.doubles.dhcp_client STATE PARENT``.

It reports each lease as a JSON line and takes commands, one a line, on its standard input.
"""

import asyncio
import contextlib
import dataclasses
import json
import resource
import signal
import sys
from ipaddress import IPv4Address
from pathlib import Path

from neod.dhcp.runner import DhcpService
from neod.dhcp.store import LeaseStore
from neod.kernel.clock import SystemClock
from neod.kernel.files import StateFile
from neod.model.facts import DhcpClient, ProbePolicy


def _say(*words):
    print(json.dumps(words, default=str), flush=True)


def _lease_words(lease):
    return None if lease is None else dataclasses.asdict(lease)


class _Program:
    def __init__(self, state, parent):
        self.parent = parent
        self.clock = _SkewedClock(SystemClock())
        store = LeaseStore(StateFile(Path(state) / "leases.json"), self.clock)
        self.service = DhcpService(
            self.clock,
            store,
            self._publish,
            log=lambda name, more: _say("log", name, more),
            report=lambda what, link, detail: _say("log", what, [link, detail]),
        )

    def _publish(self, link, lease):
        _say("lease", self.clock.boottime(), link, _lease_words(lease))

    def command(self, line):
        name, *arguments = json.loads(line)
        _say("answer", getattr(self, f"do_{name}")(*arguments))

    def do_want(self, links, probe="auto"):
        for link, lease in self.service.stored().items():
            self._publish(link, lease)
        self.service.want([DhcpClient(link, self.parent, "", ProbePolicy(probe)) for link in links])

    def do_ready(self, links, held):
        for link, mac in links.items():
            self.service.link_ready(link, mac, IPv4Address(held) if held else None)

    def do_guard(self, links, leased=True):
        for link, (mac, ip) in links.items():
            self.service.guard(link, self.parent, mac, IPv4Address(ip), leased=leased)

    def do_release(self, link, ip):
        self.service.release(link, self.parent, IPv4Address(ip))

    def do_trouble(self, link):
        return self.service.trouble(link, self.parent)

    def do_gone(self, link):
        self.service.link_gone(link)

    def do_carrier(self, up):
        self.service.carrier(self.parent, up)

    def do_status(self):
        return [dataclasses.asdict(row) for row in self.service.status()]

    def do_counters(self):
        return self.service.counters

    def do_degraded(self):
        return self.service.degraded

    def do_sleep(self, seconds):
        """Pretend that the machine slept."""
        self.clock.ahead += seconds

    def do_usage(self):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return [usage.ru_utime + usage.ru_stime, usage.ru_maxrss]

    def do_boottime(self):
        return self.clock.boottime()


class _SkewedClock:
    def __init__(self, clock):
        self._clock, self.ahead = clock, 0.0

    def boottime(self):
        return self._clock.boottime() + self.ahead

    def wall(self):
        return self._clock.wall() + self.ahead


async def _main(state, parent):
    program = _Program(state, parent)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    service = asyncio.ensure_future(program.service.run())
    loop.add_signal_handler(signal.SIGTERM, service.cancel)
    commands = asyncio.ensure_future(_commands(program, reader))
    await asyncio.wait([service, commands], return_when=asyncio.FIRST_COMPLETED)
    commands.cancel()
    service.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await service


async def _commands(program, reader):
    async for line in reader:
        program.command(line)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
