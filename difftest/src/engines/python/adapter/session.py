"""One trace from its first step to its last: who carries a step out, and what is recorded."""
import _thread
import re
import sys
import traceback
from contextvars import Token

from capi import CAPI, CAPI_OR_NONE
from errors import SWITCH, classify
from operations import OPERATIONS
from outcomes import CALLED, NONE, RAISED, SKIPPED, UNSUPPORTED, Unbound, text
from threads import OVER, RAISE, RETURN, THREAD, Thread
from values import RUNNING, Raised

MISSING = Token.MISSING
MAIN = "thread0"
# How many programs one step may run.
MAX_CALLS = 24


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
                    outcome = self.outcome(operate, step)
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
        try:
            context = self.operand(name)
        except Unbound:
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

    def outcome(self, operate, step):
        try:
            return operate(self, step)
        except Unbound:
            return SKIPPED

    def operand(self, name):
        """The object of a handle."""
        try:
            return self.bound[name]
        except KeyError:
            raise Unbound from None

    def default(self, step):
        """The default that a step gives, if it does, as the arguments of a call."""
        name = step.get("default")
        return () if name is None else (self.operand(name),)

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
                outcomes.append(self.outcome(OPERATIONS.get(step["op"], not_here), step))
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


def not_here(_, __):
    return UNSUPPORTED
