"""The tunnel's table: one link, everything that is measured of it, in one round."""

from bench import links, traffic
from bench.rows import Row

SMALL = 64
SEGMENTS = 60                   # datagrams of one message of an application that uses GSO

TITLES = {
    "tunnel/tcp-whole": "TCP one stream, super-datagrams pass whole",
    "tunnel/cpu-whole": "CPU of the machine per GB, whole",
    "tunnel/tcp-segmented": "TCP one stream, really segmented",
    "tunnel/cpu-segmented": "CPU of the machine per GB, segmented",
    "tunnel/udp-64": "UDP 64 B without loss (0.5 %)",
    "tunnel/udp-64-gso": "UDP 64 B, application with GSO, without loss",
    "tunnel/udp-64-gso-flood": "UDP 64 B, application with GSO, received of all that goes",
    "tunnel/ping-idle": "ping idle, median",
    "tunnel/ping-bulk": "ping during a bulk transfer, median",
    "tunnel/ping-bulk-p99": "ping during a bulk transfer, 99th percentile",
    "tunnel/ping-bulk-lost": "pings lost during a bulk transfer",
    "tunnel/memory": "peak memory of the largest process",
    "tunnel/memory-all": "memory of all processes of a node after it",
}


def measure(open_link, scene, effort):
    """open_link(scene) gives a link that is not in use yet."""
    link = open_link(scene)
    link.settle()
    traffic.tcp(link, effort.warm_seconds)
    found = [row("ping-idle", "µs", traffic.summary_of_trips(traffic.ping(link, effort.pings, 5000))[0])]
    rate, cpu = traffic.tcp(link, effort.tcp_seconds)
    found += [row("tcp-whole", "Gbit/s", rate, "higher"), row("cpu-whole", "s/GB", cpu)]
    middle, late, lost = traffic.summary_of_trips(traffic.ping_under_load(link, effort.tcp_seconds))
    found += [row("ping-bulk", "µs", middle), row("ping-bulk-p99", "µs", late), row("ping-bulk-lost", "%", lost * 100)]
    found.append(row("udp-64", "packets/s", traffic.small_packets(link, SMALL, 1, effort.trial_seconds)[0], "higher"))
    rate, trials = traffic.small_packets(link, SMALL, SEGMENTS, effort.trial_seconds)
    found += [row("udp-64-gso", "packets/s", rate, "higher"),
              row("udp-64-gso-flood", "packets/s", trials[0]["received"], "higher")]
    links.segment_for_real(link.spaces)
    rate, cpu = traffic.tcp(link, effort.tcp_seconds)
    found += [row("tcp-segmented", "Gbit/s", rate, "higher"), row("cpu-segmented", "s/GB", cpu)]
    if link.carriers():
        found += [row("memory", "MB", link.peak_mb()), row("memory-all", "MB", link.whole_mb())]
    return found


def row(name, unit, value, better="lower"):
    return Row(f"tunnel/{name}", unit, [value], better)
