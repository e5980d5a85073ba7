"""The `clusterkit` command: `python -m clusterkit`."""

from __future__ import annotations

import os
import signal
import sys

from . import _clusterkit


def main() -> int:
    """Runs the command with this process's arguments; its exit code."""
    # The command has its own way with signals, and Python's handlers could not run while it does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    sys.stdout.flush()
    # A demo starts its nodes by it. Not by the path of this file: the package may be in a zip file.
    program: list[str | os.PathLike[str]] = [sys.executable, "-m", "clusterkit"]
    return _clusterkit.run_command(program, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
