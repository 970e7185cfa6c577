"""The page: one file without scripts or anything from elsewhere, in light and dark."""

import os
import platform
from html import escape
from pathlib import Path

from demo.scenario import Scenario
from demo.svg import throughput, topology

STYLE = (Path(__file__).parent / "style.css").read_text()


def write_page(scenario: Scenario, directory: Path) -> Path:
    """Write ``index.html`` and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "index.html"
    path.write_text(page(scenario))
    owner = ROOT_OWNER.stat()
    if os.geteuid() == 0 and owner.st_uid:  # made with sudo: it belongs to whoever owns the tree
        for each in (directory, path):
            os.chown(each, owner.st_uid, owner.st_gid)
    return path


ROOT_OWNER = Path(__file__).resolve().parent


def page(scenario: Scenario) -> str:
    """Return the whole page, as well-formed XML that is HTML as well."""
    body = [
        "<h1>neo: many addresses, one connection</h1>",
        '<p class="dim">Everything below was measured while <code>make demo</code> ran, in network namespaces of one '
        f"machine ({os.cpu_count()} processors, Linux {escape(platform.release())}). A campus gives every address a "
        "narrow share; one Multipath TCP connection uses all of them; neod keeps addresses, routes, NAT and "
        "namespaces as the hosts' files say, whatever happens to them.</p>",
        _tiles(scenario),
        "<h2>Throughput over time</h2>",
        _throughput(scenario),
        "<h2>The system, moment by moment</h2>",
        *(_frame(topology(frame), frame.label) for frame in scenario.frames),
        _states_legend(),
        "<h2>What was done, and what was seen</h2>",
        _table(scenario),
        "<h2>What the console said</h2>",
        *(_scene(title, lines) for title, lines in scenario.console.recorded if lines and title != "Summary"),
    ]
    head = (
        '<meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f'<meta name="color-scheme" content="light dark"/><title>neo: the demo</title><style>{STYLE}</style>'
    )
    inner = "\n".join(body)
    return f'<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head>{head}</head>\n<body><main>\n{inner}\n</main></body></html>\n'


def _tiles(scenario: Scenario) -> str:
    one = scenario.rates[1]
    tiles = [(f"{rate:.1f} Mbit/s", _factor(count, rate, one)) for count, rate in sorted(scenario.rates.items())]
    repairs = [row for row in scenario.rows if row.what.partition(": ")[0] in ("campus", "relay1", "server")]
    slowest = max((float(row.seen.split()[0]) for row in repairs), default=0.0)
    tiles.append((f"{slowest:.0f} ms", f"the slowest of {len(repairs)} repairs"))
    inner = "".join(f'<div class="card"><b>{escape(big)}</b><span>{escape(small)}</span></div>' for big, small in tiles)
    return f'<div class="tiles">{inner}</div>'


def _factor(count: int, rate: float, one: float) -> str:
    return (
        "1 address, plain TCP" if count == 1 else f"{count} addresses, one connection: {rate / one:.1f} times as fast"
    )


def _throughput(scenario: Scenario) -> str:
    keys = (("nic", "the NIC's own address"), ("a1", "neo1 … neo8"), ("b1", "neo9 … neo24"),
            ("r1", "through relay1"), ("r2", "through relay2"))  # fmt: skip
    legend = "".join(f'<span><i style="background:var(--{name})"></i>{said}</span>' for name, said in keys)
    note = (
        "Bytes that arrived at the interfaces of the campus host, half a second each, one band an address; below, "
        "those that arrived at the relays. Dashed lines: what happened, in red what somebody broke."
    )
    drawn = throughput(scenario.samples.series, scenario.samples.marks)
    return f'<figure>{drawn}<div class="legend">{legend}</div><figcaption>{note}</figcaption></figure>'


def _frame(drawn: str, label: str) -> str:
    return f"<figure>{drawn}<figcaption>{escape(label)}</figcaption></figure>"


def _states_legend() -> str:
    keys = (("ok", "in sync with its file; a full circle carries data"), ("warn", "drift"), ("bad", "dead"),
            ("a2", "carries data of the download"))  # fmt: skip
    return '<div class="legend">' + "".join(
        f'<span><i style="background:var(--{name})"></i>{said}</span>' for name, said in keys
    ) + "</div>"  # fmt: skip


def _table(scenario: Scenario) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.what)}</td><td>{escape(row.seen)}</td><td>{escape(row.detail)}</td></tr>"
        for row in scenario.rows
    )
    return f'<div class="card scroll"><table><tr><th>what</th><th>seen</th><th></th></tr>{rows}</table></div>'


def _scene(title: str, lines: list[str]) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(chr(10).join(lines))}</pre></details>"
