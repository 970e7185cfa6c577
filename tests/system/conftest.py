"""End to end: the daemon and its client on a campus in namespaces, judged by the kernel."""

from tests.lab.fixtures import laboratory, new_campus, running

__all__ = ["laboratory", "new_campus", "running"]
