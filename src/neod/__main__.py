"""``python -m neod``: the daemon."""

import sys

from neod.daemon.main import main as run
from neod.observability.streams import guarded


def main() -> None:
    """Run the daemon and exit with its status."""
    sys.exit(guarded(run))


if __name__ == "__main__":
    main()
