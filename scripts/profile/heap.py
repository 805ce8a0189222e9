"""`scripts/profile.sh heap`: who allocates memory, and that moving a packet allocates none."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import time

import callgrind
import common
import nodes
import perfstat
import stacks
from cpu import STACK_BYTES

TIMES = (3, 30)             # runs of each row that moves packets
MEGABYTES = (100, 1000)     # through real nodes
ROTATIONS = 3
TOP = 20
MOVING = ("seal/", "open/", "staged/", "window/")
# What hands memory out, as opposed to who wants it.
ALLOCATOR = re.compile(r"^(malloc|calloc|realloc|CRYPTO_\w+|cq_alloc|cq_secret_\w+|alloc_\w+|take_chunk|vgpreload\w*|"
                       r"lab_alloc\w*|__libc_\w+|__GI_\w+)$")
FRAME = re.compile(r"^0x[0-9A-F]+: (?P<function>\S+) \((?P<where>[^)]*)\)$")
SOURCES = {path.name for path in (common.ROOT / "src").rglob("*.[ch]")}


# The deterministic core, under DHAT


def dhat(program, *arguments):
    """(blocks allocated, sites) of one run: [(blocks, bytes, bytes at the peak, stack innermost first)]."""
    with tempfile.TemporaryDirectory(prefix="cryprq-dhat.") as scratch:
        common.run("valgrind", "--tool=dhat", "--dhat-out-file=out", program, *arguments, cwd=scratch,
                   env=callgrind.environment())
        return read_dhat(json.loads(pathlib.Path(scratch, "out").read_text()))


def read_dhat(profile):
    table = profile["ftbl"]
    sites = [(point["tbk"], point["tb"], point["gb"], [table[number] for number in point["fs"]])
             for point in profile["pps"]]
    return sum(site[0] for site in sites), sites


def name_site(frames):
    """(who allocates, the innermost function of ours above it) of a stack as DHAT writes it."""
    parsed = [(found["function"], found["where"]) for found in map(FRAME.match, frames) if found]
    wanting = [part for part in parsed if not ALLOCATOR.match(part[0])]
    ours = next((f"{function} ({where})" for function, where in wanting if where.partition(":")[0] in SOURCES), "-")
    first = wanting[0][0] if wanting else "?"
    return first, ours


def group(sites):
    """Sites by name: [(who, ours, blocks, bytes, bytes at the peak)], the most frequent first."""
    grouped = {}
    for blocks, num_bytes, peak, frames in sites:
        old = grouped.get(name_site(frames), (0, 0, 0))
        grouped[name_site(frames)] = (old[0] + blocks, old[1] + num_bytes, old[2] + peak)
    return sorted(((*name, *sums) for name, sums in grouped.items()), key=lambda row: -row[2])


def core(build):
    """Lines about the core, and whether moving packets allocated nothing."""
    folder = build / "tests" / "profile"
    only = [word for text in MOVING for word in ("--only", text)]
    few, many = (dhat(folder / "path_rows", *only, "--times", times)[0] for times in TIMES)
    lines = [f"core: {few} allocations with every batch of packets done {TIMES[0]} times, {many} with {TIMES[1]} times: "
             f"{many - few} for {TIMES[1] - TIMES[0]} times all packets"]
    blocks, sites = dhat(folder / "engine_rows")
    lines += ["", f"two engines, four sessions from first contact to ten minutes: {blocks} allocations"]
    lines += common.table(("who", "for", "blocks", "bytes", "at the peak"), group(sites)[:TOP], left=2)
    return lines, many == few


# A real node, with probes of the kernel


@contextlib.contextmanager
def probes(program):
    """Names of events that count calls of the C library's allocator and of our locked arena's, while the block runs."""
    label = f"cryprq_heap_{os.getpid()}"
    library = next(line.split()[2] for line in common.run("ldd", program).stdout.splitlines() if "libc.so" in line)
    places = [(library, name) for name in ("malloc", "calloc", "realloc")]
    places += [(program, name) for name in ("cq_secret_alloc", "cq_secret_realloc")]
    try:
        for where, name in places:
            done = common.run("perf", "probe", "-q", "-x", where, "--add", f"{label}:{name}={name}", check=False)
            if done.returncode != 0:
                raise common.CannotRun("the kernel takes no probes of programs here")
        yield [f"{label}:{name}" for _, name in places]
    finally:
        common.run("perf", "probe", "-q", "--del", f"{label}:*", check=False)


def by_thread(counts, names):
    """{(node, thread): calls of any allocator}"""
    sums = {name: 0 for name in names.values()}
    for (tid, _), num in counts.items():
        if tid in names:
            sums[names[tid]] += num
    return sums


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024
            for key in ("VmRSS", "VmHWM", "VmLck")}


def load_nodes(pair, events):
    """(allocations by thread, packets of the sender) for each amount of traffic."""
    names, results = pair.node_threads(), []
    pids = [pair.pid(node) for node in (pair.first, pair.second)]
    for megabytes in MEGABYTES:
        before = pair.status()["peers"][0]["tx_packets"]
        with perfstat.counting(pids, events) as counts:
            pair.tcp(num_bytes=megabytes * 1_000_000)
        results.append((by_thread(counts, names), pair.status()["peers"][0]["tx_packets"] - before))
    return results


def rotation_sites(pair, events, folder, owners):
    """Who allocates in rotations: Counter of (who, ours)."""
    data = folder / "rotations.data"
    pids = ",".join(str(pair.pid(node)) for node in (pair.first, pair.second))
    words = [word for event in events for word in ("-e", event)]
    with common.background("perf", "record", *words, "--call-graph", f"dwarf,{STACK_BYTES}", "-o", data, "-p", pids,
                           "--", "sleep", "3") as perf:
        time.sleep(perfstat.ATTACH_SECONDS)
        for _ in range(ROTATIONS):
            pair.rotate()
    if perf.returncode != 0:
        raise common.Broken(f"perf does not record: {perf.message()}")
    text = common.run("perf", "script", "-i", data, "--no-inline", "-F", "comm,pid,tid,ip,sym,dso").stdout
    sites = {}
    for sample in stacks.samples(text):
        wanting = [frame for frame in sample.frames if not ALLOCATOR.match(frame[0])]
        ours = next((symbol for symbol, where in wanting if owners.kind(symbol, where) == stacks.CRYPRQ), "-")
        key = wanting[0][0] if wanting else "?", ours
        sites[key] = sites.get(key, 0) + 1
    return sites


def real(program, folder):
    """Lines about real nodes, and whether the threads that move packets allocated nothing."""
    with probes(program) as events, nodes.pair(program) as pair:
        common.say(f"counting allocations of real nodes over {MEGABYTES[0]} and {MEGABYTES[1]} MB")
        results = load_nodes(pair, events)
        sites = rotation_sites(pair, events, folder, stacks.Owners(program, stacks.own_functions(program.parent)))
        sizes = {what: memory(pair.pid(node)) for what, node in ((nodes.SENDER, pair.first), (nodes.RECEIVER, pair.second))}
    (few, packets), (many, more) = results
    lines = ["real nodes under TCP load: allocations by thread"]
    lines += common.table(("node", "thread", f"{packets} packets", f"{more} packets"),
                          [(*name, few[name], many[name]) for name in sorted(few)], left=2)
    lines += [f"{what}: {size['VmRSS']:.1f} MB resident, {size['VmHWM']:.1f} MB at the peak, {size['VmLck']:.1f} MB of it "
              "locked" for what, size in sizes.items()]
    whole = sum(sites.values())
    lines += ["", f"{ROTATIONS} rotations of both: {whole} allocations, {whole / ROTATIONS / 2:.0f} a rotation and node"]
    best = sorted(sites.items(), key=lambda item: -item[1])[:TOP]
    lines += common.table(("who", "for", "blocks"), [(*name, num) for name, num in best], left=2)
    movers = [counts[name] for counts in (few, many) for name in counts if name[1].startswith("packets-")]
    return lines, bool(movers) and not any(movers)


def try_real(options, folder):
    """The same, or why not: the core's figures stand by themselves."""
    try:
        nodes.check_machine()
        if shutil.which("perf") is None:
            raise common.CannotRun("perf is missing: `scripts/profile.sh cpu --install` installs it")
        return real(common.program(options), folder)
    except common.CannotRun as reason:
        return [f"real nodes: not measured, {reason}"], True


def main(options):
    common.need("heap", "valgrind")
    folder = common.folder("heap")
    build = common.build("gcc", ["tests/profile/path_rows", "tests/profile/engine_rows"], directory=options.build)
    common.say("counting allocations of the core")
    lines, core_is_clean = core(build)
    more, nodes_are_clean = ([], True) if options.core else try_real(options, folder)
    lines += ["", *more] if more else []
    good = core_is_clean and nodes_are_clean
    lines += ["", "no allocation per packet" if good else "FAILED: packets are moved with allocations"]
    (folder / "heap.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if good else 1
