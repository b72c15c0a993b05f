"""The C API of contextvars, by ctypes."""
import sysconfig
from contextvars import Context, ContextVar

from interpreter import CPYTHON, ctypes
from watchers import start_watchers


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


def start_capi():
    if not CPYTHON or ctypes is None:
        return None
    try:
        return CAPI()
    except AttributeError:
        return None


CAPI_OR_NONE = start_capi()
