"""What only C can ask: the C API, watchers and the caches of variables."""
from capi import CAPI_OR_NONE
from errors import (
    CAPI_CONTEXT, CAPI_RESET, CAPI_VARIABLE, NO_MORE_WATCHERS, NO_WATCHER, RESET, SWITCH, classify,
)
from interpreter import ctypes
from outcomes import NONE, NOT_FOUND, UNSUPPORTED, text


def capi_new(session, step):
    session.bound[step["as"]] = CAPI_OR_NONE.new()
    return NONE


def capi_copy(session, step):
    source = session.operand(step["source"])
    try:
        session.bound[step["as"]] = CAPI_OR_NONE.copy(source)
    except Exception as error:
        return classify(error, CAPI_CONTEXT, source, step["source"])
    return NONE


def capi_copy_current(session, step):
    session.bound[step["as"]] = CAPI_OR_NONE.copy_current()
    return NONE


def switch(function):
    def operate(session, step):
        name = step["context"]
        context = session.operand(name)
        try:
            function(context)
        except Exception as error:
            return classify(error, SWITCH if name.startswith("ctx") else CAPI_CONTEXT, context, name)
        return NONE

    return operate


def address_of_default(session, step):
    return next(map(id, session.default(step)), None)


def capi_var_new(session, step):
    default = address_of_default(session, step)
    # A text with a NUL would end there.
    name = step["name"].replace("\0", "").encode()
    return session.bind_variable(step["as"], CAPI_OR_NONE.var_new(name, default))


def capi_var_get(session, step):
    variable, default = session.operand(step["variable"]), address_of_default(session, step)
    found = ctypes.c_void_p()
    try:
        CAPI_OR_NONE.var_get(variable, default, ctypes.byref(found))
    except Exception as error:
        return classify(error, CAPI_VARIABLE, variable, step["variable"])
    if not found:
        return NOT_FOUND
    value = ctypes.cast(found, ctypes.py_object).value
    # The function gave a reference of its own.
    CAPI_OR_NONE.release(found)
    return session.known(value)


def capi_var_set(session, step):
    variable, value = session.operand(step["variable"]), session.operand(step["value"])
    try:
        session.bound[step["as"]] = CAPI_OR_NONE.var_set(variable, value)
    except Exception as error:
        return classify(error, CAPI_VARIABLE, variable, step["variable"])
    return NONE


def capi_var_reset(session, step):
    name = step["token"]
    variable, token = session.operand(step["variable"]), session.operand(name)
    try:
        CAPI_OR_NONE.var_reset(variable, token)
    except Exception as error:
        right = step["variable"].startswith("var") and name.startswith("tok")
        return classify(error, RESET if right else CAPI_RESET, token, name)
    return NONE


def add_watcher(session, step):
    free = [slot for slot, name in enumerate(session.watchers) if name is None]
    # CPython gives the lowest free slot; the callback must know its own beforehand.
    slot = free[0] if free else 0
    session.watched = True
    try:
        given = CAPI_OR_NONE.add_watcher(CAPI_OR_NONE.watchers.addresses[slot, step.get("fails", False)])
    except Exception as error:
        return classify(error, NO_MORE_WATCHERS, None, step["as"])
    if given == slot:
        session.watchers[slot] = step["as"]
    return '{"count":%d}' % given


def clear_watcher(session, step):
    slot = step["id"]
    try:
        CAPI_OR_NONE.clear_watcher(slot)
    except Exception as error:
        return classify(error, NO_WATCHER, None, str(slot))
    session.watchers[slot] = None
    return NONE


def cache(session, step):
    variable = session.operand(step["variable"])
    if not CAPI_OR_NONE.has_cache:
        return UNSUPPORTED
    value, thread, context_ver = CAPI_OR_NONE.cache(variable)
    if value == 0:
        return '{"cache":null}'
    value, thread = session.names.get(value), session.thread_of.get(thread)
    if value is None or thread is None:
        return text("a cached value or a thread that the trace does not know")
    return '{"cache":{"value":"%s","thread":"%s","context_ver":%d}}' % (value, thread, context_ver)


OPERATIONS = {}
if CAPI_OR_NONE is not None:
    OPERATIONS.update({
        "PyContext_New": capi_new,
        "PyContext_Copy": capi_copy,
        "PyContext_CopyCurrent": capi_copy_current,
        "PyContext_Enter": switch(CAPI_OR_NONE.enter),
        "PyContext_Exit": switch(CAPI_OR_NONE.exit),
        "PyContextVar_New": capi_var_new,
        "PyContextVar_Get": capi_var_get,
        "PyContextVar_Set": capi_var_set,
        "PyContextVar_Reset": capi_var_reset,
        "cache": cache,
    })
    if CAPI_OR_NONE.watchers is not None:
        OPERATIONS["PyContext_AddWatcher"] = add_watcher
        OPERATIONS["PyContext_ClearWatcher"] = clear_watcher
