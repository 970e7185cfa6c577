"""Multipath TCP on Debian's own kernel: neod makes more subflows than the kernel's manager could, and keeps them."""

from tests.lab.debian.host import WAIT_S, Host

COUNT = 9  # the server's kernel takes eight beside the first
PROGRAM = """import socket, sys, time
what, address, source = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as sock:  # IPPROTO_MPTCP
    if what == "send":
        sock.bind((source, 0))
        sock.connect((address, 5001))
        while True:
            sock.sendall(bytes(20_000))
            time.sleep(0.1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, 5001))
    sock.listen()
    conn, total = sock.accept()[0], 0
    while data := conn.recv(1 << 20):
        total += len(data)
        with open("/run/received", "w") as file:
            file.write(str(total))
"""
Ports = dict[str, set[int]]


def transfer(host: Host, source: str) -> None:
    """Start a server on the LAN, and a program here that sends to it without end."""
    host.write("/run/transfer.py", PROGRAM)
    host.ok("ip -n lan mptcp limits set subflow 8")
    run = "systemd-run --quiet --property=Type=exec"
    python = "/usr/bin/python3 /run/transfer.py"
    host.ok(f"{run} --unit=sink --property=NetworkNamespacePath=/run/netns/lan {python} receive 10.8.0.1 -")
    host.until(lambda: ":5001" in host.ok("ip netns exec lan ss -Hltn"), WAIT_S, "the server listens")
    host.ok(f"{run} --unit=source {python} send 10.8.0.1 $1", source)


def received(host: Host) -> int:
    """Return how many bytes the server has."""
    return int(host.run("cat /run/received").out or 0)


def goes_on(host: Host) -> None:
    """Wait for bytes that were sent after now."""
    before = received(host) + 200_000
    host.until(lambda: received(host) > before, WAIT_S, "the transfer goes on")


def ports(host: Host) -> Ports:
    """Return the source ports of the established subflows of the transfer, by path."""
    found: Ports = {}
    for connection in host.json("neodctl paths --json")["connections"]:
        for flow in connection["subflows"]:
            if connection["remote"] == "10.8.0.1:5001" and flow["state"] == "established":
                found.setdefault(flow["path"], set()).add(flow["source_port"])
    return found


def test_a_subflow_of_every_address_outlives_neod_and_its_link_and_is_replaced_when_it_dies(running: Host) -> None:
    running.configure(COUNT, '[mptcp]\npath_manager = "neod"\n')
    running.reload()
    names = {f"neo{number}" for number in range(1, COUNT + 1)}
    transfer(running, running.leases()["neo1"])
    running.until(lambda: ports(running).keys() == names, WAIT_S, "a subflow of every address")
    goes_on(running)
    before, pid = ports(running), running.pid()
    running.ok("systemctl kill --signal=KILL neod")
    running.until(lambda: running.pid() not in (0, pid), WAIT_S, "another process serves")
    running.until(lambda: running.show("SubState") == "running", WAIT_S, "it is ready")
    running.converged()
    assert ports(running) == before
    running.ok("ip link del neo1")  # which carries most
    running.converged()
    goes_on(running)
    running.ok("ss -K src $1 dst 10.8.0.1", running.leases()["neo5"])
    running.until(lambda: ports(running).get("neo5", before["neo5"]) != before["neo5"], WAIT_S, "it is replaced")
    assert ports(running).keys() == names
    goes_on(running)
