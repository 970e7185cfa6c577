"""The first half: what there is, what is asked for, and what it gives."""

# ruff: noqa: TID251 (it measures)
import time
from concurrent.futures import ThreadPoolExecutor

from demo import files
from demo.chart import bars, columns
from demo.story import PROMPT, Row, Story
from demo.world import HOSTS, NIC, RATE_MBIT

DRAWING = """
                                                    ┌── relay1  203.0.113.11 ──┐
campus ════════════ gate ────────────── core ───────┼── relay2  203.0.113.12 ──┤
ens3 + neo1 … neo8  DHCP and throttle:  Internet    │                          ▼
ss-local, neo-race  {rate:<8}                        ├── server  198.51.100.10 ══ proxy
                    an address                      │                          ss-server
                                                    └── web     192.0.2.80
"""


def topology(story: Story) -> None:
    """Draw what has been set up."""
    story.stage.say("The whole system, in network namespaces of this machine")
    story.stage.output(DRAWING.strip("\n").format(rate=f"{RATE_MBIT:g} Mbit/s"))
    story.stage.note(
        "The campus gives every address its own narrow share, and leases as many addresses as one asks for."
    )
    story.stage.note(
        "One connection over all of them is as fast as all together. neo keeps everything in place for it."
    )
    story.stage.pause(4)


def the_files(story: Story) -> None:
    """Show what is asked for, and where it departs from the examples."""
    story.stage.say("One file a host: the examples of etc/examples")
    shown: set[str] = set()
    for host in HOSTS:
        story.world.hosts[host].write_config(files.text_of(host))
        example = files.EXAMPLES[host]
        if example in shown:
            story.stage.note(f"{host}: the same file as relay1")
            continue
        shown.add(example)
        story.stage.command(PROMPT[host], "cat /etc/neo/neo.toml")
        story.stage.output(files.bare(files.text_of(host)))
        for change in files.changes(host):
            line = next(iter(set(change.after.splitlines()) - set(change.before.splitlines())))
            story.stage.note(f"not in the example: {line.split(' = ')[0].strip()} ({change.why})")
        story.stage.pause(2.5)


def converge(story: Story) -> None:
    """Start neod everywhere, and wait until all is as the files say."""
    story.stage.say("neod on every host makes it so")
    for host in HOSTS:
        story.stage.command(PROMPT[host], "neod &")
    begin = time.monotonic()
    story.mark("neod starts")
    for host in HOSTS:
        story.world.hosts[host].start_neod()
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        took = dict(zip(HOSTS, pool.map(lambda host: _converged(story, host, begin), HOSTS), strict=True))
    for host, seconds in took.items():
        story.stage.good(f"{host:<6} converged {seconds:.1f} s after its start: {_counted(story, host)}")
    story.world.throttled()
    story.rows.append(Row("four hosts from nothing", f"{max(took.values()):.1f} s", "until all say: converged"))
    story.ctl("campus", "status")
    story.stage.pause(4)


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


def _converged(story: Story, host: str, begin: float) -> float:
    story.world.hosts[host].wait(90)
    return time.monotonic() - begin


def _counted(story: Story, host: str) -> str:
    """Say what a host made, by the events it tells."""
    made = [event["object"].partition(":")[0] for event in story.events(host) if event["what"] == "created"]
    counts = [count(made.count(kind), name) for kind, name in KINDS.items() if kind in made]
    return ", ".join(counts) or "nothing to make"


def programs(story: Story) -> None:
    """Start the programs that use it."""
    story.stage.say("A proxy program in its namespace, and neo-race on the campus host")
    server = story.programs.server_side()
    if not story.programs.real:
        story.stage.note("shadowsocks-libev or mptcpize is not installed: a built-in MPTCP server takes its place")
    story.stage.command("server#", "ip netns exec proxy " + " ".join(server))
    for argv in story.programs.campus_side():
        story.stage.command("campus$", " ".join(argv))
    story.stage.good("they listen")
    story.stage.pause(1)


def one_and_many(story: Story) -> None:
    """Measure one address, and all."""
    story.stage.say("One address, and nine")
    story.stage.note("A download by plain TCP, straight through the proxy: it leaves with one address.")
    story.mark("1 address")
    plain = story.programs.plain_download()
    plain.first_bytes()
    time.sleep(0.5)
    story.rates[1] = story.measure(3, plain)
    plain.stop()
    story.stage.output("\n".join(bars([("1 address", story.rates[1])], 10)))
    story.stage.note("The same through neo-race, with MPTCP: whichever way answers first begins, all others join.")
    story.mark("MPTCP, 9 addresses")
    _dial(story)
    story.stage.note(f"neo-race: {winner(story)}")
    story.rates[9] = story.settled_rate(story.download, 9)
    _show_rates(story, 5)
    story.snapshot("9 addresses, one connection")
    factor = story.rates[9] / story.rates[1]
    story.rows.append(Row("plain TCP, 1 address", f"{story.rates[1]:.1f} Mbit/s", "what the campus gives to anybody"))
    story.rows.append(Row("one connection, 9 addresses", f"{story.rates[9]:.1f} Mbit/s", f"{factor:.1f} times as fast"))
    story.stage.pause(3)


def _dial(story: Story) -> None:
    """Begin the download that stays; again when a relay answered first, so that the story is always the same one."""
    for attempt in range(1, 9):
        story.current = story.programs.download(f"download{attempt}")
        story.download.first_bytes()
        if "→ 198.51.100.10:" in winner(story):
            return
        story.stage.note(f"neo-race: {winner(story)}; dialled again, as this story wants the direct way first")
        story.download.stop()


def winner(story: Story) -> str:
    """Return in words who won the latest race."""
    lines = story.programs.races_won()
    if not lines or 'winner="' not in lines[-1]:
        return "no race yet"
    way = lines[-1].partition('winner="')[2].partition('"')[0]
    took = lines[-1].partition("connect_ms=")[2].split()[0]
    others = lines[-1].count("slower than") + lines[-1].count("refused")
    return f"{way} was first, after {took} ms, of {others + 1}"


def _show_rates(story: Story, seconds: float) -> None:
    story.stage.output("\n".join(bars([(_addresses(n), rate) for n, rate in sorted(story.rates.items())])))
    story.stage.note(f"what came in at each address (full height: the {RATE_MBIT:g} Mbit/s it may have):")
    story.stage.output("\n".join(columns([(_short(name), rate) for name, rate in story.shares(seconds)], RATE_MBIT)))
    flows = story.subflows()
    story.stage.good(f"one connection, {len(flows)} subflows, from {len({flow['source'] for flow in flows})} addresses")


def _short(name: str) -> str:
    return "nic" if name == NIC else name.removeprefix("neo")


def _addresses(number: int) -> str:
    return count(number, "address")


show_rates = _show_rates
