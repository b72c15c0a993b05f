"""What a program may try on any object, by the names that traces have for it."""
import collections.abc
import copy
import operator
import pickle
import weakref
from contextvars import ContextVar, Token


class Counting(str):
    """A name that counts how often it is hashed."""

    def __hash__(self):
        self.hashes = getattr(self, "hashes", 0) + 1
        return 1


def count_hashes(_):
    name = Counting("a")
    ContextVar(name)
    return name.hashes


ATTEMPTS = {
    "construct_with_unknown_keyword": lambda o: (type(o)(1, z=2), None)[1],
    "construct_with_name_not_str": lambda o: (ContextVar(1), None)[1],
    "count_name_hashes": count_hashes,
    "construct": lambda o: (type(o)(), None)[1],
    "subscript": lambda o: type(type(o)[int]).__name__,
    "subclass": lambda o: (type("Sub", (type(o),), {}), None)[1],
    "weak_reference": lambda o: (weakref.ref(o), None)[1],
    "pickle": lambda o: (pickle.dumps(o), None)[1],
    "copy_copy": lambda o: (copy.copy(o), None)[1],
    "set_attribute": lambda o: setattr(o, "something", 1),
    "set_read_only": lambda o: setattr(o, {ContextVar: "name", Token: "var"}.get(type(o), "something"), 1),
    "set_item": lambda o: operator.setitem(o, None, 1),
    "order": lambda o: (o < o, None)[1],
    "truth": bool,
    "is_mapping": lambda o: isinstance(o, collections.abc.Mapping),
    "run_without_callable": lambda o: o.run(),
    "run_with_keywords": lambda o: o.run(lambda **keywords: len(keywords), callable=1, self=2),
    "run_not_callable": lambda o: o.run(1),
    "exit_without_arguments": lambda o: o.__exit__(),
}
