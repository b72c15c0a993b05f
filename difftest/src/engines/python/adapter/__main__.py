"""Answers operation traces with the `contextvars` of whatever Python runs this folder.

Started as `PYTHON -I FOLDER`, perhaps with `-X dev`. Needs the standard library alone, and no syntax newer
than 3.7. `session` carries a trace out, by `operations`; `protocol` answers with what it recorded.

The protocol is one JSON object a line. First the adapter says who it is:

    {"protocol":1,"engine":{"name":"cpython","version":"3.11.7"},"python":"3.11"}

and adds `"steered":false` where a variable cannot be given the hash that a trace wants, and
`"finalizes_promptly":false` where an object outlives its last reference. To each
request `{"observe":N,"steps":[...]}` it answers `{"answers":[...],"observations":[...]}`, or
`{"failure":"text"}` where it fails itself. Each trace starts from a fresh state, in a thread of its
own. At the end of its input the adapter ends.
"""
import _thread
import signal
import sys

from protocol import serve

# Ctrl-C ends the adapter with its parent, and leaves no traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# A watcher that fails is reported as unraisable, on standard error unless this says otherwise.
sys.unraisablehook = lambda unraisable: None
# Each nested `Context.run` of a trace takes three calls.
sys.setrecursionlimit(10000)
_thread.stack_size(16 << 20)
serve()
