#!/usr/bin/env python3
"""A user at a terminal, for the tests: run a command on a pseudo-terminal and
play a script with it. Standard library only.

  pty.py [--size ROWSxCOLS] [--stdin FILE] -- COMMAND… :: STEP…

Steps, in their order:
  send TEXT     type it; \\n, \\r, \\xNN and \\\\ are understood
  expect RE     wait until the new output matches (Python's re, . is any byte)
  resize RxC    change the size, as a terminal emulator does
  modes FILE    write the terminal's settings to FILE: the words of ECHO, ICANON,
                ISIG, OPOST and ONLCR that are on, in a line; all in a second one
  size FILE     write the terminal's size to FILE, "ROWS COLS"
  wait          wait for the end of the command and its output

All output goes to standard output; the exit status is the command's (128+n for
signal n), or 99 with a message if an expectation is not met in a minute.
The command leads a session whose controlling terminal is the pseudo-terminal;
its standard input is that too, or FILE.
"""
import codecs
import fcntl
import os
import re
import select
import struct
import sys
import termios
import time

PATIENCE = 60


class User:
    def __init__(self, command, size, stdin):
        self.new = b""
        self.status = None
        self.slave = None
        self.master, slave = os.openpty()
        self.resize(size)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.dup2(os.open(stdin, os.O_RDONLY) if stdin else slave, 0)
            os.dup2(slave, 1)
            os.dup2(slave, 2)
            os.closerange(3, 256)
            os.execvp(command[0], command)
        self.slave = slave  # stays open: the settings outlive the command

    def resize(self, size):
        rows, cols = size.split("x")
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(cols), 0, 0))

    def read(self, timeout):
        """Take what there is; False if there is nothing."""
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        data = os.read(self.master, 65536)
        os.write(1, data)
        self.new += data
        return True

    def send(self, text):
        os.write(self.master, codecs.escape_decode(text.encode())[0])

    def expect(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while True:
            match = re.search(pattern.encode(), self.new, re.S)
            if match:
                self.new = self.new[match.end():]
                return
            if time.monotonic() > deadline or (not self.read(0.05) and self.ended()):
                self.give_up("%r is not in %r" % (pattern, self.new))

    def ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait(self):
        deadline = time.monotonic() + PATIENCE
        while not self.ended():
            self.read(0.02)
            if time.monotonic() > deadline:
                self.give_up("the command does not end")
        while self.read(0):
            pass

    def modes(self, path):
        settings = termios.tcgetattr(self.slave)
        output, local = settings[1], settings[3]
        words = [w for w in ("ECHO", "ICANON", "ISIG") if local & getattr(termios, w)]
        words += [w for w in ("OPOST", "ONLCR") if output & getattr(termios, w)]
        with open(path, "w") as f:
            print(*words, file=f)
            print(settings, file=f)

    def size(self, path):
        rows, cols = struct.unpack("HHHH", fcntl.ioctl(self.slave, termios.TIOCGWINSZ, b"\0" * 8))[:2]
        with open(path, "w") as f:
            print(rows, cols, file=f)

    def give_up(self, why):
        sys.stderr.write("pty.py: %s\n" % why)
        if not self.ended():
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os._exit(99)


def main(args):
    size, stdin = "24x80", None
    while args[0] != "--":
        if args[0] == "--size":
            size = args[1]
        elif args[0] == "--stdin":
            stdin = args[1]
        else:
            sys.exit(__doc__)
        del args[:2]
    split = args.index("::") if "::" in args else len(args)
    user = User(args[1:split], size, stdin)
    steps = iter(args[split + 1:])
    for step in steps:
        if step == "wait":
            user.wait()
        else:
            getattr(user, step)(next(steps))
    user.wait()
    sys.exit(user.status if user.status >= 0 else 128 - user.status)


if __name__ == "__main__":
    main(sys.argv[1:])
