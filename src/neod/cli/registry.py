"""All commands of ``neodctl``, one line each: name, module, help.

The module has ``COMMANDS``, a mapping from name to ``Command``, and is only
imported when the command is run.
"""

from typing import Final

REGISTRY: Final[tuple[tuple[str, str, str], ...]] = (
    ("status", "neod.cli.status", "paths, forwards and namespaces, and every drift"),
    ("diff", "neod.cli.plan", "what separates the kernel from the file, field by field"),
    ("plan", "neod.cli.plan", "what a pass would do now, or with FILE; changes nothing"),
    ("apply", "neod.cli.apply", "one full pass now, and wait for it"),
    ("reload", "neod.cli.reload", "read the file again, and print the plan that led to"),
    ("confirm", "neod.cli.reload", "keep what reload --confirm brought"),
    ("validate", "neod.cli.validate", "errors and warnings of a file; needs no daemon"),
    ("show", "neod.cli.show", "the desired or the observed resources"),
    ("paths", "neod.cli.paths", "every MPTCP connection with its subflows; --watch for a live view"),
    ("leases", "neod.cli.show", "every DHCP lease"),
    ("why", "neod.cli.why", "the line of the file, the lease and the last actions on an object"),
    ("events", "neod.cli.events", "what changed, who did it, what neod did, how long it took"),
    ("wait", "neod.cli.wait", "wait until everything is converged"),
    ("pause", "neod.cli.pause", "observe and report, change nothing"),
    ("resume", "neod.cli.pause", "end a pause"),
    ("down", "neod.cli.apply", "remove everything neod owns"),
    ("import", "neod.cli.import_ifupdown", "the neo.toml that replaces macvlans of an interfaces file"),
    ("doctor", "neod.cli.doctor", "probes of kernel and host, each with evidence and remedy"),
    ("schema", "neod.cli.validate", "JSON Schema of the file"),
    ("completion", "neod.cli.completion", "completion script for a shell"),
)
