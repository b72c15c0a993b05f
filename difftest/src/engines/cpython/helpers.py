"""What the engine needs on Python's side."""
import collections.abc
import copy
import gc
import operator
import pickle
import sys
import sysconfig
import weakref
from contextvars import Context, ContextVar, Token, copy_context

# A watcher that fails is reported as unraisable, on standard error unless this says otherwise.
sys.unraisablehook = lambda unraisable: None

MISSING = Token.MISSING


class Raised(Exception):
    """What a `raise` operation raises."""


class EqualityRaised(Exception):
    """What comparing with a value raises; the value is the argument."""


class Value:
    """A value of a trace: `equality` is a group, or None to equal nothing, or `raises`."""

    def __init__(self, name, equality):
        self.name = name
        self.equality = equality

    def __repr__(self):
        return self.name

    def __eq__(self, other):
        if self.equality == "raises":
            raise EqualityRaised(self)
        return type(other) is Value and type(self.equality) is int and self.equality == other.equality

    __hash__ = object.__hash__


class Name(str):
    """A name with a hash of the caller's choice."""

    def __hash__(self):
        return self.value


class Counting(str):
    """A name that counts how often it is hashed."""

    def __hash__(self):
        self.hashes = getattr(self, "hashes", 0) + 1
        return 1


def steer(text, wanted, defaults):
    """A variable with the wanted hash: hash = rotr64(address, 4) ^ hash(name)."""
    name = Name(text)
    for _ in range(1000):
        throwaway = ContextVar("throwaway", **defaults)
        address = id(throwaway)
        value = (address >> 4 | (address & 15) << 60) ^ (wanted & 0xFFFFFFFFFFFFFFFF)
        name.value = value - (value >> 63 << 64)
        del throwaway
        variable = ContextVar(name, **defaults)
        if hash(variable) == wanted:
            return variable
    raise RuntimeError("no address could be steered to the wanted hash")


def layout_is_known():
    locked = not sysconfig.get_config_var("Py_GIL_DISABLED")
    return locked and ContextVar.__basicsize__ == KNOWN_SIZE


def has_previous(context):
    return any(type(referent) is Context for referent in gc.get_referents(context))


def count_hashes():
    name = Counting("a")
    ContextVar(name)
    return name.hashes


ATTEMPTS = {
    "construct_with_unknown_keyword": lambda o: (type(o)(1, z=2), None)[1],
    "construct_with_name_not_str": lambda o: ContextVar(1),
    "count_name_hashes": lambda o: count_hashes(),
    "construct": lambda o: (type(o)(), None)[1],
    "subscript": lambda o: type(type(o)[int]).__name__,
    "subclass": lambda o: type("Sub", (type(o),), {}) and None,
    "weak_reference": lambda o: weakref.ref(o) and None,
    "pickle": lambda o: pickle.dumps(o) and None,
    "copy_copy": lambda o: copy.copy(o) and None,
    "set_attribute": lambda o: setattr(o, "something", 1),
    "set_read_only": lambda o: setattr(o, {ContextVar: "name", Token: "var"}.get(type(o), "something"), 1),
    "set_item": lambda o: operator.setitem(o, None, 1),
    "order": lambda o: o < o,
    "truth": bool,
    "is_mapping": lambda o: isinstance(o, collections.abc.Mapping),
    "run_without_callable": lambda o: o.run(),
    "run_with_keywords": lambda o: o.run(lambda **keywords: len(keywords), callable=1, self=2),
    "run_not_callable": lambda o: o.run(1),
    "exit_without_arguments": lambda o: o.__exit__(),
}


