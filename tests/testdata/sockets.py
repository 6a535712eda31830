#!/usr/bin/env python3
"""Sockets that hako is told of, for the tests. Standard library only.

  sockets.py console PATH     take a terminal; print what the process writes
  sockets.py console PATH IN  likewise, after writing IN and a line feed
  sockets.py slam PATH        take a connection and close it
  sockets.py pidfd PATH       take a pidfd; print its pid, then wait for its end
  sockets.py datagrams PATH N take N messages; print them, a "--" after each
  sockets.py send PATH TEXT   send a message
"""
import os
import select
import socket
import sys


def listen(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen(1)
    conn, _ = s.accept()
    return conn


def receive(path):
    data, fds, _, _ = socket.recv_fds(listen(path), 4096, 4)
    assert len(fds) == 1, "descriptors received: %d" % len(fds)
    return data, fds[0]


def console(path, text=None):
    _, fd = receive(path)
    assert os.isatty(fd)
    if text is not None:
        os.write(fd, text.encode() + b"\n")
    while True:
        try:
            data = os.read(fd, 4096)
        except OSError:  # EIO: nobody has the other end
            return
        if not data:
            return
        os.write(1, data)


def slam(path):
    listen(path).close()


def pidfd(path):
    _, fd = receive(path)
    with open("/proc/self/fdinfo/%d" % fd) as info:
        for line in info:
            if line.startswith("Pid:"):
                print(line.split()[1], flush=True)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()
    print("ended", flush=True)


def datagrams(path, count):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    for _ in range(int(count)):
        print(s.recv(4096).decode(), flush=True)
        print("--", flush=True)


def send(path, text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(text.encode(), path)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
