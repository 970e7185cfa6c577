"""The end: more addresses than the kernel's path manager takes, and everything away again."""

# ruff: noqa: TID251 (it measures)
import time

from demo import files
from demo.chart import table
from demo.opening import show_rates
from demo.story import Row, Story
from demo.world import HOSTS, INNER

MORE = 24


def grow(story: Story) -> None:
    """Ask for 24 macvlans instead of 8, in the middle of the download."""
    story.stage.say(f"More than eight: {MORE} macvlans, and neod is the path manager")
    story.stage.note("The kernel's own path manager takes 8 addresses at most. neod's takes as many as there are.")
    host = story.world.hosts["campus"]
    host.write_config(files.text_of("campus").replace("count  = 8", f"count  = {MORE}"))
    story.stage.command("campus#", f"sed -i 's/count  = 8/count  = {MORE}/' /etc/neo/neo.toml")
    story.mark(f"reload: {MORE} macvlans")
    begin = time.monotonic()
    story.ctl("campus", "reload", last=1)
    host.wait(60)
    converged_s = time.monotonic() - begin
    wanted = set(story.world.addresses().values())
    story.until(lambda: wanted <= {flow["source"] for flow in story.subflows()}, 30, "a subflow from every address")
    story.stage.good(
        f"{MORE - 8} more links, leases, tables and rules in {converged_s:.1f} s; "
        f"subflows on the open connection after {time.monotonic() - begin:.1f} s"
    )
    story.mark(f"{MORE + 1} addresses")
    story.rates[MORE + 1] = story.settled_rate(story.download, MORE + 1)
    show_rates(story, 6)
    story.ctl("campus", "paths", first=4, last=4)
    factor = story.rates[MORE + 1] / story.rates[1]
    seen, detail = f"{story.rates[MORE + 1]:.1f} Mbit/s", f"{factor:.1f} times as fast; reloaded in {converged_s:.1f} s"
    story.rows.append(Row(f"the same connection, {MORE + 1} addresses", seen, detail))
    story.snapshot(f"{MORE + 1} addresses, one connection")
    story.stage.pause(4)


def finish_download(story: Story) -> None:
    """End the download and say what became of it."""
    story.stage.say("The download that has been running all the time")
    samples, gap_s = story.download.samples(), story.download.longest_gap_s()
    last = story.download.stop()
    if last != "done":
        raise RuntimeError(f"the download: {last}")
    took_s, megabytes = samples[-1][0] - samples[0][0], samples[-1][1] / 1e6
    story.stage.good(
        f"one TCP connection for its program: {megabytes:.0f} MB in {took_s:.0f} s, every byte compared, never broken; "
        f"longest silence {gap_s:.1f} s"
    )
    detail = f"in {took_s:.0f} s, every byte right; longest silence {gap_s:.1f} s"
    story.rows.append(Row("the download through all this", f"{megabytes:.0f} MB", detail))
    story.programs.stop()
    story.stage.pause(1)


def away(story: Story) -> None:
    """Remove what neod made, and look whether anything is left."""
    story.stage.say("And away: exactly what neod made is removed")
    story.mark("neodctl down")
    for host in HOSTS:
        story.ctl(host, "down", last=1)
    left = leftovers(story)
    story.stage.command("campus$", "ip -brief link; ip rule; ip mptcp endpoint")
    story.stage.output("\n".join(_looked(story)))
    for name in left:
        story.stage.bad(f"left over: {name}")
    if not left:
        story.stage.good("nothing of neo is left: no link, address, rule, route, NAT table or namespace")
    story.rows.append(
        Row("neodctl down on all hosts", "nothing left" if not left else f"{len(left)} left", ", ".join(left))
    )
    story.stage.pause(1.5)


def _looked(story: Story) -> list[str]:
    return story.world.sh("campus", "ip -brief link; ip rule; ip mptcp endpoint").splitlines()


def leftovers(story: Story) -> list[str]:
    """Return what is on the hosts that neod made, by the marks it leaves on everything."""
    found = []
    for host in HOSTS:
        seen = story.world.hosts[host].look().owned()
        found += [f"{host}: {each}" for each in (*seen.links, *seen.addresses, *seen.routes, *seen.rules)]
        if "table inet neo" in story.world.sh(host, "nft list tables"):
            found.append(f"{host}: table inet neo")
    if INNER in story.world.sh("campus", "ip netns list").split():
        found.append(f"namespace {INNER}")
    return found


def summary(story: Story) -> list[str]:
    """Return the table of all that was seen, as lines."""
    rows = [("WHAT", "SEEN", ""), *((row.what, row.seen, row.detail) for row in story.rows)]
    return table(rows)
