"""A segment for DHCP tests: one namespace with macvlans, one with a server, a veth between them."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from ipaddress import IPv4Address
from pathlib import Path

from tests.lab import netns

ROOT = Path(__file__).resolve().parents[2]

SERVER_IP = "10.77.0.1"
ETH_P_ALL = 3


def mac_of(number):
    return f"02:4e:00:00:{number >> 8:02x}:{number & 255:02x}"


class Lab:
    """Namespaces ``…-h`` (host: ``up0`` and macvlans ``m1``…) and ``…-s`` (server: ``srv0``)."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.host, self.server = netns.unique("dhcp-h"), netns.unique("dhcp-s")
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for name in (self.host, self.server):
                stack.callback(netns.delete, name)
                netns.create(name)
            self.add_parent()
            netns.ip(self.server, "addr", "add", f"{SERVER_IP}/16", "dev", "srv0")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc):
        self._stack.close()

    def add_parent(self):
        netns.ip(self.host, *["link", "add", "up0", "type", "veth", "peer", "name", "srv0", "netns"], self.server)
        netns.ip(self.host, "link", "set", "up0", "up")
        netns.ip(self.server, "link", "set", "srv0", "up")

    def add_macvlans(self, count, first=1, mode="private"):
        """Make ``m<first>`` and the following, up, and return their names."""
        numbers = range(first, first + count)
        lines = []
        for number in numbers:
            lines.append(f"link add link up0 name m{number} address {mac_of(number)} type macvlan mode {mode}")
            lines.append(f"link set m{number} up")
        netns.ip_batch(self.host, lines)
        return [f"m{number}" for number in numbers]

    def give(self, leases):
        """Put the addresses of *leases* on their links, as neod would."""
        lines = [f"addr add {lease['ip']}/{lease['prefix_length']} dev {link}" for link, lease in leases.items()]
        netns.ip_batch(self.host, lines)

    def lose(self, per_cent):
        """Lose that many of the frames, in both directions."""
        for name, link in ((self.host, "up0"), (self.server, "srv0")):
            hook = f"type filter hook ingress device {link} priority 0;"
            rules = f"table netdev t {{\nchain c {{\n{hook}\nnumgen random mod 100 < {per_cent} drop\n}}\n}}\n"
            netns.run(*netns.argv_in(name, "nft", "-f", "-"), stdin=rules)

    def spawn(self, name, *command, **options):
        process = subprocess.Popen(netns.argv_in(name, *map(str, command)), **options)
        self._stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def enter(self, context):
        """Have *context* end with the lab."""
        return self._stack.enter_context(context)

    def sniff(self):
        """Record every frame on the server's end from now on."""
        return self.enter(Sniffer(self.server, "srv0"))

    def serve(self, kind, **options):
        """Start ``dnsmasq`` or ``kea`` and wait until it serves."""
        process = getattr(self, kind)(**options)
        netns.poll(self._is_served, 15, why=f"{kind} serves")
        assert process.poll() is None
        return process

    def _is_served(self):
        return ":0043 " in netns.run(*netns.argv_in(self.server, "cat", "/proc/net/udp")).stdout

    def stop(self, process):
        """End a server, and wait until its port is free."""
        process.kill()
        process.wait(10)

    def dnsmasq(self, pool="10.77.1.0,10.77.250.254,255.255.0.0,1h", link="srv0", options=()):
        return self.spawn(
            self.server,
            *("dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", f"--interface={link}", "--bind-interfaces"),
            *(f"--dhcp-range={pool}", "--dhcp-authoritative", "--no-ping", "--dhcp-lease-max=20000", "--pid-file="),
            *("--leasefile-ro", "--log-facility=/dev/null", "--quiet-dhcp", "--user=root", *options),
        )

    def kea(self, subnet="10.77.0.0/16", pool="10.77.1.0 - 10.77.250.254", link="srv0", **options):
        directory = self.directory / f"kea-{uuid.uuid4().hex[:6]}"
        directory.mkdir()
        net = {
            "subnet": subnet,
            "pools": [{"pool": pool}],
            "option-data": [{"name": "routers", "data": SERVER_IP}],
        }
        log = {"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": str(directory / "log")}]}
        config = {
            "interfaces-config": {"interfaces": [link], "dhcp-socket-type": "raw"},
            "lease-database": {"type": "memfile", "persist": False},
            "valid-lifetime": 3600,
            "authoritative": True,
            "subnet4": [net],
            "loggers": [log],
        }
        path = directory / "kea.json"
        path.write_text(json.dumps({"Dhcp4": config | options}))
        environment = os.environ | {"KEA_PIDFILE_DIR": str(directory), "KEA_LOCKFILE_DIR": str(directory)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return self.spawn(self.server, shutil.which("kea-dhcp4"), "-c", path, env=environment, **quiet)

    def client(self, links, state=None):
        """Start the client side for *links* and return it."""
        state = state or self.directory / "state"
        state.mkdir(exist_ok=True)
        return ClientProcess(self, links, state)


class Sniffer:
    """Records the frames of one link of a namespace."""

    def __init__(self, name, link):
        with netns.inside(name):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            self._socket.bind((link, ETH_P_ALL))
        self._socket.setblocking(False)
        self._frames = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._socket.close()

    def frames(self):
        """Return every frame so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._frames.append(self._socket.recv(4096))
        return self._frames

    def requests(self, kind=None):
        """Return the DHCP requests so far, of one message type or all."""
        found = [Request(frame) for frame in self.frames() if frame[12:14] == b"\x08\x00" and frame[36:38] == b"\0\x43"]
        return [request for request in found if kind in (None, request.kind)]

    def icmp(self):
        return [frame for frame in self.frames() if frame[12:14] == b"\x08\x00" and frame[23] == 1]


class Request:
    """A DHCP request as it was on the wire."""

    def __init__(self, frame):
        self.dst_mac, self.src_mac = frame[:6].hex(":"), frame[6:12].hex(":")
        self.src, self.dst = IPv4Address(frame[26:30]), IPv4Address(frame[30:34])
        data = self.data = frame[42:]
        self.xid, self.secs, self.flags = data[4:8], int.from_bytes(data[8:10], "big"), data[10:12]
        self.ciaddr, self.mac = IPv4Address(data[12:16]), data[28:34]
        self.options, at = {}, 240
        while data[at] != 255:
            self.options[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
        self.kind = self.options[53][0]

    @property
    def requested(self):
        return IPv4Address(self.options.get(50, bytes(4)))


class Hostile:
    """A server that answers by a script: a function from a request to the frames to send."""

    def __init__(self, lab, script):
        self.script, self.heard, self.failed = script, [], None
        with netns.inside(lab.server):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind(("srv0", 0x0800))
        self._socket.settimeout(0.05)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._end.set()
        self._thread.join(5)
        self._socket.close()
        if self.failed:
            raise self.failed

    def _serve(self):
        while not self._end.is_set():
            try:
                frame = self._socket.recv(4096)
            except TimeoutError:
                continue
            if frame[23] != 17 or frame[36:38] != b"\0\x43":
                continue
            try:
                request = Request(frame)
                self.heard.append(request)
                self.send(*self.script(request))
            except Exception as exc:
                self.failed = exc
                return

    def send(self, *frames):
        for frame in frames:
            with contextlib.suppress(OSError):
                self._socket.send(frame)

    def later(self, seconds, *frames):
        timer = threading.Timer(seconds, self.send, frames)
        timer.daemon = True
        timer.start()

    def count(self, kind):
        return sum(request.kind == kind for request in list(self.heard))


class ClientProcess:
    """The program ``tests.doubles.dhcp_client``, as a test sees it."""

    def __init__(self, lab, links, state):
        self.process = lab.spawn(
            lab.host,
            *(sys.executable, "-m", "tests.doubles.dhcp_client", state, "up0"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self._rest = b""
        self.events = []  # (boottime, link, lease or None)
        self.leases = {}
        self.logs = []
        self._answers = []
        self.want(links)

    def want(self, links):
        self.links = list(links)
        self.call("want", self.links)

    def poll(self):
        """Take in what the program has written."""
        try:
            while chunk := os.read(self.process.stdout.fileno(), 1 << 20):
                self._rest += chunk
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
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

        netns.poll(answered, 20, why=f"an answer to {command}")
        return self._answers.pop(0)

    def ready(self, *links, held=None):
        """Say that the links (none named: all) exist, with the MACs they have."""
        macs = {link: mac_of(int(link[1:])) for link in links or self.links}
        self.call("ready", macs, held)

    def wait(self, condition, timeout_s=20, why=""):
        """Wait until *condition* of the leases holds; return the leases."""

        def met():
            self.poll()
            return condition(self.leases)

        netns.poll(met, timeout_s, why=why)
        return dict(self.leases)

    def wait_bound(self, count=None, timeout_s=20):
        count = len(self.links) if count is None else count
        return self.wait(lambda leases: len(leases) >= count, timeout_s, f"{count} leases")

    def wait_state(self, link, state, timeout_s=20):
        netns.poll(lambda: self.status(link)["state"] == state, timeout_s, why=f"{link} is {state}")

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
