# Lets gdb show the stack of a process, or of its core, that has fsession's code on it:
#
#     gdb -x scripts/fsession-gdb.py PROGRAM CORE
#
# gdb looks for the caller of code that it has no symbols for at the stack pointer. fsession's trampolines and programs
# keep frame pointers: the caller's is at rbp, its address above it.
import gdb
from gdb.unwinder import Unwinder, register_unwinder

MAGIC = b"FSESSION"
PAGE = 4096
LARGEST = 1 << 28
known = {}


def read(address, count):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, count))
    except gdb.MemoryError:
        return None


def is_ours(address):
    """Whether a code region of fsession holds the address: one begins with its name and has its size at 32."""
    page = address & ~(PAGE - 1)
    if page not in known:
        start = page
        known[page] = False
        while page - start < LARGEST:
            head = read(start, 40)
            if head is None:
                break
            if head[:8] == MAGIC:
                known[page] = page - start < int.from_bytes(head[32:40], "little")
                break
            start -= PAGE
    return known[page]


class FrameID:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class FSessionUnwinder(Unwinder):
    def __init__(self):
        super().__init__("fsession")

    def __call__(self, frame):
        if not is_ours(int(frame.read_register("rip")) & (1 << 64) - 1):
            return None
        word = gdb.lookup_type("unsigned long").pointer()
        base = frame.read_register("rbp").cast(word)
        if read(int(base), 16) is None:
            return None
        info = frame.create_unwind_info(FrameID(base + 2, frame.read_register("rip")))
        info.add_saved_register("rbp", base.dereference())
        info.add_saved_register("rip", (base + 1).dereference())
        info.add_saved_register("rsp", base + 2)
        for name in ("rbx", "r12", "r13", "r14", "r15"):
            info.add_saved_register(name, frame.read_register(name))
        return info


register_unwinder(None, FSessionUnwinder(), replace=True)
