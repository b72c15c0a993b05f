"""What is asked of objects of every kind: comparison, `repr`, hash, references and their end."""
import gc
import operator
import weakref

from attempts import ATTEMPTS
from errors import SURFACE, SWITCH, of_type, recognise
from interpreter import CPYTHON
from outcomes import FALSE, NONE, SKIPPED, TRUE, UNSUPPORTED, text
from values import EqualityRaised


def compare(compared):
    def operate(session, step):
        left, right = session.operand(step["left"]), session.operand(step["right"])
        try:
            return TRUE if compared(left, right) else FALSE
        except EqualityRaised as error:
            return '{"error":{"kind":"equality_raised","value":"%s"}}' % error.args[0].name
        except Exception as error:
            return of_type(error)

    return operate


def object_repr(session, step):
    return text(session.repr(session.operand(step["object"])))


def object_hash(session, step):
    found = session.operand(step["object"])
    try:
        hashed = hash(found)
    except Exception as error:
        return of_type(error)
    return '{"hash":%d}' % hashed if step["object"].startswith("var") else NONE


def attempt(session, step):
    name = step["object"]
    found = session.operand(name)
    tried = ATTEMPTS.get(step["action"])
    if tried is None or name == "None" or name.startswith(("val", "iter")):
        return UNSUPPORTED
    try:
        result = tried(found)
    except Exception as error:
        known = recognise(error, SURFACE, found, name)
        if known is None and name.startswith("ctx"):
            known = recognise(error, SWITCH[:1], found, name)
        return known or of_type(error)
    if result is None:
        return NONE
    if type(result) is bool:
        return TRUE if result else FALSE
    return '{"count":%d}' % result if type(result) is int else text(str(result))


def weak_reference(session, step):
    context = session.operand(step["context"])
    session.bound[step["as"]] = weakref.ref(context), step["context"]
    return NONE


def dereference(session, step):
    reference = session.operand(step["reference"])
    if not CPYTHON:
        # Without reference counts an object goes when it is looked for.
        gc.collect()
    return NONE if reference[0]() is None else '{"object":"%s"}' % reference[1]


def delete(session, step):
    name = step["object"]
    if name not in session.bound:
        return SKIPPED
    if name not in ("None", "MISSING"):
        del session.bound[name]
    return NONE


OPERATIONS = {
    "==": compare(operator.eq),
    "!=": compare(operator.ne),
    "repr": object_repr,
    "hash": object_hash,
    "attempt": attempt,
    "weakref.ref": weak_reference,
    "dereference": dereference,
    "del": delete,
}
