"""The little that pictures of networks need: boxes, texts, arrows. Pure: a drawing in, SVG text out.

Every picture has a background of its own, so that it can be read on light and on dark pages. Text that would
leave its box is an error: the width of a character is estimated, generously, since fonts differ.
"""

from dataclasses import dataclass, field
from html import escape
from typing import Final

SANS: Final = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif"
MONO: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
WIDTH_EM: Final = {"sans": 0.54, "bold": 0.58, "mono": 0.605}
INK, DIM, LINE = "#1f2328", "#59636e", "#59636e"

FILLS: Final = {
    "plain": ("#f6f8fa", "#afb8c1"),
    "white": ("#ffffff", "#d0d7de"),
    "campus": ("#ddf4ff", "#0969da"),
    "relay": ("#fff8c5", "#9a6700"),
    "proxy": ("#dafbe1", "#1a7f37"),
    "inner": ("#fbefff", "#8250df"),
    "bad": ("#ffebe9", "#cf222e"),
}
ANCHORS: Final = {"left": "start", "middle": "middle", "right": "end"}


class TooWide(ValueError):
    """A text does not fit where it was put."""


def width_of(text: str, size: float, face: str = "sans") -> float:
    """Return about how wide a text is, in pixels."""
    return len(text) * size * WIDTH_EM[face]


@dataclass
class Drawing:
    """A picture of a width and a height, in pixels, with a title that says what it shows."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, text: str, *, size: float = 13, face: str = "sans", colour: str = INK,
        at: str = "left", room: float | None = None,
    ) -> None:  # fmt: skip
        """Write one line. *y* is its base line; *room* is how wide it may be."""
        wide = width_of(text, size, face)
        left = {"left": x, "middle": x - wide / 2, "right": x - wide}[at]
        if wide > (room or wide) or left < 4 or left + wide > self.width - 4:
            raise TooWide(f"{self.title}: {text!r} is about {wide:.0f} wide, at {left:.0f} of {room or self.width}")
        family = MONO if face == "mono" else SANS
        weight = ' font-weight="600"' if face == "bold" else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-family="{family}" font-size="{size:g}"{weight} fill="{colour}" '
            f'text-anchor="{ANCHORS[at]}" xml:space="preserve">{escape(text)}</text>'
        )

    def box(
        self, x: float, y: float, w: float, h: float, title: str = "", *lines: str, fill: str = "plain",
        face: str = "mono", size: float = 12.5, dashed: bool = False, centre: bool = False,
    ) -> None:  # fmt: skip
        """Draw a box with a title and lines in it: from its top, or with *centre* in its middle."""
        inside, edge = FILLS[fill]
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="7" fill="{inside}" stroke="{edge}" '
            f'stroke-width="1.4"{dash}/>'
        )
        at, left = ("middle", x + w / 2) if centre else ("left", x + 12)
        tall = 19 * bool(title) + 18 * len(lines)
        base = y + (h - tall) / 2 + 14 if centre or not title else y + 21
        if title:
            self.text(left, base, title, face="bold", at=at, room=w - 16)
            base += 19
        for line in lines:
            self.text(left, base, line, size=size, face=face, at=at, room=w - 16)
            base += 18

    def arrow(
        self, *points: tuple[float, float], colour: str = LINE, dashed: bool = False, both: bool = False,
        thick: float = 1.8, head: bool = True,
    ) -> None:  # fmt: skip
        """Draw a line through *points*, with a head at its end."""
        name = f"head{colour[1:]}"
        ends = f' marker-end="url(#{name})"' if head else ""
        ends += f' marker-start="url(#{name})"' if both else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{'M' if not number else 'L'}{x:g} {y:g}" for number, (x, y) in enumerate(points))
        self.parts.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{thick:g}" '
            f'stroke-linejoin="round"{dash}{ends}/>'
        )

    def label(self, x: float, y: float, text: str, *, colour: str = DIM, face: str = "sans", size: float = 12) -> None:
        """Write a short text in the middle of a line, on a ground of its own."""
        wide = width_of(text, size, face) + 10
        self.parts.append(
            f'<rect x="{x - wide / 2:g}" y="{y - size:g}" width="{wide:g}" height="{size + 6:g}" rx="4" '
            f'fill="#ffffff"/>'
        )
        self.text(x, y, text, size=size, face=face, colour=colour, at="middle")

    def dot(self, x: float, y: float, text: str, colour: str) -> None:
        """Draw a numbered dot."""
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="10.5" fill="{colour}"/>')
        self.text(x, y + 4.5, text, size=12.5, face="bold", colour="#ffffff", at="middle")

    def svg(self) -> str:
        """Return the picture."""
        body = "\n".join(self.parts)
        colours = sorted({part.split("url(#head")[1][:6] for part in self.parts if "url(#head" in part})
        heads = "".join(
            f'<marker id="head{colour}" viewBox="0 0 10 10" refX="8.5" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0.8 L9 5 L0 9.2 z" fill="#{colour}"/></marker>'
            for colour in colours
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-label="{escape(self.title)}">\n'
            f"<title>{escape(self.title)}</title>\n<defs>{heads}</defs>\n"
            f'<rect x="0.7" y="0.7" width="{self.width - 1.4:g}" height="{self.height - 1.4:g}" rx="10" '
            f'fill="#ffffff" stroke="#d0d7de" stroke-width="1.4"/>\n{body}\n</svg>\n'
        )
