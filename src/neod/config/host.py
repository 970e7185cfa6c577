"""What of this host is in the way of a file's translation, in one line each."""

from dataclasses import replace

from neod.features.intents import Intents
from neod.features.nat.advice import advice, of_marks, taken, targets_outside
from neod.features.nat.compile import AnswersFragment
from neod.features.parts import NatPart
from neod.kernel.host_view import listed_marks, look, programs
from neod.model.host import HostView


def host_warnings(intents: Intents) -> tuple[str, ...]:
    """Return what is in the way; nothing is looked at for a file without translation."""
    return advice(intents, host_view(intents)) if intents.of(NatPart) else ()


def thorough_warnings(intents: Intents) -> tuple[str, ...]:
    """Return what is in the way, with who uses marks in rules of nftables and iptables: other programs list them."""
    marking = any(isinstance(one, AnswersFragment) for one in intents.fragments)
    return host_warnings(intents) + (tuple(of_marks(intents, listed_marks())) if marking else ())


def host_view(intents: Intents) -> HostView:
    """Return what the host is, as far as *intents* are concerned with it."""
    view = look(targets_outside(intents))
    return replace(view, programs=programs({one.inode for one in taken(intents, view)}))
