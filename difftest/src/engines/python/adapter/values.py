"""The values of a trace and the names of its variables, with the programs that they run."""

# The trace that is running, for the programs of its values and names.
RUNNING = [None]


class Raised(Exception):
    """What a `raise` operation raises."""


class EqualityRaised(Exception):
    """What comparing with a value raises; the value is the argument."""


class Value:
    """A value of a trace: `equality` is a group, or None to equal nothing, or `raises`."""

    def __init__(self, name, equality, on_compare=None, on_drop=None):
        self.name = name
        self.equality = equality
        self.on_compare = on_compare
        self.on_drop = on_drop
        self.is_comparing = False

    def __repr__(self):
        return self.name

    def __eq__(self, other):
        # A program that is running does not run again.
        if self.on_compare and not self.is_comparing:
            self.is_comparing = True
            RUNNING[0].call(self.name, "compare", self.on_compare)
            self.is_comparing = False
        if self.equality == "raises":
            raise EqualityRaised(self)
        return isinstance(other, Value) and type(self.equality) is int and self.equality == other.equality

    __hash__ = object.__hash__


class Plain(Value):
    """A value that goes silently. Neither of the two kinds is a subclass of the other: Python asks a
    subclass on the right before it asks the left."""


class Finalized(Value):
    """A value with a program for when it goes."""

    def __del__(self):
        if RUNNING[0] is not None:
            RUNNING[0].call(self.name, "drop", self.on_drop)


class Name(str):
    """A name with a hash of the caller's choice, and a program for when it is hashed."""

    value = variable = on_hash = None

    def __hash__(self):
        program, self.on_hash = self.on_hash, None
        if program:
            # Once, however many addresses it takes to steer the variable's hash.
            RUNNING[0].call(self.variable, "hash", program)
        return str.__hash__(self) if self.value is None else self.value
