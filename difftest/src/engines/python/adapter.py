"""Answers operation traces with the `contextvars` of whatever Python runs this file.

Started as `PYTHON -I adapter.py`, perhaps with `-X dev`. Needs the standard library alone, and no syntax newer than 3.7.

The protocol is one JSON object a line. First the adapter says who it is:

    {"protocol":1,"engine":{"name":"cpython","version":"3.11.7"},"python":"3.11"}

and adds `"steered":false` where a variable cannot be given the hash that a trace wants, and
`"finalizes_promptly":false` where an object outlives its last reference. To each
request `{"observe":N,"steps":[...]}` it answers `{"answers":[...],"observations":[...]}`, or
`{"failure":"text"}` where it fails itself. Each trace starts from a fresh state, in a thread of its
own. At the end of its input the adapter ends.
"""
import _thread
import collections.abc
import copy
import gc
import json
import operator
import os
import pickle
import platform
import re
import signal
import struct
import sys
import sysconfig
import time
import traceback
import weakref
from contextvars import Context, ContextVar, Token, copy_context
from json.encoder import encode_basestring_ascii as quote

try:
    import ctypes
    import mmap
except ImportError:
    ctypes = None

CPYTHON = sys.implementation.name == "cpython"
MISSING = Token.MISSING
MAIN = "thread0"
UNBOUND = object()

# How many programs one step may run.
MAX_CALLS = 24
# The trace that is running, for the programs of its values and names.
RUNNING = [None]

# Outcomes are JSON from the start, so that nothing has to be encoded step by step.
NONE, SKIPPED, UNSUPPORTED = '"none"', '"skipped"', '"unsupported"'
CALLED, NOT_FOUND = '"called"', '"not_found"'
TRUE, FALSE = '{"bool":true}', '{"bool":false}'
RAISED = '{"error":{"kind":"raised"}}'

# Why a loop over the steps ended: the trace is over, the thread ends, or its innermost callable
# returns or raises.
OVER, THREAD, RETURN, RAISE = "over", "thread", "return", "raise"


class Raised(Exception):
    """What a `raise` operation raises."""


class EqualityRaised(Exception):
    """What comparing with a value raises; the value is the argument."""


class Value:
    """A value of a trace: `equality` is a group, or None to equal nothing, or `raises`."""

    def __init__(self, name, equality, on_compare, on_drop):
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


class Counting(str):
    """A name that counts how often it is hashed."""

    def __hash__(self):
        self.hashes = getattr(self, "hashes", 0) + 1
        return 1


# Errors


class Rule:
    """An error that the rules know: the exception's type, its message and the outcome.

    `%R` in the message is the repr of the payload and `%d` a number; `%s` in the outcome is the
    payload's handle, or the number. Without a message the payload is the exception's argument."""

    def __init__(self, exception, message, outcome):
        self.exception = exception
        self.message = message
        self.outcome = '{"error":{%s}}' % outcome
        # What other implementations may have kept of the message.
        self.words = max(re.split("%[Rd]", message), key=len).strip(" ,") if message else None

    def matches(self, error, payload, name):
        if type(error) is not self.exception:
            return False
        if self.message is None:
            return len(error.args) == 1 and error.args[0] is payload
        expected = self.message
        if "%R" in expected:
            expected = expected.replace("%R", repr(payload))
        return str(error) == expected.replace("%d", name)


def of_payload(exception, message, kind, field):
    return Rule(exception, message, '"kind":"%s","%s":"%%s"' % (kind, field))


def of_kind(exception, message, kind):
    return Rule(exception, message, '"kind":"%s"' % kind)


SWITCH = (
    of_payload(RuntimeError, "cannot enter context: %R is already entered", "already_entered", "context"),
    of_payload(RuntimeError, "cannot exit context: %R has not been entered", "not_entered", "context"),
    of_payload(
        RuntimeError, "cannot exit context: thread state references a different context object", "not_current", "context"
    ),
)
RESET = (
    of_payload(RuntimeError, "%R has already been used once", "token_used", "token"),
    of_payload(ValueError, "%R was created by a different ContextVar", "token_of_other_variable", "token"),
    of_payload(ValueError, "%R was created in a different Context", "token_of_other_context", "token"),
)
TOKEN_EXPECTED = (of_payload(TypeError, "expected an instance of Token, got %R", "token_expected", "object"),)
KEY_EXPECTED = (of_payload(TypeError, "a ContextVar key was expected, got %R", "key_expected", "object"),)
LOOKUP = (of_payload(LookupError, None, "lookup", "variable"),)
KEY = (of_payload(KeyError, None, "key", "variable"),)
CAPI_CONTEXT = (of_kind(TypeError, "an instance of Context was expected", "capi_context_expected"),)
CAPI_VARIABLE = (of_kind(TypeError, "an instance of ContextVar was expected", "capi_variable_expected"),)
CAPI_RESET = CAPI_VARIABLE + (of_kind(TypeError, "an instance of Token was expected", "capi_token_expected"),)
SURFACE = (
    of_kind(RuntimeError, "Tokens can only be created by ContextVars", "tokens_only_by_variables"),
    of_kind(TypeError, "Context() does not accept any arguments", "context_takes_no_arguments"),
    of_kind(TypeError, "run() missing 1 required positional argument", "callable_missing"),
    of_kind(TypeError, "context variable name must be a str", "name_not_str"),
)
NO_MORE_WATCHERS = (of_kind(RuntimeError, "no more context watcher IDs available", "no_more_watchers"),)
NO_WATCHER = (
    Rule(ValueError, "Invalid context watcher ID %d", '"kind":"invalid_watcher","id":%s'),
    Rule(ValueError, "No context watcher set for ID %d", '"kind":"watcher_not_set","id":%s'),
)
STOP_ITERATION = '{"error":{"kind":"stop_iteration"}}'


def recognise(error, rules, payload, name):
    """Which of the errors that an operation may raise this is, as an outcome, or None."""
    # An exception that replaces another must not remember it. What is written in Python remembers.
    if CPYTHON and error.__context__ is not None:
        return None
    for rule in rules:
        if rule.matches(error, payload, name):
            return rule.outcome.replace("%s", name)
    if CPYTHON:
        return None
    # Other implementations choose their own words; where these are not enough, the type must be.
    candidates = [rule for rule in rules if rule.message and rule.exception is type(error)]
    known = [rule for rule in candidates if rule.words in str(error)]
    if not known and len(candidates) == 1 and rules is not SURFACE:
        known = candidates
    return known[0].outcome.replace("%s", name) if known else None


def classify(error, rules, payload, name):
    """The outcome for an exception, whether the rules know it or not."""
    return recognise(error, rules, payload, name) or other(error)


def other(error):
    # Addresses differ from run to run; a signature must not.
    message = re.sub("0x[0-9a-fA-F]+", "0x0", str(error))
    return '{"error":{"kind":"other","exception":%s,"message":%s}}' % (quote(type(error).__name__), quote(message))


def of_type(error):
    """The outcome for an exception of which only the type is fixed."""
    if type(error) in (TypeError, ValueError, RuntimeError, AttributeError):
        return '{"error":{"kind":"unspecified","exception":"%s"}}' % type(error).__name__
    return other(error)


# What needs CPython


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


def can_steer():
    """Whether the address of a dead variable is used again, and is in the hash of the next."""
    if not CPYTHON:
        return False
    try:
        return all(hash(steer(Name("probe"), wanted, {})) == wanted for wanted in (0, 1, -2, 1 << 62, -1 << 63))
    except Exception:
        return False


class CAPI:
    """The C API of contextvars. Exceptions that it sets are raised by ctypes."""

    WATCHERS = 8

    def __init__(self):
        python, pointer, status = ctypes.pythonapi, ctypes.c_void_p, ctypes.c_int

        def function(name, result, *arguments):
            # A prototype of its own: whatever else uses `pythonapi` keeps its declarations.
            return ctypes.PYFUNCTYPE(result, *arguments)((name, python))

        held = ctypes.py_object
        self.new = function("PyContext_New", held)
        self.copy = function("PyContext_Copy", held, held)
        self.copy_current = function("PyContext_CopyCurrent", held)
        self.enter = function("PyContext_Enter", status, held)
        self.exit = function("PyContext_Exit", status, held)
        # A default is passed as its address, so that NULL can be passed too.
        self.var_new = function("PyContextVar_New", held, ctypes.c_char_p, pointer)
        self.var_get = function("PyContextVar_Get", status, held, pointer, pointer)
        self.var_set = function("PyContextVar_Set", held, held, held)
        self.var_reset = function("PyContextVar_Reset", status, held, held)
        self.release = function("Py_DecRef", None, pointer)
        self.thread_state = function("PyThreadState_Get", pointer)
        self.watchers = None
        if hasattr(python, "PyContext_AddWatcher"):
            self.add_watcher = function("PyContext_AddWatcher", status, pointer)
            self.clear_watcher = function("PyContext_ClearWatcher", status, status)
            self.watchers = start_watchers(self.WATCHERS)
        # Two words of header, var_name, var_default, var_cached, var_cached_tsid, var_cached_tsver
        # and var_hash: the same in every 64-bit build with a global interpreter lock.
        locked = not sysconfig.get_config_var("Py_GIL_DISABLED")
        self.has_cache = locked and ctypes.sizeof(pointer) == 8 and ContextVar.__basicsize__ == 64
        self.cache_words = ctypes.c_uint64 * 3
        self.find_thread_identifier(function)

    def cache(self, variable):
        """The address of the cached value, or 0, and its stamp: a thread and a `context_ver`."""
        return tuple(self.cache_words.from_address(id(variable) + 32))

    def find_thread_identifier(self, function):
        """Finds out how to ask for the identifier by which caches know the running thread."""
        if hasattr(ctypes.pythonapi, "PyThreadState_GetID"):
            identifier = function("PyThreadState_GetID", ctypes.c_uint64, ctypes.c_void_p)
            self.thread_identifier = lambda: identifier(self.thread_state())
            return
        self.thread_identifier = lambda: None
        if not self.has_cache:
            return
        # Before 3.9 there is no function. In the thread's state the identifier stands behind the
        # current context and `context_ver`, and the cache of a variable that is set shows all three.
        context, variable = Context(), ContextVar("probe")
        words = ctypes.c_uint64 * 40

        def look():
            variable.set(None)
            _, thread, context_ver = self.cache(variable)
            state = list(words.from_address(self.thread_state()))
            wanted = [id(context), context_ver, thread]
            return [at + 2 for at in range(38) if state[at:at + 3] == wanted]

        places = context.run(look)
        if len(places) == 1:
            self.thread_identifier = lambda: words.from_address(self.thread_state())[places[0]]
        else:
            self.has_cache = False


class Watchers:
    """The callbacks of context watchers, in machine code for x86-64.

    A callback of ctypes runs Python, which does not go when an exception is pending, as it is when
    a callable leaves `Context.run` by one; and it cannot fail with an exception of its own."""

    CAPACITY = 1 << 16

    def __init__(self, count):
        # How many calls were seen, and for each the slot and the current context's address.
        self.log = (ctypes.c_uint64 * (1 + 2 * self.CAPACITY))()
        self.message = ctypes.create_string_buffer(b"the watcher fails")
        self.code = mmap.mmap(-1, 16384, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.code))
        self.addresses = {}
        for slot in range(count):
            for fails in (False, True):
                self.addresses[slot, fails] = start + self.code.tell()
                self.code.write(self.callback(slot, fails).ljust(128, b"\x90"))

    def callback(self, slot, fails):
        def word(number):
            return struct.pack("<Q", number)

        def function(name):
            return word(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)

        leave = b"\x48\x83\xc4\x08\xc3"  # add rsp, 8; ret
        code = (
            b"\xf3\x0f\x1e\xfa"  # endbr64
            + b"\x48\x83\xec\x08"  # sub rsp, 8: the stack is aligned for calls
            + b"\x48\xb8" + word(ctypes.addressof(self.log))  # mov rax, log
            + b"\x48\x8b\x08"  # mov rcx, [rax]
            + b"\x48\x81\xf9" + struct.pack("<I", self.CAPACITY)  # cmp rcx, CAPACITY
            + b"\x73\x15"  # jae, past the next four
            + b"\x48\xff\x00"  # inc qword [rax]
            + b"\x48\xc1\xe1\x04"  # shl rcx, 4
            + b"\x48\xc7\x44\x08\x08" + struct.pack("<I", slot)  # mov qword [rax + rcx + 8], slot
            + b"\x48\x89\x74\x08\x10"  # mov [rax + rcx + 16], rsi: the second argument
        )
        if fails:
            # Where an exception is pending, a callback must leave it as it is and not fail.
            code += (
                b"\x48\xb8" + function("PyErr_Occurred") + b"\xff\xd0"  # mov rax, ...; call rax
                + b"\x48\x85\xc0"  # test rax, rax
                + b"\x75\x2a"  # jnz, past `leave`
                + b"\x48\xbf" + word(id(RuntimeError))  # mov rdi, ...
                + b"\x48\xbe" + word(ctypes.addressof(self.message))  # mov rsi, ...
                + b"\x48\xb8" + function("PyErr_SetString") + b"\xff\xd0"  # mov rax, ...; call rax
                + b"\xb8\xff\xff\xff\xff"  # mov eax, -1
                + leave
            )
        return code + b"\x31\xc0" + leave  # xor eax, eax

    def seen(self):
        """What watchers saw since the last call: slot, and the address of the current context."""
        count, self.log[0] = self.log[0], 0
        return [(self.log[at], self.log[at + 1]) for at in range(1, 2 * count, 2)]


def start_watchers(count):
    if os.name != "posix" or platform.machine() not in ("x86_64", "amd64") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        return Watchers(count)
    except OSError:
        # The system lets nobody write code and run it.
        return None


def start_capi():
    if not CPYTHON or ctypes is None:
        return None
    try:
        return CAPI()
    except AttributeError:
        return None


STEERED = can_steer()
CAPI_OR_NONE = start_capi()

try:
    from __pypy__ import get_contextvar_context
except ImportError:
    get_contextvar_context = None


# Threads

# How to know that a thread is gone: CPython has the first from 3.13 and the second until 3.12. Other
# implementations, where these exist, do not mean the thread's state by it.
JOINABLE = CPYTHON and hasattr(_thread, "start_joinable_thread")
SENTINEL = CPYTHON and not JOINABLE and hasattr(_thread, "_set_sentinel")


class Thread:
    """A thread of a trace: it works only when it is woken, and wakes another before it waits."""

    def __init__(self, session, name):
        self.session = session
        self.name = name
        self.awake = _thread.allocate_lock()
        self.awake.acquire()
        self.handle = self.sentinel = None
        if JOINABLE:
            self.handle = _thread.start_joinable_thread(self.work)
        else:
            _thread.start_new_thread(self.work, ())

    def work(self):
        if SENTINEL:
            self.sentinel = _thread._set_sentinel()
            # It is given back when the thread's state is gone.
            self.sentinel.acquire()
        self.awake.acquire()
        session = self.session
        try:
            if CAPI_OR_NONE is not None:
                session.thread_of[CAPI_OR_NONE.thread_identifier()] = self.name
            end = session.drive(self.name, 0)
        except BaseException:
            session.fail(traceback.format_exc())
            end = OVER
        session.left = self, end
        session.somebody_left.release()

    def join(self, others):
        """Waits until the thread's state, and with it its current context, is gone."""
        if JOINABLE:
            self.handle.join()
        elif SENTINEL:
            self.sentinel.acquire()
        else:
            while _thread._count() > others:
                time.sleep(0.0001)


class Session:
    """One trace, from a fresh state."""

    def __init__(self, steps, observe):
        self.steps = steps
        self.observe = max(observe, 1)
        self.next = 0
        self.answers = []
        self.observations = []
        self.failure = None
        # Handles and their objects; iterators and weak references are objects like others.
        self.bound = {"None": None, "MISSING": MISSING}
        # The handles of values and variables by address, also of deleted ones: maps, tokens and
        # caches may lead to them still. An address that is used again belongs to the newer object.
        self.names = {id(None): "None", id(MISSING): "MISSING"}
        self.thread_of = {}
        self.watchers = [None] * CAPI.WATCHERS
        self.watched = False
        # What watchers saw during the current step.
        self.told = []
        # The calls of programs in the current step: of what, on what, and what they answered.
        self.calls = []
        self.threads = {}
        self.left = None
        self.somebody_left = _thread.allocate_lock()
        self.somebody_left.acquire()

    def run(self):
        """Starts the threads' work, and sees to it that each thread that leaves is really gone."""
        RUNNING[0] = self
        self.threads[MAIN] = Thread(self, MAIN)
        if not self.steps:
            self.next = sys.maxsize
        owner = MAIN
        while self.threads:
            self.threads[owner].awake.release()
            self.somebody_left.acquire()
            thread, end = self.left
            self.left = None
            del self.threads[thread.name]
            thread.join(len(self.threads))
            if end is THREAD:
                self.answer(NONE)
            owner = self.owner() or next(iter(self.threads), None)
        RUNNING[0] = None
        if self.watched:
            for slot, name in enumerate(self.watchers):
                if name is not None:
                    CAPI_OR_NONE.clear_watcher(slot)
            CAPI_OR_NONE.watchers.seen()

    def owner(self):
        """Who carries the next step out: its thread, or the main one where that is not alive."""
        if self.next >= len(self.steps):
            return None
        name = self.steps[self.next].get("thread", MAIN)
        return name if name in self.threads else MAIN

    def hand_over(self, me, owner):
        own = self.threads[me].awake
        self.threads[owner].awake.release()
        own.acquire()

    def fail(self, reason):
        if self.failure is None:
            self.failure = reason
        # Past the last step, so that every thread leaves.
        self.next = sys.maxsize

    def drive(self, me, depth):
        """Carries out the steps of one thread at one depth of callables."""
        steps, count = self.steps, len(self.steps)
        while True:
            index = self.next
            if index >= count:
                return OVER
            step = steps[index]
            if step.get("thread", MAIN) != me:
                owner = self.owner()
                if owner != me:
                    self.hand_over(me, owner)
                else:
                    self.answer(SKIPPED)
                continue
            operation = step["op"]
            operate = OPERATIONS.get(operation)
            try:
                if operate is not None:
                    outcome = operate(self, step)
                elif operation == "Context.run":
                    end, outcome = self.call_run(me, depth, step)
                    if end is OVER or end is THREAD:
                        return end
                elif depth > 0 and operation == "return":
                    return RETURN
                elif depth > 0 and operation == "raise":
                    return RAISE
                elif operation == "end_thread" and me != MAIN:
                    return THREAD
                elif operation == "start_new_thread":
                    self.threads[step["as"]] = Thread(self, step["as"])
                    outcome = NONE
                elif operation in ("return", "raise", "end_thread"):
                    outcome = SKIPPED
                else:
                    outcome = UNSUPPORTED
                self.answer(outcome)
            except Exception:
                self.fail("step %d, `%s`: %s" % (index, operation, traceback.format_exc()))

    def call_run(self, me, depth, step):
        """`Context.run`, nested for real: answers why the loop inside ended, and the outcome."""
        name = step["context"]
        context = self.bound.get(name, UNBOUND)
        if context is UNBOUND:
            return None, SKIPPED
        end = None

        def body():
            nonlocal end
            self.answer(CALLED)
            end = self.drive(me, depth + 1)
            if end is RAISE:
                raise Raised

        try:
            context.run(body)
        except Raised:
            return end, RAISED
        except Exception as error:
            return end, classify(error, SWITCH, context, name)
        return end, NONE

    def answer(self, outcome):
        """Records the answer of the next step and goes on to the one after."""
        index = self.next
        if self.watched:
            outcome += self.events()
        if self.calls:
            called = ['{"of":"%s","on":"%s","outcomes":[%s]}' % (of, on, ",".join(answers)) for of, on, answers in self.calls]
            outcome += ',"calls":[%s]' % ",".join(called)
            self.calls = []
        self.answers.append(outcome)
        index += 1
        self.next = index
        if index % self.observe == 0 or index == len(self.steps):
            self.observations.append('[%d,%s]' % (index - 1, self.observation()))

    def call(self, of, on, program):
        """Carries out the program of a value or a name, which an operation calls back into."""
        # After the trace its objects go silently.
        if len(self.calls) >= MAX_CALLS or self.next >= len(self.steps):
            return
        outcomes = []
        self.calls.append((of, on, outcomes))
        for step in program:
            # The program may delete the name of a context of which watchers have been told.
            if self.watched:
                self.name_events()
            try:
                outcomes.append(OPERATIONS.get(step["op"], not_here)(self, step))
            except Exception:
                self.fail("step %d, `%s` in a program: %s" % (self.next, step["op"], traceback.format_exc()))

    def name_events(self):
        """Gives the contexts of which watchers were told the names that they have now."""
        seen = CAPI_OR_NONE.watchers.seen()
        if not seen:
            return
        contexts = {id(held): '{"named":"%s"}' % name for name, held in self.bound.items() if name.startswith("ctx")}
        contexts[id(None)] = '"null"'
        self.told.extend(
            '{"watcher":"%s","current":%s}' % (self.watchers[slot], contexts.get(current, '"unnamed"'))
            for slot, current in seen
        )

    def events(self):
        """What watchers saw since the last call."""
        self.name_events()
        told, self.told = self.told, []
        return ',"events":[%s]' % ",".join(told) if told else ""

    def observation(self):
        """Every context and token that the trace holds, without touching a cache."""
        known = self.names.get
        contexts, tokens = [], []
        for name, held in self.bound.items():
            if name.startswith("ctx"):
                pairs = [(known(id(variable)), known(id(value))) for variable, value in held.items()]
                bindings = ",".join('["%s","%s"]' % pair for pair in pairs if None not in pair)
                contexts.append((int(name[3:]), '{"context":"%s","bindings":[%s]}' % (name, bindings)))
            elif name.startswith("tok"):
                variable, old_value = known(id(held.var)), known(id(held.old_value))
                if variable is not None and old_value is not None:
                    used = "true" if repr(held).startswith("<Token used") else "false"
                    observed = '{"token":"%s","variable":"%s","old_value":"%s","used":%s}' % (name, variable, old_value, used)
                    tokens.append((int(name[3:]), observed))
        contexts.sort()
        tokens.sort()
        return '{"contexts":[%s],"tokens":[%s]}' % (
            ",".join(observed for _, observed in contexts),
            ",".join(observed for _, observed in tokens),
        )

    def known(self, found):
        """The outcome that is this object; its text where the trace does not know it."""
        name = self.names.get(id(found))
        return '{"object":"%s"}' % name if name is not None else text(self.repr(found))

    def repr(self, found):
        """The object's `repr` with handles in the place of addresses."""

        def name(match):
            address = int(match.group(), 16)
            known = self.names.get(address)
            if known is not None and known.startswith("var"):
                return known
            for known, held in self.bound.items():
                if id(held) == address and known.startswith(("tok", "ctx", "iter")):
                    return known
            return match.group()

        # Python 3.9 leaves the module out.
        return re.sub("0x[0-9a-fA-F]+", name, repr(found)).replace("<Context object", "<_contextvars.Context object")

    def bind_variable(self, name, variable):
        self.bound[name] = variable
        self.names[id(variable)] = name
        return NONE


def text(content):
    return '{"text":%s}' % quote(content)


def not_here(_, __):
    return UNSUPPORTED


# Operations: each takes the session and the step, and answers an outcome. None of them carries the
# trace on, so that what they raise has nothing else behind it.


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
    keywords = {}
    if step.get("default") is not None:
        keywords["default"] = session.bound.get(step["default"], UNBOUND)
        if keywords["default"] is UNBOUND:
            return SKIPPED
    name, wanted = Name(step["name"]), step.get("hash")
    name.variable, name.on_hash = step["as"], step.get("on_hash")
    if STEERED and wanted is not None:
        # -1 is CPython's sign of an error, which it replaces.
        variable = steer(name, -2 if wanted == -1 else wanted, keywords)
    else:
        variable = ContextVar(name, **keywords)
    return session.bind_variable(step["as"], variable)


def var_get(session, step):
    bound = session.bound
    variable = bound.get(step["variable"], UNBOUND)
    if variable is UNBOUND:
        return SKIPPED
    try:
        if step.get("default") is not None:
            default = bound.get(step["default"], UNBOUND)
            if default is UNBOUND:
                return SKIPPED
            value = variable.get(default)
        else:
            value = variable.get()
    except Exception as error:
        return classify(error, LOOKUP, variable, step["variable"])
    return session.known(value)


def var_set(session, step):
    bound = session.bound
    variable, value = bound.get(step["variable"], UNBOUND), bound.get(step["value"], UNBOUND)
    if variable is UNBOUND or value is UNBOUND:
        return SKIPPED
    bound[step["as"]] = variable.set(value)
    return NONE


def var_reset(session, step):
    name = step["token"]
    variable, token = session.bound.get(step["variable"], UNBOUND), session.bound.get(name, UNBOUND)
    if variable is UNBOUND or token is UNBOUND:
        return SKIPPED
    try:
        variable.reset(token)
    except Exception as error:
        return classify(error, RESET if name.startswith("tok") else TOKEN_EXPECTED, token, name)
    return NONE


def var_name(session, step):
    variable = session.bound.get(step["variable"], UNBOUND)
    return SKIPPED if variable is UNBOUND else text(variable.name)


def token_var(session, step):
    token = session.bound.get(step["token"], UNBOUND)
    return SKIPPED if token is UNBOUND else session.known(token.var)


def token_old_value(session, step):
    token = session.bound.get(step["token"], UNBOUND)
    return SKIPPED if token is UNBOUND else session.known(token.old_value)


def token_enter(session, step):
    token = session.bound.get(step["token"], UNBOUND)
    if token is UNBOUND:
        return SKIPPED
    if not hasattr(Token, "__enter__"):
        return UNSUPPORTED
    entered = token.__enter__()
    return '{"object":"%s"}' % step["token"] if entered is token else session.known(entered)


def token_exit(session, step):
    token = session.bound.get(step["token"], UNBOUND)
    if token is UNBOUND:
        return SKIPPED
    if not hasattr(Token, "__exit__"):
        return UNSUPPORTED
    try:
        token.__exit__(None, None, None)
    except Exception as error:
        return classify(error, RESET, token, step["token"])
    return NONE


def new_context(session, step):
    session.bound[step["as"]] = Context()
    return NONE


def copy_current_context(session, step):
    session.bound[step["as"]] = copy_context()
    return NONE


def context_copy(session, step):
    source = session.bound.get(step["source"], UNBOUND)
    if source is UNBOUND:
        return SKIPPED
    session.bound[step["as"]] = source.copy()
    return NONE


def key_error(error, key, name):
    return classify(error, KEY if name.startswith("var") else KEY_EXPECTED, key, name)


def context_get_item(session, step):
    name = step["key"]
    context, key = session.bound.get(step["context"], UNBOUND), session.bound.get(name, UNBOUND)
    if context is UNBOUND or key is UNBOUND:
        return SKIPPED
    try:
        return session.known(context[key])
    except Exception as error:
        return key_error(error, key, name)


def context_contains(session, step):
    name = step["key"]
    context, key = session.bound.get(step["context"], UNBOUND), session.bound.get(name, UNBOUND)
    if context is UNBOUND or key is UNBOUND:
        return SKIPPED
    try:
        return TRUE if key in context else FALSE
    except Exception as error:
        return key_error(error, key, name)


def context_get(session, step):
    name = step["key"]
    context, key = session.bound.get(step["context"], UNBOUND), session.bound.get(name, UNBOUND)
    if context is UNBOUND or key is UNBOUND:
        return SKIPPED
    try:
        if step.get("default") is None:
            return session.known(context.get(key))
        default = session.bound.get(step["default"], UNBOUND)
        return SKIPPED if default is UNBOUND else session.known(context.get(key, default))
    except Exception as error:
        return key_error(error, key, name)


def context_len(session, step):
    context = session.bound.get(step["context"], UNBOUND)
    return SKIPPED if context is UNBOUND else '{"count":%d}' % len(context)


def iterate(view):
    def operate(session, step):
        context = session.bound.get(step["context"], UNBOUND)
        if context is UNBOUND:
            return SKIPPED
        session.bound[step["as"]] = view(context)
        return NONE

    return operate


def iterator_next(session, step):
    iterator = session.bound.get(step["iterator"], UNBOUND)
    if iterator is UNBOUND:
        return SKIPPED
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
    iterator = session.bound.get(step["iterator"], UNBOUND)
    if iterator is UNBOUND:
        return SKIPPED
    # A view's length is that of what its context binds now.
    is_iterator = hasattr(iterator, "__next__") and hasattr(iterator, "__len__")
    return '{"count":%d}' % len(iterator) if is_iterator else UNSUPPORTED


def compare(compared):
    def operate(session, step):
        left, right = session.bound.get(step["left"], UNBOUND), session.bound.get(step["right"], UNBOUND)
        if left is UNBOUND or right is UNBOUND:
            return SKIPPED
        try:
            return TRUE if compared(left, right) else FALSE
        except EqualityRaised as error:
            return '{"error":{"kind":"equality_raised","value":"%s"}}' % error.args[0].name
        except Exception as error:
            return of_type(error)

    return operate


def object_repr(session, step):
    found = session.bound.get(step["object"], UNBOUND)
    return SKIPPED if found is UNBOUND else text(session.repr(found))


def object_hash(session, step):
    found = session.bound.get(step["object"], UNBOUND)
    if found is UNBOUND:
        return SKIPPED
    try:
        hashed = hash(found)
    except Exception as error:
        return of_type(error)
    return '{"hash":%d}' % hashed if step["object"].startswith("var") else NONE


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


def attempt(session, step):
    name = step["object"]
    found = session.bound.get(name, UNBOUND)
    if found is UNBOUND:
        return SKIPPED
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
    context = session.bound.get(step["context"], UNBOUND)
    if context is UNBOUND:
        return SKIPPED
    session.bound[step["as"]] = weakref.ref(context), step["context"]
    return NONE


def dereference(session, step):
    reference = session.bound.get(step["reference"], UNBOUND)
    if reference is UNBOUND:
        return SKIPPED
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


def capi_new(session, step):
    session.bound[step["as"]] = CAPI_OR_NONE.new()
    return NONE


def capi_copy(session, step):
    source = session.bound.get(step["source"], UNBOUND)
    if source is UNBOUND:
        return SKIPPED
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
        context = session.bound.get(name, UNBOUND)
        if context is UNBOUND:
            return SKIPPED
        try:
            function(context)
        except Exception as error:
            return classify(error, SWITCH if name.startswith("ctx") else CAPI_CONTEXT, context, name)
        return NONE

    return operate


def capi_var_new(session, step):
    default = None
    if step.get("default") is not None:
        default = session.bound.get(step["default"], UNBOUND)
        if default is UNBOUND:
            return SKIPPED
        default = id(default)
    # A text with a NUL would end there.
    name = step["name"].replace("\0", "").encode()
    return session.bind_variable(step["as"], CAPI_OR_NONE.var_new(name, default))


def capi_var_get(session, step):
    variable = session.bound.get(step["variable"], UNBOUND)
    if variable is UNBOUND:
        return SKIPPED
    default = None
    if step.get("default") is not None:
        default = session.bound.get(step["default"], UNBOUND)
        if default is UNBOUND:
            return SKIPPED
        default = id(default)
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
    variable, value = session.bound.get(step["variable"], UNBOUND), session.bound.get(step["value"], UNBOUND)
    if variable is UNBOUND or value is UNBOUND:
        return SKIPPED
    try:
        session.bound[step["as"]] = CAPI_OR_NONE.var_set(variable, value)
    except Exception as error:
        return classify(error, CAPI_VARIABLE, variable, step["variable"])
    return NONE


def capi_var_reset(session, step):
    name = step["token"]
    variable, token = session.bound.get(step["variable"], UNBOUND), session.bound.get(name, UNBOUND)
    if variable is UNBOUND or token is UNBOUND:
        return SKIPPED
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
    variable = session.bound.get(step["variable"], UNBOUND)
    if variable is UNBOUND:
        return SKIPPED
    if not CAPI_OR_NONE.has_cache:
        return UNSUPPORTED
    value, thread, context_ver = CAPI_OR_NONE.cache(variable)
    if value == 0:
        return '{"cache":null}'
    value, thread = session.names.get(value), session.thread_of.get(thread)
    if value is None or thread is None:
        return text("a cached value or a thread that the trace does not know")
    return '{"cache":{"value":"%s","thread":"%s","context_ver":%d}}' % (value, thread, context_ver)


def has_current_context(_, __):
    fresh = Context()
    referents = fresh.run(gc.get_referents, fresh)
    return TRUE if any(type(referent) is Context for referent in referents) else FALSE


def has_current_context_of_pypy(_, __):
    return TRUE if get_contextvar_context() is not None else FALSE


# `Context.run`, `return`, `raise`, `start_new_thread` and `end_thread` are the session's own. What
# is not here, such as `context_ver`, no program can ask of the interpreter.
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
    "==": compare(operator.eq),
    "!=": compare(operator.ne),
    "repr": object_repr,
    "hash": object_hash,
    "attempt": attempt,
    "weakref.ref": weak_reference,
    "dereference": dereference,
    "del": delete,
}
if CPYTHON:
    OPERATIONS["has_current_context"] = has_current_context
elif get_contextvar_context is not None:
    OPERATIONS["has_current_context"] = has_current_context_of_pypy
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


# The protocol


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


if __name__ == "__main__":
    # Ctrl-C ends the adapter with its parent, and leaves no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A watcher that fails is reported as unraisable, on standard error unless this says otherwise.
    sys.unraisablehook = lambda unraisable: None
    # Each nested `Context.run` of a trace takes three calls.
    sys.setrecursionlimit(10000)
    _thread.stack_size(16 << 20)
    serve()
