"""What runs inside the sandbox. Standard library alone; started by its source text, never imported there.

Two roles in two sandboxes. The *worker* holds a program that nobody trusts and answers calls of its
entry point. The *checker* holds the problem's test and sees only the answers, as plain values: a
program can't reach the test, patch it, nor say that it passed. Both speak JSON, one message a line,
on the standard input and output that they were started with.
"""

import builtins
import ctypes
import importlib
import json
import os
import resource
import struct
import sys
from collections import deque
from itertools import islice

MOST_ITEMS = 1_000_000  # of an iterator that a program returns
_EXACT = {"decimal": "Decimal", "fractions": "Fraction"}  # numbers of modules that few programs import

# System calls that namespaces and limits don't confine: sockets of virtual machines (AF_VSOCK) and rings that make
# sockets, keys that outlive the process, other processes' memory, memory that RLIMIT_AS doesn't count (System V
# segments, queues, memfd, pairs of sockets), and doors into the kernel that no such program needs. By machine: its
# name for seccomp, and the calls' numbers.
REFUSED_CALLS = {
    "x86_64": (0xC000003E, {
        "socket": 41, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "add_key": 248,
        "request_key": 249, "keyctl": 250, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
        "pidfd_getfd": 438, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "unshare": 272, "setns": 308,
        "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240, "memfd_create": 319, "memfd_secret": 447,
        "socketpair": 53,
    }),
    "aarch64": (0xC00000B7, {
        "socket": 198, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "add_key": 217,
        "request_key": 218, "keyctl": 219, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
        "pidfd_getfd": 438, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "unshare": 97, "setns": 268,
        "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180, "memfd_create": 279, "memfd_secret": 447,
        "socketpair": 199,
    }),
}  # fmt: skip


def encode(value):
    """A plain value as JSON. Subclasses become their plain base: no `__eq__` of a program's own survives."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": hex(value)}
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, complex):
        return {"complex": [float(value.real).hex(), float(value.imag).hex()]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": bytes(value).hex()}
    for name, kind in _EXACT.items():
        if isinstance(value, getattr(sys.modules.get(name), kind, ())):
            return {name: str(value)}
    for name, kind in (("list", list), ("tuple", tuple), ("set", set), ("frozenset", frozenset), ("deque", deque)):
        if isinstance(value, kind):
            return {name: [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, (type({}.keys()), type({}.items()))):
        return {"set": [encode(item) for item in value]}
    if hasattr(value, "__iter__"):
        return {"iterator": [encode(item) for item in islice(value, MOST_ITEMS)]}
    return {"other": type(value).__name__}


def decode(value):
    """The value that `encode` was given. What is not plain becomes an object that equals nothing."""
    if not isinstance(value, dict):
        return value
    ((name, content),) = value.items()
    if name == "int":
        return int(content, 16)
    if name == "float":
        return float.fromhex(content)
    if name == "complex":
        return complex(*map(float.fromhex, content))
    if name == "bytes":
        return bytes.fromhex(content)
    if name == "dict":
        return {decode(key): decode(item) for key, item in content}
    if name == "range":
        return range(*content)
    if name == "other":
        return object()
    if name in _EXACT:
        return getattr(importlib.import_module(name), _EXACT[name])(content)
    items = [decode(item) for item in content]
    if name == "iterator":
        return iter(items)
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}[name](items)


def describe(error):
    """One line about an exception, from a program that may have made its text hostile."""
    return " ".join((type(error).__name__ + ": " + words(error)).split())[:200]


def words(error):
    """An exception's own text, at most 200 characters, empty where it can't be had."""
    try:
        return str(str(error))[:200]
    except BaseException:
        return ""


def again(name, text):
    """An exception of the kind that a program raised, where it is one of Python's own."""
    kind = getattr(builtins, name, None)
    ends = (StopIteration, StopAsyncIteration)  # these would end the test's own loops: `all(map(candidate, xs))`
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, ends):
        try:
            return kind(text)
        except TypeError:  # some kinds take more than a text
            pass
    return RuntimeError(name + ": " + text)


class Channel:
    """The pipes that the role was started with, out of the way of the program's own 0, 1 and 2."""

    def __init__(self):
        self.input = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self.output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nothing = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.close(nothing)

    def send(self, message):
        self.output.write(json.dumps(message) + "\n")
        self.output.flush()

    def receive(self):
        line = self.input.readline()
        if not line:
            os._exit(0)  # the other side has gone
        return json.loads(line)


def limit_files(options):
    """Another /tmp, which holds so many files: bubblewrap has no option for it, and its size doesn't count empty files.
    Where the kernel refuses, processor time is the only limit."""
    libc = ctypes.CDLL(None)
    new_mounts, nosuid_nodev = 0x20000, 6
    if libc.unshare(new_mounts) == 0:
        libc.mount(b"none", b"/tmp", b"tmpfs", nosuid_nodev, options.encode())
        os.chdir("/tmp")


def drop_capabilities():
    """Give up what bubblewrap left us for `limit_files`, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    if libc.capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def give_up_rights(options):
    """Become nobody where started as root, and take on limits that can't be raised again."""
    if options.get("tmp"):
        limit_files(options["tmp"])
    uid = options.get("uid")
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    drop_capabilities()
    for name, value in options["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    refuse_calls()


def refuse_calls():
    """Have the kernel answer REFUSED_CALLS with EPERM, for good; on machines that aren't listed nothing is refused."""
    if os.uname().machine not in REFUSED_CALLS:
        return
    machine, calls = REFUSED_CALLS[os.uname().machine]
    # Berkeley Packet Filter: load a word (0x20), go on if equal (0x15) or at least (0x35) else skip, return (0x06).
    kill, refuse, allow = 0x80000000, 0x00050001, 0x7FFF0000
    filters = [(0x20, 0, 0, 4), (0x15, 1, 0, machine), (0x06, 0, 0, kill), (0x20, 0, 0, 0)]
    filters += [(0x35, 0, 1, 0x40000000), (0x06, 0, 0, kill)]  # the numbers of x86's other call table
    for number in calls.values():
        filters += [(0x15, 0, 1, number), (0x06, 0, 0, refuse)]
    filters.append((0x06, 0, 0, allow))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in filters))
    found = struct.pack("@HP", len(filters), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with SECCOMP_MODE_FILTER
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, found, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def let_asyncio_run():
    """Event loops without the pair of sockets that other threads wake them by: there are neither here."""
    from asyncio.selector_events import BaseSelectorEventLoop

    for name in ("_make_self_pipe", "_close_self_pipe"):
        setattr(BaseSelectorEventLoop, name, lambda self: None)


def work(channel):
    """The worker: execute the program, then answer calls until the other side goes."""
    task = channel.receive()
    names = {}
    if "asyncio" in task["program"]:
        let_asyncio_run()
    try:
        exec(compile(task["program"], "<program>", "exec", dont_inherit=True), names)
        function = names[task["entry_point"]]
    except BaseException as error:
        channel.send({"error": describe(error)})
        return
    channel.send({"ready": True})
    while True:
        arguments, named = channel.receive()["call"]
        try:
            result = function(*decode(arguments), **decode(named))
            reply = {"result": encode(result)}
        except BaseException as error:
            reply = {"raised": type(error).__name__, "text": words(error)}
        channel.send(reply)


def allclose(found, wanted, rtol=1e-5, atol=1e-8):
    """NumPy's, for numbers and sequences of them."""
    if isinstance(wanted, (list, tuple)) or isinstance(found, (list, tuple)):
        same = isinstance(found, (list, tuple)) and isinstance(wanted, (list, tuple)) and len(found) == len(wanted)
        return same and all(allclose(a, b, rtol, atol) for a, b in zip(found, wanted, strict=True))
    return found == wanted or abs(found - wanted) <= atol + rtol * abs(wanted) < float("inf")


def stand_in_for_numpy():
    """What EvalPlus's tests use of NumPy, which isn't here."""
    numpy = type(sys)("numpy")
    numpy.allclose, numpy.ndarray, numpy.float32, numpy.float64 = allclose, type("ndarray", (), {}), float, float
    sys.modules["numpy"] = numpy


def check(channel):
    """The checker: one problem after the other, each in its own namespace."""
    stand_in_for_numpy()
    while True:
        problem = channel.receive()

        def candidate(*arguments, **named):
            channel.send({"call": [encode(arguments), encode(named)]})
            reply = channel.receive()
            if "raised" in reply:
                raise again(str(reply["raised"]), str(reply["text"]))
            return decode(reply["result"])

        names = {}
        try:
            # The prompt's own helpers serve the test; its entry point's body is a docstring alone.
            exec(compile(problem["prompt"], "<prompt>", "exec", dont_inherit=True), names)
        except SyntaxError:
            names = {}
        try:
            names[problem["entry_point"]] = candidate
            exec(compile(problem["test"], "<test>", "exec", dont_inherit=True), names)
            names["check"](candidate)
        except BaseException as error:
            channel.send({"verdict": "failed", "reason": describe(error)})
        else:
            channel.send({"verdict": "passed"})


def main():
    options = json.loads(sys.argv[1])
    channel = Channel()
    give_up_rights(options)
    channel.send({"started": True})  # a program's time begins here
    {"worker": work, "checker": check}[options["role"]](channel)


main()
