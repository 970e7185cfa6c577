"""A virtual machine without hardware support (qemu's TCG), and scripts in it.

Some ten times slower than this machine: a small Python program takes seconds
to start. So: few and fat scripts, long time limits, and a saved state to start
from. It has no network card; what is networked is in namespaces inside.

A reboot ends qemu and starts it anew on the same disk, because a reset inside
of it is many times slower. Its disk may be cut off at any moment, as by a loss
of power: what the guest has synced stays.
"""

import contextlib
import hashlib
import itertools
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import netns
from tests.lab.netns import die_with_parent, poll

QEMU = "qemu-system-x86_64"
# cx16=off: with it Linux 6.12 corrupts its memory under qemu 7.2's TCG. la57=off: one page table less to walk.
CPU = "max,la57=off,cx16=off"
KERNEL = (
    "root=/dev/vda rw quiet loglevel=4 console=ttyS0 panic=-1 oops=panic mitigations=off nokaslr init_on_alloc=0 "
    "audit=0 apparmor=0 selinux=0 nowatchdog tsc=reliable no_timer_check cryptomgr.notests random.trust_cpu=on "
    "rcupdate.rcu_expedited=1 transparent_hugepage=never net.ifnames=0 8250.nr_uarts=1 systemd.show_status=0"
)
ARGUMENTS = [
    "-no-reboot", "-machine", "pc,usb=off,vmport=off,hpet=off", "-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "2",
    "-m", "768", "-nodefaults", "-no-user-config", "-display", "none", "-append", KERNEL,
    "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=neo.agent",
    "-serial", "chardev:console",
]  # fmt: skip
BOOT_S = 240.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a script in the machine came to."""

    status: int
    out: str
    err: str


class Machine:
    """One machine on the disk of an image, or where a saved one left off. It writes to neither."""

    def __init__(self, image: Path, saved: Path | None = None) -> None:
        self._image, self._saved = image, saved
        self.directory = Path(tempfile.gettempdir(), netns.unique("vm"))
        self.directory.mkdir()
        self._qemu: subprocess.Popen[bytes] | None = None
        self._agent: _Lines | None = None
        self._monitor: _Lines | None = None
        self._serial = itertools.count(1)
        below, kind = (saved / "disk", "qcow2") if saved else (image / "disk.img", "raw")
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", str(below), str(self.directory / "disk")]
        subprocess.run(argv, check=True)

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Go on from the saved state, if there is one, or boot; return when all units are up."""
        self._launch(["-incoming", f"exec:cat {self._saved}/memory"] if self._saved else [])
        if self._saved:
            poll(lambda: self._command("query-status")["status"] != "inmigrate", 60, why="the memory is loaded")
            self._command("cont")
        self._wait_up()

    def _launch(self, more: list[str]) -> None:
        for name in ("agent", "monitor"):
            (self.directory / name).unlink(missing_ok=True)
        # Not cache=unsafe: tables of the disk would stay in qemu, and a loss of power would take more than it does.
        argv = [
            QEMU, *ARGUMENTS, "-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initramfs"),
            "-drive", f"file={self.directory}/disk,format=qcow2,if=none,id=disk,cache=writeback",
            "-device", "virtio-blk-pci,drive=disk",
            "-chardev", f"file,id=console,path={self.directory}/console,append=on",
            "-chardev", f"socket,id=agent,path={self.directory}/agent,server=on,wait=off",
            "-qmp", f"unix:{self.directory}/monitor,server=on,wait=off", *more,
        ]  # fmt: skip
        with (self.directory / "qemu.out").open("ab") as out:
            self._qemu = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent
            )
        self._monitor = _Lines(self._connect("monitor"))
        self._monitor.receive(20)
        self._command("qmp_capabilities")
        self._agent = _Lines(self._connect("agent"))

    def _connect(self, name: str) -> socket.socket:
        def attempt() -> socket.socket | None:
            assert self._qemu
            if self._qemu.poll() is not None:
                raise RuntimeError(f"qemu ended: {(self.directory / 'qemu.out').read_text()}")
            there = socket.socket(socket.AF_UNIX)
            try:
                there.connect(str(self.directory / name))
                return there
            except OSError:
                there.close()
                return None

        return poll(attempt, 20, why=f"qemu's {name} answers")  # type: ignore[return-value]

    def _command(self, name: str, **arguments: object) -> Any:
        assert self._monitor
        self._monitor.send({"execute": name, "arguments": arguments})
        while True:
            said = self._monitor.receive(60)
            if "error" in said:
                raise RuntimeError(f"{name}: {said['error']['desc']}")
            if "return" in said:
                return said["return"]

    def _wait_up(self) -> None:
        try:
            self.ok('date -s "@$1" >/dev/null', str(time.time()), timeout_s=BOOT_S)  # a saved one has slept
        except (TimeoutError, EOFError):
            raise RuntimeError(f"the machine did not come up:\n{self.console()}") from None
        state = self.run("systemctl is-system-running --wait", timeout_s=BOOT_S).out.strip()
        if state != "running":
            raise RuntimeError(f"systemd is {state}: {self.run('systemctl --failed --no-legend').out}")

    def save(self, folder: Path) -> None:
        """Keep disk and memory as they are for machines that go on from here; this one ends."""
        assert self._qemu
        self.ok("sync; echo 3 >/proc/sys/vm/drop_caches")
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        self._command("stop")
        self._command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._command("migrate", uri=f"exec:cat >{new}/memory")
        poll(lambda: self._command("query-migrate")["status"] == "completed", 120, why="the memory is saved")
        self._command("quit")
        self._qemu.wait(20)
        shutil.move(self.directory / "disk", new / "disk")
        new.rename(folder)
        self.close()

    def reboot(self) -> None:
        """Shut down in order and boot again."""
        self.run("systemctl reboot --no-block")
        self._again()

    def lose_power(self) -> None:
        """End at this very moment, and boot again."""
        assert self._qemu
        self._qemu.kill()
        self._again()

    def _again(self) -> None:
        assert self._qemu
        try:
            self._qemu.wait(BOOT_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the machine did not shut down:\n{self.console()}") from None
        self._hang_up()
        self._launch([])
        self._wait_up()

    def _hang_up(self) -> None:
        for lines in (self._agent, self._monitor):
            if lines:
                lines.close()

    def close(self) -> None:
        """End it and forget what it wrote."""
        if self._qemu and self._qemu.poll() is None:
            self._qemu.kill()
            self._qemu.wait()
        self._hang_up()
        shutil.rmtree(self.directory, ignore_errors=True)

    # ── use ─────────────────────────────────────────────────────────────────────────────────────

    def run(self, script: str, *args: str, stdin: str = "", timeout_s: float = 120.0) -> Answer:
        """Run a shell script inside, to its end or *timeout_s* (status 124)."""
        assert self._agent
        number = next(self._serial)
        self._agent.send({"id": number, "script": script, "args": args, "input": stdin, "timeout_s": timeout_s})
        while (said := self._agent.receive(timeout_s + 30)).pop("id") != number:
            pass
        return Answer(**said)

    def ok(self, script: str, *args: str, stdin: str = "", timeout_s: float = 120.0) -> str:
        """Run a script that must succeed, and return what it printed."""
        answer = self.run(script, *args, stdin=stdin, timeout_s=timeout_s)
        if answer.status:
            raise RuntimeError(f"{script}: exit {answer.status}: {answer.out}{answer.err}")
        return answer.out

    def until(self, what: Callable[[], Any], timeout_s: float, why: str) -> Any:
        """Return the first true value of *what*, asked for no more often than a slow machine can answer."""
        return poll(what, timeout_s, 0.5, why)

    def write(self, path: str, text: str) -> None:
        """Write a file inside, with the folders above it."""
        self.ok('mkdir -p "$(dirname "$1")" && cat >"$1"', path, stdin=text)

    def console(self) -> str:
        """Return the end of what was printed on the console."""
        with contextlib.suppress(OSError):
            return (self.directory / "console").read_text(errors="replace")[-3000:]
        return ""


class _Lines:
    """JSON, one value a line, over a socket."""

    def __init__(self, there: socket.socket) -> None:
        self._there, self._rest = there, b""

    def send(self, value: object) -> None:
        self._there.sendall(json.dumps(value).encode() + b"\n")

    def receive(self, timeout_s: float) -> Any:
        end = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            self._there.settimeout(max(0.01, end - time.monotonic()))
            if not (data := self._there.recv(1 << 16)):
                raise EOFError("the machine ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        self._there.close()


def booted(image: Path) -> Path:
    """Return the state of a machine that has booted; made once an image."""
    version = subprocess.run([QEMU, "--version"], capture_output=True, check=True).stdout
    key = hashlib.sha256(b"\n".join([version, *(word.encode() for word in ARGUMENTS)])).hexdigest()[:12]
    folder = image / f"booted-{key}"
    if not folder.exists():
        machine = Machine(image)
        try:
            machine.start()
            machine.save(folder)
        finally:
            machine.close()
    return folder
