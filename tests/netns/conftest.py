"""Adapters and programs on a real kernel, in namespaces that each test makes for itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
