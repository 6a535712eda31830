"""What libseccomp makes of profiles, for the differential test.

Reads one JSON object a line and answers each with one line:
  {"version": true}         [major, minor, micro]
  {"table": "x86_64"}       {name: number} of that architecture
  {"arches": [...], "default": N, "optimize": N,
   "rules": [{"call": NAME, "action": N, "args": [[index, op, a, b], ...]}, ...]}
                            with "time": N the seconds that it takes, best of N, else
                            {"bpf": HEX, "newest": {arch: number}} or {"error": TEXT}

The filter is made as runc makes it: the first architecture is the machine's
own, rules whose action is the default one are left out, and so are names that
libseccomp does not know. newest is the highest number that the rules' names
have, as runc looks for it.
"""
import ctypes
import json
import os
import sys
import tempfile
import time

lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)


class Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint)]


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


lib.seccomp_version.restype = ctypes.POINTER(Version)
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_release.argtypes = [ctypes.c_void_p]
lib.seccomp_arch_native.restype = ctypes.c_uint32
lib.seccomp_arch_resolve_name.restype = ctypes.c_uint32
lib.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
lib.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
lib.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
lib.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]
lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
libc = ctypes.CDLL(None)
libc.free.argtypes = [ctypes.c_void_p]

UNKNOWN = -1
OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE


def arch(name):
    return lib.seccomp_arch_resolve_name(name.encode())


def check(what, rc):
    if rc < 0:
        raise ValueError("%s: %s" % (what, os.strerror(-rc)))


def number(name, token):
    return lib.seccomp_syscall_resolve_name_arch(token, name.encode())


def table(name):
    token = arch(name)
    calls = {}
    if token == 0:  # an architecture that this libseccomp does not know
        return calls
    for base in (0, 4000, 5000, 6000, 0x0F0000, 0x40000000):
        for n in range(base, base + 1000):
            found = lib.seccomp_syscall_resolve_num_arch(token, n)
            if found:
                calls[ctypes.string_at(found).decode()] = n
                libc.free(found)
    return calls


def seconds(job):
    """How long the library's own calls take, best of job["time"]."""
    names = [(lib.seccomp_syscall_resolve_name, r["call"].encode()) for r in job["rules"]]
    rules = [(r["action"], len(r["args"]), (Compare * len(r["args"]))(*[Compare(*one) for one in r["args"]]))
             for r in job["rules"]]
    tokens = [arch(name) for name in job["arches"][1:]]
    best = None
    for _ in range(job["time"]):
        with tempfile.TemporaryFile() as out:
            start = time.perf_counter()
            ctx = lib.seccomp_init(job["default"])
            for token in tokens:
                lib.seccomp_arch_add(ctx, token)
            lib.seccomp_attr_set(ctx, OPTIMIZE, job["optimize"])
            for (resolve, name), (action, n, args) in zip(names, rules):
                lib.seccomp_rule_add_array(ctx, action, resolve(name), n, args)
            lib.seccomp_export_bpf(ctx, out.fileno())
            took = time.perf_counter() - start
            lib.seccomp_release(ctx)
        best = took if best is None else min(best, took)
    return best


def build(job):
    ctx = lib.seccomp_init(job["default"])
    if not ctx:
        raise ValueError("seccomp_init")
    try:
        own = lib.seccomp_arch_native()
        if arch(job["arches"][0]) != own:
            check("arch_remove", lib.seccomp_arch_remove(ctx, own))
            own = 0
        for name in job["arches"]:
            if arch(name) != own:
                check("arch_add " + name, lib.seccomp_arch_add(ctx, arch(name)))
        if job["optimize"]:
            check("optimize", lib.seccomp_attr_set(ctx, OPTIMIZE, job["optimize"]))
        newest = {a: 0 for a in job["arches"]}
        for rule in job["rules"]:
            for a in job["arches"]:
                n = number(rule["call"], arch(a))
                if n > 0:
                    newest[a] = max(newest[a], n)
            n = lib.seccomp_syscall_resolve_name(rule["call"].encode())
            if rule["action"] == job["default"] or n == UNKNOWN:
                continue
            args = (Compare * len(rule["args"]))(*[Compare(*one) for one in rule["args"]])
            check("rule_add " + json.dumps(rule), lib.seccomp_rule_add_array(ctx, rule["action"], n, len(args), args))
        with tempfile.TemporaryFile() as out:
            check("export_bpf", lib.seccomp_export_bpf(ctx, out.fileno()))
            out.seek(0)
            return {"bpf": out.read().hex(), "newest": newest}
    finally:
        lib.seccomp_release(ctx)


for line in sys.stdin:
    job = json.loads(line)
    try:
        if "version" in job:
            v = lib.seccomp_version().contents
            answer = [v.major, v.minor, v.micro]
        elif "table" in job:
            answer = table(job["table"])
        elif "time" in job:
            answer = seconds(job)
        else:
            answer = build(job)
    except ValueError as e:
        answer = {"error": str(e)}
    print(json.dumps(answer), flush=True)
