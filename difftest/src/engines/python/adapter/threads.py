"""The threads of a trace, of which one works at a time."""
import _thread
import time
import traceback

from capi import CAPI_OR_NONE
from interpreter import CPYTHON

# Why a loop over the steps ended: the trace is over, the thread ends, or its innermost callable
# returns or raises.
OVER, THREAD, RETURN, RAISE = "over", "thread", "return", "raise"

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
