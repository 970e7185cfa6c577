"""neo-race as its unit starts it, with more connections than other machines of the tests have files for."""

from tests.lab.debian.host import WAIT_S, Host

COUNT = 10_000
FILE = """[races.many]
listen = "127.0.0.1:6000"
upstreams = ["127.0.0.1:7000"]
first_byte_timeout = "0s"
"""
PROGRAM = """import resource, select, socket, sys, time
what, count = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
if what == "accept":
    listener, held = socket.create_server(("127.0.0.1", 7000), backlog=4096), []
    print("listening", flush=True)
    while True:
        held.append(listener.accept()[0])
        held[-1].sendall(b"x")
held = []
for number in range(count):
    held.append(socket.create_connection(("127.0.0.1", 6000), 60))
    held[-1].settimeout(60)
for sock in held:
    assert sock.recv(1) == b"x"
print("all are open", flush=True)
time.sleep(3600)
"""
COST = r"""
pid=$(systemctl show --value -p MainPID neo-race)
used() { awk '{ total += $1 } END { printf "%d", total / 1000000 }' /proc/$pid/task/*/schedstat; }
before=$(used); sleep 10; after=$(used)
echo $((after - before)) $(awk '/^Pss:/ { print $2 }' /proc/$pid/smaps_rollup)
"""


def test_ten_thousand_connections_that_say_nothing_cost_little(fresh: Host) -> None:
    fresh.write("/etc/neo/neo.toml", FILE)
    fresh.write("/run/many.py", PROGRAM)
    fresh.ok("systemctl start neo-race", timeout_s=WAIT_S)
    run = "systemd-run --quiet --property=Type=exec --property=LimitNOFILE=20000"
    fresh.ok(f"{run} --unit=upstream python3 /run/many.py accept {COUNT}")
    fresh.until(lambda: "listening" in fresh.ok("journalctl --no-pager -q -u upstream"), WAIT_S, "it listens")
    fresh.ok(f"{run} --unit=clients python3 /run/many.py connect {COUNT}")
    fresh.until(lambda: "all are open" in fresh.ok("journalctl --no-pager -q -u clients"), 2 * WAIT_S, "all are open")
    cpu_ms, pss_kb = map(int, fresh.ok(COST).split())
    print(f"{COUNT} connections: {pss_kb / 1024:.1f} MB, {cpu_ms} ms of CPU in 10 s on this slow machine")
    assert pss_kb < 250 * 1024
    assert cpu_ms < 1000
