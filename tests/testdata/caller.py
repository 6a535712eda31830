#!/usr/bin/env python3
"""Execute a program as an unusual caller, for the tests of what a container
inherits. Standard library only.

  caller.py signals COMMAND…       with every signal blocked and ignored
  caller.py keyring NAME COMMAND…  with a session keyring of its own that has a
                                   key called NAME.key
"""
import ctypes
import os
import platform
import signal
import sys

# add_key(2), keyctl(2)
CALLS = {"x86_64": (248, 250), "aarch64": (217, 219), "riscv64": (217, 219)}


def signals(*command):
    for s in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(s, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.execvp(command[0], command)


def keyring(name, *command):
    libc = ctypes.CDLL(None, use_errno=True)
    add_key, keyctl = CALLS[platform.machine()]
    join_session, session = 1, -3
    for result in (
        libc.syscall(keyctl, join_session, name.encode()),
        libc.syscall(add_key, b"user", name.encode() + b".key", b"x", 1, session),
    ):
        if result < 0:
            sys.exit("keyring: " + os.strerror(ctypes.get_errno()))
    os.execvp(command[0], command)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
