"""What the interpreter is, and what it can."""
import sys

from steering import steer
from values import Name

try:
    import ctypes
    import mmap
except ImportError:
    ctypes = mmap = None

try:
    from __pypy__ import get_contextvar_context
except ImportError:
    get_contextvar_context = None

CPYTHON = sys.implementation.name == "cpython"


def can_steer():
    """Whether the address of a dead variable is used again, and is in the hash of the next."""
    if not CPYTHON:
        return False
    try:
        return all(hash(steer(Name("probe"), wanted, {})) == wanted for wanted in (0, 1, -2, 1 << 62, -1 << 63))
    except Exception:
        return False


STEERED = can_steer()
