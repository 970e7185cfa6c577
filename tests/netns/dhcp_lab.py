"""A segment for DHCP tests: one namespace with macvlans, one with a server, a veth between them.

Run as a program it is the client side: a ``DhcpService`` that reports each lease as a JSON line and
takes commands, one a line, on its standard input.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from ipaddress import IPv4Address
from pathlib import Path

SERVER_IP = "10.77.0.1"
UNIQUE = "neodhcp"


def sh(command, *, check=True, stdin=None):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, input=stdin, timeout=60)
    if check and done.returncode:
        raise RuntimeError(f"{command}: {done.stderr or done.stdout}")
    return done.stdout


def until(condition, timeout_s, what):
    """Return the first true value of *condition*; fail after *timeout_s*."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def mac_of(number):
    return f"02:4e:00:00:{number >> 8:02x}:{number & 255:02x}"


class Lab:
    """Namespaces ``…-h`` (host: ``up0`` and macvlans ``m1``…) and ``…-s`` (server: ``srv0``)."""

    def __init__(self, directory):
        self.directory = Path(directory)
        name = f"{UNIQUE}-{uuid.uuid4().hex[:6]}"
        self.host, self.server = f"{name}-h", f"{name}-s"
        self.processes = []

    def __enter__(self):
        for netns in (self.host, self.server):
            sh(f"ip netns add {netns}")
            sh(f"ip -n {netns} link set lo up")
        self.add_parent()
        sh(f"ip -n {self.server} addr add {SERVER_IP}/16 dev srv0")
        return self

    def __exit__(self, *exc):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait(10)
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        for netns in (self.host, self.server):
            sh(f"ip netns del {netns}", check=False)

    def add_parent(self):
        sh(f"ip -n {self.host} link add up0 type veth peer name srv0 netns {self.server}")
        sh(f"ip -n {self.host} link set up0 up")
        sh(f"ip -n {self.server} link set srv0 up")

    def add_macvlans(self, count, first=1):
        """Make ``m<first>`` and the following, up, and return their names."""
        numbers = range(first, first + count)
        lines = []
        for number in numbers:
            lines.append(f"link add link up0 name m{number} address {mac_of(number)} type macvlan mode private")
            lines.append(f"link set m{number} up")
        sh(f"ip -n {self.host} -batch -", stdin="\n".join(lines))
        return [f"m{number}" for number in numbers]

    def spawn(self, netns, *command, **options):
        process = subprocess.Popen(["nsenter", f"--net=/run/netns/{netns}", *map(str, command)], **options)
        self.processes.append(process)
        return process

    def dnsmasq(self, *options, pool="10.77.1.0,10.77.250.254,255.255.0.0,1h"):
        leases = self.directory / f"dnsmasq-{uuid.uuid4().hex[:6]}.leases"
        return self.spawn(
            self.server,
            *("dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=srv0", "--bind-interfaces"),
            *(f"--dhcp-range={pool}", "--dhcp-authoritative", "--no-ping", "--dhcp-lease-max=20000"),
            *(f"--dhcp-leasefile={leases}", "--log-facility=/dev/null", "--user=root", "--leasefile-ro", *options),
        )

    def kea(self, *, lifetime_s=3600, subnet="10.77.0.0/16", pool="10.77.1.0 - 10.77.250.254", **subnet4):
        directory = self.directory / f"kea-{uuid.uuid4().hex[:6]}"
        directory.mkdir()
        config = {
            "Dhcp4": {
                "interfaces-config": {"interfaces": ["srv0"], "dhcp-socket-type": "raw"},
                "lease-database": {"type": "memfile", "persist": False},
                "valid-lifetime": lifetime_s,
                "authoritative": True,
                "subnet4": [
                    {
                        "subnet": subnet,
                        "pools": [{"pool": pool}],
                        "option-data": [{"name": "routers", "data": SERVER_IP}],
                        **subnet4,
                    }
                ],
                "loggers": [
                    {
                        "name": "kea-dhcp4",
                        "severity": "WARN",
                        "output_options": [{"output": str(directory / "log")}],
                    }
                ],
            }
        }
        path = directory / "kea.json"
        path.write_text(json.dumps(config))
        environment = os.environ | {"KEA_PIDFILE_DIR": str(directory), "KEA_LOCKFILE_DIR": str(directory)}
        return self.spawn(self.server, shutil.which("kea-dhcp4"), "-c", path, env=environment)

    def client(self, links, *, state=None, arguments=()):
        """Start the client side for *links* and return it."""
        state = state or self.directory / "state"
        state.mkdir(exist_ok=True)
        return ClientProcess(self, links, state, arguments)


class ClientProcess:
    """The program below, as a test sees it."""

    def __init__(self, lab, links, state, arguments):
        self.process = lab.spawn(
            lab.host,
            *(sys.executable, __file__, state, "up0", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = ""
        self.events = []  # [boottime, link, ip or None, full lease or None]
        self.leases = {}
        self.logs = []
        self._answers = []
        self.links = list(links)
        self.call("want", self.links)

    def poll(self):
        """Take in what the program has written."""
        try:
            self._rest += os.read(self.process.stdout.fileno(), 1 << 20).decode()
        except BlockingIOError:
            return
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            kind, *rest = json.loads(line)
            if kind == "lease":
                at, link, lease = rest
                self.events.append((at, link, lease))
                if lease is None:
                    self.leases.pop(link, None)
                else:
                    self.leases[link] = lease
            elif kind == "log":
                self.logs.append(rest)
            else:
                self._answers.append(rest[0])

    def call(self, command, *arguments):
        """Give a command and return its answer."""
        self.process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self.process.stdin.flush()

        def answered():
            self.poll()
            if self.process.poll() is not None:
                raise AssertionError("the client has ended")
            return bool(self._answers)

        until(answered, 20, f"an answer to {command}")
        return self._answers.pop(0)

    def ready(self, links=None, held=None):
        """Say that the links exist, with the MACs they have."""
        for link in links or self.links:
            mac = mac_of(int(link[1:])) if link.startswith("m") else "02:00:00:00:00:01"
            self.call("ready", link, mac, held)

    def ready_all(self):
        self.call("ready_all", {link: mac_of(int(link[1:])) for link in self.links})

    def wait(self, condition, timeout_s, what):
        """Wait until *condition* of the leases holds; return the leases."""

        def met():
            self.poll()
            return condition(self.leases)

        until(met, timeout_s, what)
        return self.leases

    def wait_bound(self, count=None, timeout_s=20):
        count = len(self.links) if count is None else count
        return self.wait(lambda leases: len(leases) >= count, timeout_s, f"{count} leases, not {len(self.leases)}")

    def status(self, link=None):
        rows = {row["link"]: row for row in self.call("status")}
        return rows[link] if link else rows

    def counters(self):
        return self.call("counters")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def kill(self):
        self.process.kill()
        self.process.wait(20)


# ── the program ────────────────────────────────────────────────────────────────────────────────


def _say(*words):
    print(json.dumps(words, default=str), flush=True)


def _lease_words(lease):
    import dataclasses

    return None if lease is None else dataclasses.asdict(lease)


class _Program:
    def __init__(self, state, parent):
        from neod.dhcp.runner import DhcpService
        from neod.dhcp.store import LeaseStore
        from neod.kernel.clock import SystemClock

        self.parent = parent
        self.clock = _SkewedClock(SystemClock())
        store = LeaseStore(Path(state), self.clock)
        self.service = DhcpService(self.clock, store, self._publish, log=lambda name, more: _say("log", name, more))

    def _publish(self, link, lease):
        _say("lease", self.clock.boottime(), link, _lease_words(lease))

    def command(self, line):
        name, *arguments = json.loads(line)
        _say("answer", getattr(self, f"do_{name}")(*arguments))

    def do_want(self, links):
        from neod.model.facts import DhcpClient

        for link, lease in self.service.stored().items():
            self._publish(link, lease)
        self.service.want([DhcpClient(link, self.parent, "") for link in links])

    def do_ready(self, link, mac, held):
        self.service.link_ready(link, mac, IPv4Address(held) if held else None)

    def do_ready_all(self, links):
        for link, mac in links.items():
            self.service.link_ready(link, mac)

    def do_gone(self, link):
        self.service.link_gone(link)

    def do_carrier(self, up):
        self.service.carrier(self.parent, up)

    def do_status(self):
        import dataclasses

        return [dataclasses.asdict(row) for row in self.service.status()]

    def do_counters(self):
        return self.service.counters

    def do_degraded(self):
        return self.service.degraded

    def do_sleep(self, seconds):
        """Pretend that the machine slept."""
        self.clock.ahead += seconds

    def do_usage(self):
        import resource

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
