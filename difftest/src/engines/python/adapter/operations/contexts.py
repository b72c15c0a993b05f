"""Contexts and their iterators."""
import gc
from contextvars import Context, copy_context

from errors import KEY, KEY_EXPECTED, STOP_ITERATION, classify, other
from interpreter import CPYTHON, get_contextvar_context
from outcomes import FALSE, NONE, TRUE, UNSUPPORTED


def new_context(session, step):
    session.bound[step["as"]] = Context()
    return NONE


def copy_current_context(session, step):
    session.bound[step["as"]] = copy_context()
    return NONE


def context_copy(session, step):
    source = session.operand(step["source"])
    session.bound[step["as"]] = source.copy()
    return NONE


def key_error(error, key, name):
    return classify(error, KEY if name.startswith("var") else KEY_EXPECTED, key, name)


def context_get_item(session, step):
    name = step["key"]
    context, key = session.operand(step["context"]), session.operand(name)
    try:
        return session.known(context[key])
    except Exception as error:
        return key_error(error, key, name)


def context_contains(session, step):
    name = step["key"]
    context, key = session.operand(step["context"]), session.operand(name)
    try:
        return TRUE if key in context else FALSE
    except Exception as error:
        return key_error(error, key, name)


def context_get(session, step):
    name = step["key"]
    context, key, default = session.operand(step["context"]), session.operand(name), session.default(step)
    try:
        return session.known(context.get(key, *default))
    except Exception as error:
        return key_error(error, key, name)


def context_len(session, step):
    return '{"count":%d}' % len(session.operand(step["context"]))


def iterate(view):
    def operate(session, step):
        context = session.operand(step["context"])
        session.bound[step["as"]] = view(context)
        return NONE

    return operate


def iterator_next(session, step):
    iterator = session.operand(step["iterator"])
    # Where `keys()` and its like are views, there is nothing to advance.
    if not hasattr(iterator, "__next__"):
        return UNSUPPORTED
    try:
        item = next(iterator)
    except StopIteration as error:
        return other(error) if CPYTHON and error.__context__ is not None else STOP_ITERATION
    except Exception as error:
        return other(error)
    if type(item) is tuple and len(item) == 2:
        variable, value = session.names.get(id(item[0])), session.names.get(id(item[1]))
        if variable is not None and value is not None:
            return '{"pair":["%s","%s"]}' % (variable, value)
    return session.known(item)


def iterator_len(session, step):
    iterator = session.operand(step["iterator"])
    # A view's length is that of what its context binds now.
    is_iterator = hasattr(iterator, "__next__") and hasattr(iterator, "__len__")
    return '{"count":%d}' % len(iterator) if is_iterator else UNSUPPORTED


def has_current_context(_, __):
    fresh = Context()
    referents = fresh.run(gc.get_referents, fresh)
    return TRUE if any(type(referent) is Context for referent in referents) else FALSE


def has_current_context_of_pypy(_, __):
    return TRUE if get_contextvar_context() is not None else FALSE


OPERATIONS = {
    "Context": new_context,
    "copy_context": copy_current_context,
    "Context.copy": context_copy,
    "Context.__getitem__": context_get_item,
    "Context.__contains__": context_contains,
    "Context.get": context_get,
    "Context.__len__": context_len,
    "Context.__iter__": iterate(iter),
    "Context.keys": iterate(lambda context: context.keys()),
    "Context.values": iterate(lambda context: context.values()),
    "Context.items": iterate(lambda context: context.items()),
    "next": iterator_next,
    "len": iterator_len,
}
if CPYTHON:
    OPERATIONS["has_current_context"] = has_current_context
elif get_contextvar_context is not None:
    OPERATIONS["has_current_context"] = has_current_context_of_pypy
