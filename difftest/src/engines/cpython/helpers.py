"""What the engine needs on Python's side. What it shares with the adapter stands there."""
import gc
import sys
import sysconfig
from contextvars import Context, ContextVar, Token, copy_context

from attempts import ATTEMPTS
from steering import steer
from values import Name, Plain, Raised

# A watcher that fails is reported as unraisable, on standard error unless this says otherwise.
sys.unraisablehook = lambda unraisable: None

MISSING = Token.MISSING


def layout_is_known():
    locked = not sysconfig.get_config_var("Py_GIL_DISABLED")
    return locked and ContextVar.__basicsize__ == KNOWN_SIZE


def has_previous(context):
    return any(type(referent) is Context for referent in gc.get_referents(context))
