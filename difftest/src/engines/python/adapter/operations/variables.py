"""Values, variables and tokens."""
from contextvars import ContextVar, Token

from errors import LOOKUP, RESET, TOKEN_EXPECTED, classify
from interpreter import STEERED
from outcomes import NONE, UNSUPPORTED, text
from steering import steer
from values import Finalized, Name, Plain


def new_value(session, step):
    equality = step["equality"]
    if isinstance(equality, dict):
        equality = equality["group"]
    elif equality == "never":
        equality = None
    name, on_drop = step["as"], step.get("on_drop")
    value = (Finalized if on_drop else Plain)(name, equality, step.get("on_compare"), on_drop)
    session.bound[name] = value
    session.names[id(value)] = name
    return NONE


def new_variable(session, step):
    keywords = {"default": default for default in session.default(step)}
    name, wanted = Name(step["name"]), step.get("hash")
    name.variable, name.on_hash = step["as"], step.get("on_hash")
    if STEERED and wanted is not None:
        # -1 is CPython's sign of an error, which it replaces.
        variable = steer(name, -2 if wanted == -1 else wanted, keywords)
    else:
        variable = ContextVar(name, **keywords)
    return session.bind_variable(step["as"], variable)


def var_get(session, step):
    variable, default = session.operand(step["variable"]), session.default(step)
    try:
        value = variable.get(*default)
    except Exception as error:
        return classify(error, LOOKUP, variable, step["variable"])
    return session.known(value)


def var_set(session, step):
    variable, value = session.operand(step["variable"]), session.operand(step["value"])
    session.bound[step["as"]] = variable.set(value)
    return NONE


def var_reset(session, step):
    name = step["token"]
    variable, token = session.operand(step["variable"]), session.operand(name)
    try:
        variable.reset(token)
    except Exception as error:
        return classify(error, RESET if name.startswith("tok") else TOKEN_EXPECTED, token, name)
    return NONE


def var_name(session, step):
    return text(session.operand(step["variable"]).name)


def token_var(session, step):
    return session.known(session.operand(step["token"]).var)


def token_old_value(session, step):
    return session.known(session.operand(step["token"]).old_value)


def token_enter(session, step):
    token = session.operand(step["token"])
    if not hasattr(Token, "__enter__"):
        return UNSUPPORTED
    entered = token.__enter__()
    return '{"object":"%s"}' % step["token"] if entered is token else session.known(entered)


def token_exit(session, step):
    token = session.operand(step["token"])
    if not hasattr(Token, "__exit__"):
        return UNSUPPORTED
    try:
        token.__exit__(None, None, None)
    except Exception as error:
        return classify(error, RESET, token, step["token"])
    return NONE


OPERATIONS = {
    "value": new_value,
    "ContextVar": new_variable,
    "ContextVar.get": var_get,
    "ContextVar.set": var_set,
    "ContextVar.reset": var_reset,
    "ContextVar.name": var_name,
    "Token.var": token_var,
    "Token.old_value": token_old_value,
    "Token.__enter__": token_enter,
    "Token.__exit__": token_exit,
}
