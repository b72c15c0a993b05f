"""Who the adapter is, and one answer for each request."""
import gc
import json
import os
import sys
import sysconfig
import traceback

from interpreter import CPYTHON, STEERED
from session import Session


def respond(line):
    request = json.loads(line)
    session = Session(request["steps"], request["observe"])
    # When the collector runs must not depend on what a trace did before.
    gc.disable()
    try:
        session.run()
    finally:
        gc.enable()
    if session.failure is not None:
        return json.dumps({"failure": session.failure})
    answers = ",".join('{"outcome":%s}' % answer for answer in session.answers)
    return '{"answers":[%s],"observations":[%s]}' % (answers, ",".join(session.observations))


def hello():
    version = ".".join(map(str, sys.implementation.version[:3]))
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        version += "t"
    if sys.flags.dev_mode:
        version += " in development mode"
    said = {
        "protocol": 1,
        "engine": {"name": sys.implementation.name, "version": version},
        "python": "%d.%d" % sys.version_info[:2],
    }
    if not STEERED:
        said["steered"] = False
    if not CPYTHON:
        said["finalizes_promptly"] = sys.implementation.name == "rustpython"
    return json.dumps(said, separators=(",", ":"))


def serve():
    # What else writes to standard output must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def say(line):
        answers.write(line.encode("ascii") + b"\n")
        answers.flush()

    say(hello())
    for line in sys.stdin.buffer:
        try:
            response = respond(line)
        except Exception:
            response = json.dumps({"failure": traceback.format_exc()})
        say(response)
