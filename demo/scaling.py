"""The last part: more addresses than the kernel's path manager supports, then everything removed."""

# ruff: noqa: TID251 (it measures)
import time

from demo import files
from demo.baseline import show_rates
from demo.chart import table
from demo.network import HOSTS, INNER
from demo.scenario import Row, Scenario

MORE = 24


def add_addresses(scenario: Scenario) -> None:
    """Ask for 24 macvlans instead of 8, in the middle of the download."""
    scenario.console.heading(f"More than eight: {MORE} macvlans, and neod is the path manager")
    scenario.console.note("The kernel's own path manager takes 8 addresses at most. neod's takes as many as there are.")
    host = scenario.network.hosts["campus"]
    host.write_config(files.text_of("campus").replace("count  = 8", f"count  = {MORE}"))
    scenario.console.command("campus#", f"sed -i 's/count  = 8/count  = {MORE}/' /etc/neo/neo.toml")
    scenario.mark(f"reload: {MORE} macvlans")
    begin = time.monotonic()
    scenario.ctl("campus", "reload", last=1)
    host.wait(60)
    converged_s = time.monotonic() - begin
    wanted = set(scenario.network.addresses().values())
    scenario.until(
        lambda: wanted <= {flow["source"] for flow in scenario.subflows()}, 30, "a subflow from every address"
    )
    scenario.console.passed(
        f"{MORE - 8} more links, leases, tables and rules in {converged_s:.1f} s; "
        f"subflows on the open connection after {time.monotonic() - begin:.1f} s"
    )
    scenario.mark(f"{MORE + 1} addresses")
    scenario.rates[MORE + 1] = scenario.settled_rate(scenario.download, MORE + 1)
    show_rates(scenario, 6)
    scenario.ctl("campus", "paths", first=4, last=4)
    factor = scenario.rates[MORE + 1] / scenario.rates[1]
    seen, detail = (
        f"{scenario.rates[MORE + 1]:.1f} Mbit/s",
        f"{factor:.1f} times as fast; reloaded in {converged_s:.1f} s",
    )
    scenario.rows.append(Row(f"the same connection, {MORE + 1} addresses", seen, detail))
    scenario.snapshot(f"{MORE + 1} addresses, one connection")
    scenario.console.pause(4)


def finish_download(scenario: Scenario) -> None:
    """End the download and say what became of it."""
    scenario.console.heading("The download that has been running all the time")
    samples, gap_s = scenario.download.samples(), scenario.download.longest_gap_s()
    last = scenario.download.stop()
    if last != "done":
        raise RuntimeError(f"the download: {last}")
    took_s, megabytes = samples[-1][0] - samples[0][0], samples[-1][1] / 1e6
    scenario.console.passed(
        f"one TCP connection for its program: {megabytes:.0f} MB in {took_s:.0f} s, every byte compared, never broken; "
        f"longest silence {gap_s:.1f} s"
    )
    detail = f"in {took_s:.0f} s, every byte right; longest silence {gap_s:.1f} s"
    scenario.rows.append(Row("the download through all this", f"{megabytes:.0f} MB", detail))
    scenario.programs.stop()
    scenario.console.pause(1)


def remove_everything(scenario: Scenario) -> None:
    """Remove what neod made, and look whether anything is left."""
    scenario.console.heading("And away: exactly what neod made is removed")
    scenario.mark("neodctl down")
    for host in HOSTS:
        scenario.ctl(host, "down", last=1)
    left = leftovers(scenario)
    scenario.console.command("campus$", "ip -brief link; ip rule; ip mptcp endpoint")
    scenario.console.output("\n".join(_looked(scenario)))
    for name in left:
        scenario.console.failed(f"left over: {name}")
    if not left:
        scenario.console.passed("nothing of neo is left: no link, address, rule, route, NAT table or namespace")
    scenario.rows.append(
        Row("neodctl down on all hosts", "nothing left" if not left else f"{len(left)} left", ", ".join(left))
    )
    scenario.console.pause(1.5)


def _looked(scenario: Scenario) -> list[str]:
    return scenario.network.sh("campus", "ip -brief link; ip rule; ip mptcp endpoint").splitlines()


def leftovers(scenario: Scenario) -> list[str]:
    """Return what is on the hosts that neod made, by the marks it leaves on everything."""
    found = []
    for host in HOSTS:
        seen = scenario.network.hosts[host].look().owned()
        found += [f"{host}: {each}" for each in (*seen.links, *seen.addresses, *seen.routes, *seen.rules)]
        if "table inet neo" in scenario.network.sh(host, "nft list tables"):
            found.append(f"{host}: table inet neo")
    if INNER in scenario.network.sh("campus", "ip netns list").split():
        found.append(f"namespace {INNER}")
    return found


def summary(scenario: Scenario) -> list[str]:
    """Return the table of all that was seen, as lines."""
    rows = [("WHAT", "SEEN", ""), *((row.what, row.seen, row.detail) for row in scenario.rows)]
    return table(rows)
