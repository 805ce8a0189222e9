#!/usr/bin/env python3
"""The parts of scripts/profile.sh: reading what the tools write, adding it up, judging it. TAP."""

import pathlib
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "netns"), str(ROOT / "scripts" / "profile")]

import callgrind  # noqa: E402
import common  # noqa: E402
import flame  # noqa: E402
import heap  # noqa: E402
import instructions  # noqa: E402
import leaks  # noqa: E402
import locks  # noqa: E402
import netns  # noqa: E402
import perfstat  # noqa: E402
import stacks  # noqa: E402
import syscalls  # noqa: E402
from netns import check, equal  # noqa: E402

# As callgrind writes it without compression: a function of ours calls another one, one with inlined code of a header,
# libcrypto (static, without debug information), malloc and a test's helper.
CALLGRIND = """# callgrind format
version: 1
cmd:  ./rows
part: 2
desc: Trigger: --dump-after=profile_measure

positions: line
events: Ir
summary: 1000

ob=/b/path_rows
fl=/b/../src/path/seal.c
fn=cq_path_seal
10 100
fi=/b/../src/base/bytes.h
3 20
fe=/b/../src/path/seal.c
12 5
cfn=seal_record
calls=2 40
12 700
cob=/usr/lib/x86_64-linux-gnu/libc.so.6
cfi=./malloc/./malloc/malloc.c
cfn=malloc'2
calls=3 100
* 90
cfi=???
cfn=EVP_EncryptUpdate
calls=4 0
+1 400

fn=seal_record
40 50

ob=/usr/lib/x86_64-linux-gnu/libc.so.6
fl=./malloc/./malloc/malloc.c
fn=malloc
100 90

ob=/b/path_rows
fl=???
fn=EVP_EncryptUpdate
0 400

fl=/b/../tests/unit/packets.c
fn=packet_make
7 335

totals: 1000
"""


def test_reading_callgrind():
    cost = callgrind.read_profile(CALLGRIND, callgrind.Cost("row", "packet", 1))
    equal(cost.functions, {"cq_path_seal": 125, "seal_record": 50}, "functions of ours")
    equal((cost.own, cost.libcrypto, cost.libc), (175, 400, 90), "instructions")
    equal((cost.calls, cost.allocations), (7, 3), "calls and allocations")


def test_origins():
    for source, binary, wanted in (
            ("/home/me/src/cryprq/src/path/open.c", "/home/me/rows", callgrind.OWN),
            ("/b/../tests/profile/path_rows.c", "/b/path_rows", callgrind.OWN),
            ("/b/../tests/sim/lab.c", "/b/engine_rows", callgrind.HARNESS),
            ("???", "/usr/lib/libcmocka.so.0.7.0", callgrind.HARNESS),
            ("???", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", callgrind.LIBCRYPTO),
            ("???", "/b/path_rows", callgrind.LIBCRYPTO),
            ("./string/../sysdeps/x86_64/multiarch/strlen-avx2.S", "/usr/lib/libc.so.6", callgrind.LIBC),
            ("???", "/usr/lib64/ld-linux-x86-64.so.2", callgrind.LIBC)):
        equal(callgrind.origin(source, binary), wanted, f"{source} in {binary}")


def row(own, calls=10, libcrypto=1000, allocations=0, name="seal"):
    return callgrind.Cost(name, "packet", 1, own, calls, libcrypto, 0, allocations)


def verdict(measured, old_library=1000):
    old = {"own": 10000, "calls": 10, "allocations": 0}
    return instructions.judge_row(measured, old, old_library, 1.0)


def test_verdicts():
    for measured, word in ((row(10000), "same"), (row(10100), "same"), (row(9900), "same"), (row(10101), "SLOWER"),
                           (row(9899), "FASTER"), (row(10000, calls=11), "SLOWER"),
                           (row(10000, libcrypto=1011), "SLOWER"), (row(10000, libcrypto=900), "FASTER"),
                           (row(10000, allocations=1), "SLOWER"), (row(5000, calls=11), "SLOWER")):
        equal(verdict(measured).word, word, measured)
    equal(verdict(row(10000, libcrypto=5000), None).word, "same", "another libcrypto")
    equal(verdict(row(10000, allocations=1)).why, "more allocations", "the reason")


def test_rows_that_come_and_go():
    known = {"rows": {"seal": row(1).counts(), "open": row(1).counts()}}
    words = {v.row: v.word for v in instructions.judge([row(1), row(5, name="window")], known, "", 1.0)}
    equal(words, {"seal": "same", "window": "new", "open": "GONE".lower()}, "verdicts")
    equal(len(instructions.judge([row(1)], known, "", 1.0, whole=False)), 1, "verdicts on a part")


def test_baseline_file():
    first = instructions.record({}, "gcc 12.2.0 x86_64", "one", [row(1), row(2, name="open")])
    second = instructions.record(first, "gcc 12.2.0 x86_64", "two", [row(1), row(2, name="open")])
    equal(sorted(second["gcc 12.2.0 x86_64"]["libcrypto"]), ["one", "two"], "libraries of unchanged rows")
    third = instructions.record(second, "gcc 12.2.0 x86_64", "two", [row(1), row(3, name="open")])
    equal(sorted(third["gcc 12.2.0 x86_64"]["libcrypto"]), ["two"], "libraries once a row has changed")
    both = instructions.record(third, "clang 14.0.6 x86_64", "two", [row(7)])
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "baseline.json")
        instructions.write(both, path)
        equal(instructions.load(path), both, "what was written")
        path.write_text("{")
        try:
            instructions.load(path)
            raise netns.Failure("half a file is read without complaint")
        except common.Broken as error:
            check(str(path) in str(error), str(error))


def test_tables():
    lines = common.table(("name", "count"), [("a", 5), ("longer", 12345)])
    equal(lines, ["name    count", "-------------", "a           5", "longer  12345"], "a table")


# What `perf script` prints: one stack that begins where threads do, one that was cut off, two of another node.
SAMPLES = """packets-0 100/101
	ffffffff81b6c5e0 _copy_from_iter+0x5a ([kernel.kallsyms])
	ffffffff82046f42 udp_sendmsg ([kernel.kallsyms])
	          10ac4d __libc_sendmsg (/usr/lib/x86_64-linux-gnu/libc.so.6)
	           753bd send_batch.isra.0 (/opt/cryprq)
	           89ba7 run_worker (/opt/cryprq)
	           891f4 start_thread (/usr/lib/x86_64-linux-gnu/libc.so.6)
	          1098eb clone3 (/usr/lib/x86_64-linux-gnu/libc.so.6)

packets-0 100/101
	          222aa8 EVP_EncryptUpdate (/opt/cryprq)
	    7f016a229ae0 [unknown] ([unknown])

two words 200/201
	           89ba7 run_worker (/opt/cryprq)
	           89ba7 run_worker (/opt/cryprq)
	           891f4 start_thread (/usr/lib/x86_64-linux-gnu/libc.so.6)

two words 200/201
	           89ba7 run_worker (/opt/cryprq)
	           89ba7 run_worker (/opt/cryprq)
	           891f4 start_thread (/usr/lib/x86_64-linux-gnu/libc.so.6)
"""


def folded():
    owners = stacks.Owners("/opt/cryprq", {"send_batch", "run_worker"})
    return stacks.fold(SAMPLES, owners, {100: "sender", 200: "receiver"})


def test_folding_stacks():
    found, cut = folded()
    equal(cut, 1, "stacks cut off")
    equal(stacks.as_text(found).splitlines(), [
        "receiver;two words;run_worker;run_worker 2",
        "sender;packets-0;[unknown];EVP_EncryptUpdate 1",
        "sender;packets-0;run_worker;send_batch.isra.0;__libc_sendmsg;udp_sendmsg;_copy_from_iter 1"], "folded")
    equal(dict(stacks.by_kind(found)), {"cryprq": 2, "libcrypto": 1, "kernel": 1}, "by whose code it is")


def test_self_and_total():
    rows = {frame[0]: (own, total) for frame, own, total in stacks.totals(folded()[0])}
    equal(rows["run_worker"], (2, 3), "run_worker, which is twice on a stack")
    equal(rows["udp_sendmsg"], (0, 1), "udp_sendmsg")
    equal(rows["EVP_EncryptUpdate"], (1, 1), "EVP_EncryptUpdate")
    equal(sum(own for own, _ in rows.values()), 4, "sum of self")


def test_flame_graph():
    text = flame.render(folded()[0], "A & B", "<4 samples>")
    root = xml.etree.ElementTree.fromstring(text)
    svg = "{http://www.w3.org/2000/svg}"
    equal([word for word in ("href", "url(", "import", "src=", "fetch(") if word in text], [], "loads of something else")
    equal(text.count("http"), text.count("http://www.w3.org/"), "addresses")
    equal(root.findall(f"{svg}text")[0].text, "A & B", "the title")
    frames = {}
    for g in root.iter(f"{svg}g"):
        if g.get("class") == "f":
            x, width, depth = map(int, g.get("data-at").split())
            frames.setdefault(depth, []).append((x, width, g.find(f"{svg}title").text))
    equal(frames[0], [(0, 4, "all (4 samples, 100.00 %)")], "the root")
    equal([(width, title.split(" ")[0]) for _, width, title in sorted(frames[1])], [(2, "receiver"), (2, "sender")],
          "below it")
    for depth, row in frames.items():
        row.sort()
        for (x, width, title), following in zip(row, [*row[1:], (4, 0, "")]):
            check(x + width <= following[0], f"{title} overlaps at depth {depth}")
    check("prefers-color-scheme:dark" in text, "nothing for the dark")


def test_small_frames_are_left_out():
    many = {(("f", "task"), (f"g{i}", "cryprq")): 1 for i in range(100)}
    equal(flame.render(many, "t", "s", 2).count('class="f"'), 2, "frames of at least 2 %")
    equal(flame.render(many, "t", "s", 1).count('class="f"'), 102, "frames of at least 1 %")


def test_reading_perf_stat():
    text = ("packets-0-20030,37004,,syscalls:sys_enter_readv,959699525,100.00,,\n"
            "cryprq-node-20028,<not counted>,,syscalls:sys_enter_readv,0,100.00,,\n"
            "packets-0-20030,0,,syscalls:sys_enter_write,959699525,100.00,,\n\nnoise\n")
    equal(perfstat.read(text), {(20030, "syscalls:sys_enter_readv"): 37004}, "counts")


def test_reading_strace():
    text = ("syscall              calls    errors\n---------------- --------- ---------\n"
            "readv                 3998       174\nwritev                3804          \n"
            "---------------- --------- ---------\ntotal                 7802       174\n")
    equal(syscalls.read_strace(text), {"readv": 3998, "writev": 3804}, "counts")
    check({"readv", "writev", "sendmsg", "recvmmsg", "futex"} <= set(syscalls.allowed_calls()), "calls of the filter")


def test_reading_locks():
    text = """packets-0 1/2 10.000100: lock:contention_begin: 0xffff888627c2ba80 (flags=SPIN)
	ffffffff8220389b _raw_spin_lock ([kernel.kallsyms])
	ffffffff821fa76d tcp_v4_rcv ([kernel.kallsyms])
	           fddfd __GI___readv (/usr/lib/x86_64-linux-gnu/libc.so.6)
	          2d688d cq_tun_read (/opt/cryprq)

packets-0 1/2 10.000350: lock:contention_end: 0xffff888627c2ba80 (ret=0)

packets-0 1/2 10.000400: syscalls:sys_enter_futex: uaddr: 0x7f, op: 0x00000080, val: 0x00000002
	           89ba7 cq_secret_alloc (/opt/cryprq)

packets-0 1/2 10.000500: syscalls:sys_enter_futex: uaddr: 0x7f, op: 0x00000081, val: 0x00000001
	           89ba7 cq_secret_free (/opt/cryprq)
"""
    kernel, futexes = locks.read(text)
    equal(list(kernel), [(2, "tcp_v4_rcv", "cq_tun_read")], "locks of the kernel")
    site = kernel[2, "tcp_v4_rcv", "cq_tun_read"]
    equal((site.waits, round(site.seconds * 1e6)), (1, 250), "waits and microseconds")
    equal(dict(futexes), {(2, "wait", "cq_secret_alloc"): 1, (2, "wake", "cq_secret_free"): 1}, "futex calls")


def test_reading_dhat():
    profile = {"ftbl": ["[root]", "0x10: malloc (in /usr/libexec/valgrind/vgpreload_dhat-amd64-linux.so)",
                        "0x11: CRYPTO_malloc (in /b/rows)", "0x12: EVP_PKEY_new (in /b/rows)",
                        "0x13: cq_lib_import (lib.c:57)"],
               "pps": [{"tbk": 3, "tb": 300, "gb": 100, "fs": [1, 2, 3, 4]}, {"tbk": 2, "tb": 50, "gb": 0, "fs": [1, 4]}]}
    blocks, sites = heap.read_dhat(profile)
    equal(blocks, 5, "blocks")
    equal(heap.group(sites), [("EVP_PKEY_new", "cq_lib_import (lib.c:57)", 3, 300, 100),
                              ("cq_lib_import", "cq_lib_import (lib.c:57)", 2, 50, 0)], "sites")


def test_reading_memcheck():
    bad = ("==1==    definitely lost: 1,234 bytes in 2 blocks\n==1==    indirectly lost: 0 bytes in 0 blocks\n"
           "==1==      possibly lost: 5 bytes in 1 blocks\n==1== ERROR SUMMARY: 3 errors from 2 contexts\n")
    equal(leaks.read_memcheck(bad), ({"definitely": 2, "indirectly": 0, "possibly": 1}, 3), "losses")
    good = "==1== All heap blocks were freed -- no leaks are possible\n==1== ERROR SUMMARY: 0 errors from 0 contexts\n"
    equal(leaks.read_memcheck(good), ({}, 0), "no losses")
    try:
        leaks.read_memcheck("nothing of the kind")
        raise netns.Failure("a report that says nothing passes")
    except common.Broken:
        pass


def main():
    tap = netns.Tap()
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            tap.case(name.removeprefix("test_").replace("_", " "), function)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
