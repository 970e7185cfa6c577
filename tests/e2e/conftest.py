"""End to end: the daemon and its client on a campus in namespaces, judged by the kernel."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.lab.fixtures import laboratory, new_campus, running

__all__ = ["laboratory", "new_campus", "running"]
