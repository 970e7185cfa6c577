"""The pictures of the page: the topology with its state in colours, and the throughput over time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from demo.network import NIC, PUBLIC, RATE_MBIT
from demo.sampler import Mark, Series
from demo.scenario import Frame

Points = list[tuple[float, float]]


def text(x: float, y: float, said: str, kind: str = "", anchor: str = "start", more: str = "") -> str:
    """Return a text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>{escape(said)}</text>'


# ── topology ────────────────────────────────────────────────────────────────────────────────────

BOXES = {  # name: (x, y, width, height, second line)
    "campus": (10, 62, 196, 176, "campus host"),
    "gate": (256, 112, 130, 76, f"DHCP, throttle: · {RATE_MBIT:g} Mbit/s an address"),
    "core": (436, 118, 96, 64, "the Internet"),
    "relay1": (600, 20, 150, 56, PUBLIC["relay1"]),
    "relay2": (600, 92, 150, 56, PUBLIC["relay2"]),
    "server": (600, 164, 150, 56, PUBLIC["server"]),
    "web": (600, 236, 150, 48, PUBLIC["web"]),
    "proxy": (816, 92, 168, 128, "namespace: ss-server"),
}
WIRES = (("campus", "gate"), ("gate", "core"), *(("core", name) for name in ("relay1", "relay2", "server", "web")))


def topology(frame: Frame) -> str:
    """Return the system at one moment."""
    parts = [
        '<svg class="topology" viewBox="0 0 1000 300" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{escape(frame.label)}</title>",
    ]
    parts += [_wire(one, other, frame) for one, other in (*WIRES, ("server", "proxy"))]
    parts += [_forwarded(name, frame) for name in ("relay1", "relay2")]
    parts += [_box(name, frame) for name in BOXES]
    parts += _paths(frame)
    return "\n".join([*parts, "</svg>"])


def _wire(one: str, other: str, frame: Frame) -> str:
    (x1, y1, w1, h1, _), (x2, y2, _w2, h2, _) = BOXES[one], BOXES[other]
    state = "dead" if frame.hosts.get(other) == "dead" else "wire"
    if state == "wire" and (other in frame.relays or other in ("gate", "core", "server", "proxy", "web")):
        state = "carries"
    begin, end = (x1 + w1, y1 + h1 / 2), (x2, y2 + h2 / 2)
    middle = (begin[0] + end[0]) / 2
    path = f"M{begin[0]},{begin[1]} C{middle},{begin[1]} {middle},{end[1]} {end[0]},{end[1]}"
    return f'<path d="{path}" class="{state}"/>'


def _forwarded(name: str, frame: Frame) -> str:
    """Return the dashed line of what a relay hands on to the proxy server."""
    x, y, width, height, _ = BOXES[name]
    state = "carries" if name in frame.relays else "wire"
    if frame.hosts.get(name) == "dead":
        state = "dead"
    server_x, server_y, server_width, _, _ = BOXES["server"]
    side = x + width
    target = (server_x + server_width, server_y + 12)
    path = f"M{side},{y + height / 2} C{side + 44},{y + height / 2} {side + 44},{target[1]} {target[0]},{target[1]}"
    return f'<path d="{path}" class="{state} forwarded"/>'


def _box(name: str, frame: Frame) -> str:
    x, y, width, height, second = BOXES[name]
    state = frame.hosts.get("server" if name == "proxy" else name, "plain")
    head = y + (22 if height < 100 else 24)
    role = {"campus": "campus", "gate": "gate", "core": "core"}.get(name, name)
    lines = [
        f'<g class="box {state}"><rect x="{x}" y="{y}" width="{width}" height="{height}" rx="9"/>',
        text(x + 12, head, role, "name"),
    ]
    for number, part in enumerate(second.split(" · ")):
        lines.append(text(x + 12, head + 17 + 14 * number, part, "small"))
    if name == "proxy":
        lines += [
            text(x + 12, head + 36, "announces, over MPTCP:", "small"),
            text(x + 12, head + 52, PUBLIC["relay1"], "small"),
            text(x + 12, head + 68, PUBLIC["relay2"], "small"),
        ]
    if state in STATES:
        lines.append(f'<circle cx="{x + width - 14}" cy="{y + 14}" r="5"/>')
        lines.append(text(x + width - 24, y + 18, STATES[state], "state", "end"))
    return "".join(lines) + "</g>"


STATES = {"in-sync": "in sync", "drift": "drift", "dead": "dead"}


def _paths(frame: Frame) -> list[str]:
    """Return a dot for each address of the campus host; full when it carries data."""
    x, y, _width, _height, _ = BOXES["campus"]
    parts = []
    for number, (name, state, carries) in enumerate(frame.paths):
        cx, cy = x + 24 + number % 7 * 25, y + 74 + number // 7 * 26
        kind = ("in-sync" if state == "in-sync" else "drift") + (" carries" if carries else "")
        title = f"{name}: {state}, {'carries data' if carries else 'carries nothing'}"
        parts.append(
            f'<g class="path {kind}"><title>{escape(title)}</title><circle cx="{cx}" cy="{cy}" r="9.5"/>'
            + text(cx, cy + 3.5, "·" if name == NIC else name.removeprefix("neo"), "number", "middle")
            + "</g>"
        )
    return parts


# ── throughput over time ────────────────────────────────────────────────────────────────────────

WIDTH, LEFT, RIGHT = 1000, 56, 16
TOP, HEIGHT, STRIP_GAP, STRIP = 150, 260, 46, 70
BUCKET_S = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """From seconds and Mbit/s to places in the picture."""

    seconds: float
    most: float
    top: float
    height: float

    def x(self, at: float) -> float:
        """Return the place of an instant."""
        return LEFT + at / self.seconds * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the place of a rate."""
        return self.top + self.height * (1 - min(value, self.most) / self.most)


def throughput(series: Series, marks: Sequence[Mark]) -> str:
    """Return what came in at each address, one on the other, with what happened; below, what the relays received."""
    begin, seconds = series.times[0], series.times[-1] - series.times[0]
    layers = _layers(series, seconds)
    totals = [sum(values) for values in zip(*(rates for _n, rates in layers), strict=True)]
    scale = Scale(seconds, round_step(max(totals)), TOP, HEIGHT)
    strips = {name: bucketed(series.mbit_s(f"{name}/eth0"), begin, seconds) for name in ("relay1", "relay2")}
    most = round_step(max((max(rates) for rates in strips.values()), default=1))
    low = Scale(seconds, most, TOP + HEIGHT + STRIP_GAP, STRIP)
    total_height = low.top + STRIP + 44
    view = f'viewBox="0 0 {WIDTH} {total_height:.0f}"'
    return "\n".join(
        [
            f'<svg class="throughput" {view} role="img" xmlns="http://www.w3.org/2000/svg">',
            "<title>Throughput over time</title>",
            *_grid(scale, "Mbit/s received, by address"),
            *_stack(layers, scale),
            *_grid(low, "through relays"),
            *(_line(name, rates, low) for name, rates in strips.items()),
            *_time_axis(scale, low.top + STRIP),
            *_marks([(mark.at_s - begin, mark) for mark in marks], scale, low.top + STRIP),
            "</svg>",
        ]
    )


def bucketed(points: Points, begin: float, seconds: float) -> list[float]:
    """Return the mean rate of each half second since *begin*."""
    count = max(1, int(seconds / BUCKET_S))
    sums, numbers = [0.0] * count, [0] * count
    for at, rate in points:
        place = min(count - 1, int((at - begin) / BUCKET_S))
        sums[place] += rate
        numbers[place] += 1
    return [total / number if number else 0.0 for total, number in zip(sums, numbers, strict=True)]


def round_step(value: float) -> float:
    """Return a round number that is not less."""
    return next(step for step in (1, 2, 5, 8, 10, 20, 30, 40, 50, 80, 100, 120, 150, 200, 500, 1e9) if step >= value)


def _layers(series: Series, seconds: float) -> list[tuple[str, list[float]]]:
    """Return the rates of each address of the campus host; the NIC's own are what its macvlans did not receive."""
    begin = series.times[0]
    names = [name for name in series.names("campus") if name != f"campus/{NIC}"]
    found = {name.partition("/")[2]: bucketed(series.mbit_s(name), begin, seconds) for name in names}
    whole = bucketed(series.mbit_s(f"campus/{NIC}"), begin, seconds)
    others = [sum(values) for values in zip(*found.values(), strict=True)] or [0.0] * len(whole)
    own = [max(0.0, total - other) for total, other in zip(whole, others, strict=True)]
    return [(NIC, own), *found.items()]


def _stack(layers: list[tuple[str, list[float]]], scale: Scale) -> list[str]:
    below = [0.0] * len(layers[0][1])
    parts = []
    for number, (name, rates) in enumerate(layers):
        above = [low + rate for low, rate in zip(below, rates, strict=True)]
        places = [scale.x((n + 0.5) * BUCKET_S) for n in range(len(rates))]
        there = [f"{x:.1f},{scale.y(value):.1f}" for x, value in zip(places, above, strict=True)]
        back = [f"{x:.1f},{scale.y(value):.1f}" for x, value in zip(places, below, strict=True)]
        group = "nic" if number == 0 else "first" if number <= 8 else "more"
        shade = "even" if number % 2 else "odd"
        kind, points = f"layer {group} {shade}", " ".join((*there, *reversed(back)))
        parts.append(f'<polygon id="series-{name}" class="{kind}" points="{points}"><title>{name}</title></polygon>')
        below = above
    return parts


def _line(name: str, rates: list[float], scale: Scale) -> str:
    points = " ".join(f"{scale.x((n + 0.5) * BUCKET_S):.1f},{scale.y(rate):.1f}" for n, rate in enumerate(rates))
    return f'<polyline id="series-{name}" class="relay {name}" points="{points}"><title>{name}</title></polyline>'


def _grid(scale: Scale, label: str) -> list[str]:
    """Return lines at round rates, with their values, and what is shown."""
    steps = 4 if scale.height > 100 else 2
    parts = [text(LEFT, scale.top - 10, label, "axis title")] if scale.top != TOP else []
    if scale.top == TOP:
        parts.append(text(14, scale.top + scale.height / 2, label, "axis title", "middle",
                          f' transform="rotate(-90 14 {scale.top + scale.height / 2:.0f})"'))  # fmt: skip
    for step in range(steps + 1):
        value = scale.most * step / steps
        y = scale.y(value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(text(LEFT - 8, y + 4, f"{value:g}", "axis", "end"))
    return parts


def _time_axis(scale: Scale, bottom: float) -> list[str]:
    step = next(each for each in (2, 5, 10, 20, 60, 600) if scale.seconds / each <= 14)
    parts = [text((WIDTH + LEFT) / 2, bottom + 36, "seconds since the start", "axis title", "middle")]
    for at in range(0, int(scale.seconds) + 1, step):
        x = scale.x(at)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.0f}" y2="{bottom + 5:.0f}" class="tick"/>')
        parts.append(text(x, bottom + 18, str(at), "axis", "middle"))
    return parts


def _marks(marks: list[tuple[float, Mark]], scale: Scale, bottom: float) -> list[str]:
    """Return a line for each event, its label slanted above; labels that would touch are moved apart."""
    parts = []
    places = spread([scale.x(at) for at, _mark in marks], 17.0, WIDTH - RIGHT - 60)
    for place, (at, mark) in zip(places, marks, strict=True):
        x, kind = scale.x(at), "mark bad" if mark.bad else "mark"
        path = f"M{place:.1f},{TOP - 26} L{x:.1f},{TOP - 6} L{x:.1f},{bottom:.0f}"
        parts.append(f'<path d="{path}" class="{kind}"/>')
        turn = f' transform="rotate(-42 {place + 3:.1f} {TOP - 30})"'
        parts.append(text(place + 3, TOP - 30, mark.label, f"{kind} label", "start", turn))
    return parts


def spread(places: Sequence[float], least: float, end: float) -> list[float]:
    """Return the places in their order, at least *least* apart and not behind *end*, moved as little as needed."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + least) if moved else place)
    limit = end
    for number in range(len(moved) - 1, -1, -1):
        moved[number] = min(moved[number], limit)
        limit = moved[number] - least
    return moved
