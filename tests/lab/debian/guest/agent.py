#!/usr/bin/python3
"""In the machine: runs what the host asks for over a virtio-serial port, one script after the other.

A line is a request, a line is its answer, both JSON. It needs no network, no
udev and no login, and is there before most of systemd is.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from glob import glob

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
    "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0",
}  # fmt: skip


def find_port():
    """Open the port called neo.agent, which the driver may bring late."""
    while True:
        for name in glob("/sys/class/virtio-ports/*/name"):
            with contextlib.suppress(OSError), open(name) as file:
                if file.read().strip() == "neo.agent":
                    return os.open("/dev/" + name.split("/")[4], os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.05)


def lines(port):
    """Yield what the host sends; half a line is forgotten when the host goes away."""
    rest = b""
    while True:
        data = os.read(port, 1 << 16)
        if not data:
            rest = b""
            time.sleep(0.05)
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def run(request):
    """Run a script to its end, or to the end of its time (124); return status, output and errors."""
    command = subprocess.Popen(
        ["/bin/bash", "-c", request["script"], "vm", *request["args"]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        cwd="/root", env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = command.communicate(request["input"], timeout=request["timeout_s"])
        return {"status": command.returncode, "out": out, "err": err}
    except subprocess.TimeoutExpired:
        os.killpg(command.pid, signal.SIGKILL)
        out, err = command.communicate()
        return {"status": 124, "out": out, "err": err}


def main():
    port = find_port()
    for line in lines(port):
        with contextlib.suppress(ValueError):
            request = json.loads(line)
            answer = json.dumps({"id": request["id"], **run(request)}).encode() + b"\n"
            while answer:
                answer = answer[os.write(port, answer) :]


main()
