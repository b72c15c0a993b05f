"""What each operation of a trace does.

Each takes the session and the step, and answers an outcome. None of them carries the trace on, so that
what they raise has nothing else behind it.
"""
from operations import capi, contexts, objects, variables

# `Context.run`, `return`, `raise`, `start_new_thread` and `end_thread` are the session's own. What
# is not here, such as `context_ver`, no program can ask of the interpreter.
OPERATIONS = {}
for group in (variables, contexts, objects, capi):
    OPERATIONS.update(group.OPERATIONS)
