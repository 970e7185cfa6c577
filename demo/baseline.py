"""The first part: topology, files, convergence, and throughput with one address and nine."""

# ruff: noqa: TID251 (it measures)
import time
from concurrent.futures import ThreadPoolExecutor

from demo import files
from demo.chart import bars, columns
from demo.network import HOSTS, NIC, RATE_MBIT
from demo.scenario import PROMPT, Row, Scenario

DRAWING = """
                                                    ┌── relay1  203.0.113.11 ──┐
campus ════════════ gate ────────────── core ───────┼── relay2  203.0.113.12 ──┤
ens3 + neo1 … neo8  DHCP and throttle:  Internet    │                          ▼
ss-local, neo-race  {rate:<8}                        ├── server  198.51.100.10 ══ proxy
                    an address                      │                          ss-server
                                                    └── web     192.0.2.80
"""


def topology(scenario: Scenario) -> None:
    """Draw what has been set up."""
    scenario.console.heading("The whole system, in network namespaces of this machine")
    scenario.console.output(DRAWING.strip("\n").format(rate=f"{RATE_MBIT:g} Mbit/s"))
    scenario.console.note(
        "The campus gives every address its own narrow share, and leases as many addresses as one asks for."
    )
    scenario.console.note(
        "One connection over all of them is as fast as all together. neo keeps everything in place for it."
    )
    scenario.console.pause(4)


def show_files(scenario: Scenario) -> None:
    """Show what is asked for, and where it departs from the examples."""
    scenario.console.heading("One file a host: the examples of etc/examples")
    shown: set[str] = set()
    for host in HOSTS:
        scenario.network.hosts[host].write_config(files.text_of(host))
        example = files.EXAMPLES[host]
        if example in shown:
            scenario.console.note(f"{host}: the same file as relay1")
            continue
        shown.add(example)
        scenario.console.command(PROMPT[host], "cat /etc/neo/neo.toml")
        scenario.console.output(files.bare(files.text_of(host)))
        for change in files.changes(host):
            line = next(iter(set(change.after.splitlines()) - set(change.before.splitlines())))
            scenario.console.note(f"not in the example: {line.split(' = ')[0].strip()} ({change.why})")
        scenario.console.pause(2.5)


def converge(scenario: Scenario) -> None:
    """Start neod everywhere, and wait until all is as the files say."""
    scenario.console.heading("neod on every host makes it so")
    for host in HOSTS:
        scenario.console.command(PROMPT[host], "neod &")
    begin = time.monotonic()
    scenario.mark("neod starts")
    for host in HOSTS:
        scenario.network.hosts[host].start_neod()
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        took = dict(zip(HOSTS, pool.map(lambda host: _converged(scenario, host, begin), HOSTS), strict=True))
    for host, seconds in took.items():
        scenario.console.passed(f"{host:<6} converged {seconds:.1f} s after its start: {_counted(scenario, host)}")
    scenario.network.throttled()
    scenario.rows.append(Row("four hosts from nothing", f"{max(took.values()):.1f} s", "until all say: converged"))
    scenario.ctl("campus", "status")
    scenario.console.pause(4)


KINDS = {
    "netns": "namespace",
    "link": "link",
    "address": "address",
    "rule": "rule",
    "route": "route",
    "nat": "NAT ruleset",
}


def count(number: int, thing: str) -> str:
    """Return a number with its noun."""
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number} {thing}{ending}"


def _converged(scenario: Scenario, host: str, begin: float) -> float:
    scenario.network.hosts[host].wait(90)
    return time.monotonic() - begin


def _counted(scenario: Scenario, host: str) -> str:
    """Say what a host made, by the events it tells."""
    made = [event["object"].partition(":")[0] for event in scenario.events(host) if event["what"] == "created"]
    counts = [count(made.count(kind), name) for kind, name in KINDS.items() if kind in made]
    return ", ".join(counts) or "nothing to make"


def programs(scenario: Scenario) -> None:
    """Start the programs that use it."""
    scenario.console.heading("A proxy program in its namespace, and neo-race on the campus host")
    server = scenario.programs.server_side()
    if not scenario.programs.real:
        scenario.console.note("shadowsocks-libev or mptcpize is not installed: a built-in MPTCP server takes its place")
    scenario.console.command("server#", "ip netns exec proxy " + " ".join(server))
    for argv in scenario.programs.campus_side():
        scenario.console.command("campus$", " ".join(argv))
    scenario.console.passed("they listen")
    scenario.console.pause(1)


def compare_rates(scenario: Scenario) -> None:
    """Measure one address, and all."""
    scenario.console.heading("One address, and nine")
    scenario.console.note("A download by plain TCP, straight through the proxy: it leaves with one address.")
    scenario.mark("1 address")
    plain = scenario.programs.plain_download()
    plain.first_bytes()
    time.sleep(0.5)
    scenario.rates[1] = scenario.measure(3, plain)
    plain.stop()
    scenario.console.output("\n".join(bars([("1 address", scenario.rates[1])], 10)))
    scenario.console.note("The same through neo-race, with MPTCP: whichever way answers first begins, all others join.")
    scenario.mark("MPTCP, 9 addresses")
    _dial(scenario)
    scenario.console.note(f"neo-race: {winner(scenario)}")
    scenario.rates[9] = scenario.settled_rate(scenario.download, 9)
    _show_rates(scenario, 5)
    scenario.snapshot("9 addresses, one connection")
    factor = scenario.rates[9] / scenario.rates[1]
    scenario.rows.append(
        Row("plain TCP, 1 address", f"{scenario.rates[1]:.1f} Mbit/s", "what the campus gives to anybody")
    )
    scenario.rows.append(
        Row("one connection, 9 addresses", f"{scenario.rates[9]:.1f} Mbit/s", f"{factor:.1f} times as fast")
    )
    scenario.console.pause(3)


def _dial(scenario: Scenario) -> None:
    """Start the long download; again if a relay won the race, so that each run shows the same."""
    for attempt in range(1, 9):
        scenario.current = scenario.programs.download(f"download{attempt}")
        scenario.download.first_bytes()
        if "→ 198.51.100.10:" in winner(scenario):
            return
        scenario.console.note(f"neo-race: {winner(scenario)}; dialled again, as this demo shows the direct way first")
        scenario.download.stop()


def winner(scenario: Scenario) -> str:
    """Return the winner of the latest race, human-readable."""
    lines = scenario.programs.races_won()
    if not lines or 'winner="' not in lines[-1]:
        return "no race yet"
    way = lines[-1].partition('winner="')[2].partition('"')[0]
    took = lines[-1].partition("connect_ms=")[2].split()[0]
    others = lines[-1].count("slower than") + lines[-1].count("refused")
    return f"{way} was first, after {took} ms, of {others + 1}"


def _show_rates(scenario: Scenario, seconds: float) -> None:
    scenario.console.output("\n".join(bars([(_addresses(n), rate) for n, rate in sorted(scenario.rates.items())])))
    scenario.console.note(f"what came in at each address (full height: the {RATE_MBIT:g} Mbit/s it may have):")
    scenario.console.output(
        "\n".join(columns([(_short(name), rate) for name, rate in scenario.shares(seconds)], RATE_MBIT))
    )
    flows = scenario.subflows()
    scenario.console.passed(
        f"one connection, {len(flows)} subflows, from {len({flow['source'] for flow in flows})} addresses"
    )


def _short(name: str) -> str:
    return "nic" if name == NIC else name.removeprefix("neo")


def _addresses(number: int) -> str:
    return count(number, "address")


show_rates = _show_rates
