"""Context watchers, which see each change of a thread's current context."""
import os
import platform
import struct

from interpreter import ctypes, mmap


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
