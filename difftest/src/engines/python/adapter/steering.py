"""Hashes of the caller's choice for context variables of CPython."""
from contextvars import ContextVar


def steer(name, wanted, keywords):
    """A variable with the wanted hash: hash = rotr64(address, 4) ^ hash(name)."""
    for _ in range(1000):
        throwaway = ContextVar("throwaway", **keywords)
        address = id(throwaway)
        value = (address >> 4 | (address & 15) << 60) ^ (wanted & 0xFFFFFFFFFFFFFFFF)
        name.value = value - (value >> 63 << 64)
        del throwaway
        variable = ContextVar(name, **keywords)
        if hash(variable) == wanted:
            return variable
    raise RuntimeError("no address could be steered to the wanted hash")
