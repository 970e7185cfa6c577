"""The second part: faults while the download goes on."""

# ruff: noqa: TID251 (it measures)
import time

from tests.lab import poll
from tests.lab.netns import ip

from demo.baseline import count, winner
from demo.network import PUBLIC, RENEW_S
from demo.scenario import Event, Row, Scenario

SABOTAGE = (  # host, command, what it is about
    ("campus", "ip link del neo3", "a macvlan"),
    ("campus", "ip route flush table 4", "a routing table"),
    ("campus", "ip address flush dev neo5", "a leased address"),
    ("relay1", "nft flush ruleset", "the relay's NAT"),
    ("server", "nft delete table inet neo", "the proxy server's NAT"),
)
MOVED = ("neo3", "10.8.250.3")


def delete_objects(scenario: Scenario) -> None:
    """Break one thing after another."""
    scenario.console.heading("Somebody breaks things; the download goes on")
    for host, command, about in SABOTAGE:
        _break(scenario, host, command, about)


def _break(scenario: Scenario, host: str, command: str, about: str) -> None:
    before = scenario.last_event(host)
    scenario.console.command(f"somebody@{host}#", command)
    scenario.mark(command, bad=True)
    scenario.network.sh(host, command)
    poll(lambda: _repairs(scenario, host, before), 15, 0.1, f"{command}: repaired")
    scenario.network.hosts[host].wait()
    scenario.download.goes_on()
    found = _repairs(scenario, host, before)
    scenario.show_events(host, len(scenario.events(host, before)), "repaired", 2)
    by = next((event["by"] for event in found if event["by"]), "")
    objects = count(len(found), "object")
    took_ms = max(event["duration_ms"] or 0.0 for event in found)
    scenario.console.passed(f"{objects} repaired, {took_ms:.1f} ms after the kernel told; by: {_actor(by)}")
    scenario.rows.append(Row(f"{host}: {command}", f"{took_ms:.1f} ms", f"{about} is back; done by {_actor(by)}"))
    scenario.console.pause(1.2)


def _repairs(scenario: Scenario, host: str, after: int) -> list[Event]:
    return [event for event in scenario.events(host, after) if event["what"] == "repaired"]


def _actor(by: str) -> str:
    return by or "somebody the kernel does not name"


def relay_fails(scenario: Scenario) -> None:
    """Take a relay away, dial anew meanwhile, and bring it back."""
    scenario.console.heading("A relay dies")
    through = [flow for flow in scenario.subflows() if flow["to"] == PUBLIC["relay1"]]
    scenario.console.note(f"{len(through)} subflow of the download goes through relay1. Its cable is pulled.")
    before = scenario.measure(1.5)
    scenario.console.command("core#", "ip link set relay1 down")
    scenario.mark("relay1 dies", bad=True)
    ip("core", "link", "set", "relay1", "down")
    during = scenario.measure(3)
    scenario.download.goes_on()
    scenario.console.passed(f"the download goes on: {before:.1f} Mbit/s before, {during:.1f} Mbit/s without the relay")
    _dial_meanwhile(scenario)
    scenario.snapshot("relay1 is dead; the download goes on")
    scenario.console.command("core#", "ip link set relay1 up")
    scenario.mark("relay1 is back")
    ip("core", "link", "set", "relay1", "up")
    scenario.network.hosts["relay1"].wait()
    scenario.console.passed("relay1 is back, and neod there converged")
    detail = f"{during:.1f} Mbit/s without it, {before:.1f} before"
    scenario.rows.append(Row("relay1 dies", "goes on", detail))
    scenario.console.pause(1.5)


def _dial_meanwhile(scenario: Scenario) -> None:
    begin = time.monotonic()
    second = scenario.programs.download("meanwhile")
    second.first_bytes()
    took_ms = (time.monotonic() - begin) * 1000
    second.stop()
    scenario.console.passed(f"a new connection does not wait for the dead one: {winner(scenario)}")
    scenario.rows.append(
        Row("a new connection meanwhile", f"{took_ms:.0f} ms", "to its first bytes, the client's start included")
    )


def _sources(scenario: Scenario) -> set[str | None]:
    return {flow["source"] for flow in scenario.subflows()}


def change_addresses(scenario: Scenario) -> None:
    """Let the DHCP server give one interface another address at its next renewal."""
    link, address = MOVED
    scenario.console.heading(f"The campus renumbers {link}, in the middle of the download")
    seen = scenario.network.hosts["campus"].look()
    mac = next(each.mac for each in seen.links if each.name == link)
    old, before = seen.address(link), scenario.last_event("campus")
    scenario.console.command("gate#", f'echo "{mac},{address}" >> /etc/dnsmasq.hosts; kill -HUP dnsmasq')
    scenario.console.note(f"{link} has {old}. Its next renewal, within {RENEW_S} s, is refused.")
    assert scenario.network.dhcp is not None
    scenario.network.dhcp.reserve(mac, address)
    try:
        scenario.until(lambda: scenario.network.addresses().get(link) == address, 30, f"{link} has {address}")
    except TimeoutError as late:
        leases = scenario.network.hosts["campus"].ctl("leases").out
        raise TimeoutError(f"{late}\n{leases}\n{scenario.network.dhcp.printed()[-1500:]}") from None
    scenario.mark(f"{link} renumbered")
    scenario.network.hosts["campus"].wait()
    received = [
        line.partition(": ")[2]
        for line in scenario.network.dhcp.printed().splitlines()
        if mac in line and "NAK" in line
    ]
    scenario.console.command("gate$", "grep NAK /var/log/dnsmasq.log")
    scenario.console.output("\n".join(received[-1:]))
    since = scenario.events("campus", before)
    scenario.show_events("campus", len(since), rf"{link}|{address}", 6)
    scenario.until(lambda: {address, old} & _sources(scenario) == {address}, 20, "the new subflow, without the old one")
    scenario.download.goes_on()
    scenario.console.passed(f"the same connection has a subflow from {address} now, and the one from {old} is closed")
    took = max((event["duration_ms"] or 0.0 for event in since if address in event["object"]), default=0.0)
    detail = f"{old} → {address}: address, routes, rule, subflow"
    scenario.rows.append(Row(f"{link} renumbered by the server", f"{took:.1f} ms", detail))
    scenario.console.pause(2)
