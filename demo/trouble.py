"""The second part: what goes wrong, while the download goes on."""

# ruff: noqa: TID251 (it measures)
import time

from tests.lab import poll
from tests.lab.netns import ip

from demo.opening import count, winner
from demo.story import Event, Row, Story
from demo.world import PUBLIC, RENEW_S

SABOTAGE = (  # host, command, what it is about
    ("campus", "ip link del neo3", "a macvlan"),
    ("campus", "ip route flush table 4", "a routing table"),
    ("campus", "ip address flush dev neo5", "a leased address"),
    ("relay1", "nft flush ruleset", "the relay's NAT"),
    ("server", "nft delete table inet neo", "the proxy server's NAT"),
)
MOVED = ("neo3", "10.8.250.3")


def sabotage(story: Story) -> None:
    """Break one thing after another."""
    story.stage.say("Somebody breaks things; the download goes on")
    for host, command, about in SABOTAGE:
        _break(story, host, command, about)


def _break(story: Story, host: str, command: str, about: str) -> None:
    before = story.last_event(host)
    story.stage.command(f"somebody@{host}#", command)
    story.mark(command, bad=True)
    story.world.sh(host, command)
    poll(lambda: _repairs(story, host, before), 15, 0.1, f"{command}: repaired")
    story.world.hosts[host].wait()
    story.download.goes_on()
    found = _repairs(story, host, before)
    story.show_events(host, len(story.events(host, before)), "repaired", 2)
    by = next((event["by"] for event in found if event["by"]), "")
    objects = count(len(found), "object")
    took_ms = max(event["duration_ms"] or 0.0 for event in found)
    story.stage.good(f"{objects} repaired, {took_ms:.1f} ms after the kernel told; by: {_who(by)}")
    story.rows.append(Row(f"{host}: {command}", f"{took_ms:.1f} ms", f"{about} is back; done by {_who(by)}"))
    story.stage.pause(1.2)


def _repairs(story: Story, host: str, after: int) -> list[Event]:
    return [event for event in story.events(host, after) if event["what"] == "repaired"]


def _who(by: str) -> str:
    return by or "somebody the kernel does not name"


def relay_dies(story: Story) -> None:
    """Take a relay away, dial anew meanwhile, and bring it back."""
    story.stage.say("A relay dies")
    through = [flow for flow in story.subflows() if flow["to"] == PUBLIC["relay1"]]
    story.stage.note(f"{len(through)} subflow of the download goes through relay1. Its cable is pulled.")
    before = story.measure(1.5)
    story.stage.command("core#", "ip link set relay1 down")
    story.mark("relay1 dies", bad=True)
    ip("core", "link", "set", "relay1", "down")
    during = story.measure(3)
    story.download.goes_on()
    story.stage.good(f"the download goes on: {before:.1f} Mbit/s before, {during:.1f} Mbit/s without the relay")
    _dial_meanwhile(story)
    story.snapshot("relay1 is dead; the download goes on")
    story.stage.command("core#", "ip link set relay1 up")
    story.mark("relay1 is back")
    ip("core", "link", "set", "relay1", "up")
    story.world.hosts["relay1"].wait()
    story.stage.good("relay1 is back, and neod there converged")
    detail = f"{during:.1f} Mbit/s without it, {before:.1f} before"
    story.rows.append(Row("relay1 dies", "goes on", detail))
    story.stage.pause(1.5)


def _dial_meanwhile(story: Story) -> None:
    begin = time.monotonic()
    second = story.programs.download("meanwhile")
    second.first_bytes()
    took_ms = (time.monotonic() - begin) * 1000
    second.stop()
    story.stage.good(f"a new connection does not wait for the dead one: {winner(story)}")
    story.rows.append(
        Row("a new connection meanwhile", f"{took_ms:.0f} ms", "to its first bytes, the client's start included")
    )


def _sources(story: Story) -> set[str | None]:
    return {flow["source"] for flow in story.subflows()}


def renumber(story: Story) -> None:
    """Let the DHCP server give one interface another address at its next renewal."""
    link, address = MOVED
    story.stage.say(f"The campus renumbers {link}, in the middle of the download")
    seen = story.world.hosts["campus"].look()
    mac = next(each.mac for each in seen.links if each.name == link)
    old, before = seen.address(link), story.last_event("campus")
    story.stage.command("gate#", f'echo "{mac},{address}" >> /etc/dnsmasq.hosts; kill -HUP dnsmasq')
    story.stage.note(f"{link} has {old}. Its next renewal, within {RENEW_S} s, is refused.")
    assert story.world.dhcp is not None
    story.world.dhcp.reserve(mac, address)
    try:
        story.until(lambda: story.world.addresses().get(link) == address, 30, f"{link} has {address}")
    except TimeoutError as late:
        leases = story.world.hosts["campus"].ctl("leases").out
        raise TimeoutError(f"{late}\n{leases}\n{story.world.dhcp.printed()[-1500:]}") from None
    story.mark(f"{link} renumbered")
    story.world.hosts["campus"].wait()
    told = [
        line.partition(": ")[2] for line in story.world.dhcp.printed().splitlines() if mac in line and "NAK" in line
    ]
    story.stage.command("gate$", "grep NAK /var/log/dnsmasq.log")
    story.stage.output("\n".join(told[-1:]))
    since = story.events("campus", before)
    story.show_events("campus", len(since), rf"{link}|{address}", 6)
    story.until(lambda: {address, old} & _sources(story) == {address}, 20, "the new subflow, without the old one")
    story.download.goes_on()
    story.stage.good(f"the same connection has a subflow from {address} now, and the one from {old} is closed")
    took = max((event["duration_ms"] or 0.0 for event in since if address in event["object"]), default=0.0)
    detail = f"{old} → {address}: address, routes, rule, subflow"
    story.rows.append(Row(f"{link} renumbered by the server", f"{took:.1f} ms", detail))
    story.stage.pause(2)
