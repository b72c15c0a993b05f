"""The parts of tools/mutants."""

import sys


def refuse(reason):
    """Ends with the status of bad usage or input."""
    print(f"tools/mutants: {reason}", file=sys.stderr)
    sys.exit(2)
