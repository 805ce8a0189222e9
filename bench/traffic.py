"""Measurements of one link: TCP with the machine's CPU time, small UDP packets, echoes idle and under load."""

import contextlib
import json
import math
import pathlib
import subprocess
import time

import netns
from bench import stats, tools

IPERF_PORT = 5201
SINK_PORT = 9000
LOSS = 0.005                    # what still counts as free of loss
PRECISION = 1.04                # the search ends when the bounds are as near as that
QUIET_SECONDS = 0.15            # without a further datagram: all have arrived
UNITS = 100                     # of /proc/stat in a second


def busy_seconds():
    """CPU seconds that this machine has used since it started: all but idle time and what the host took."""
    line = pathlib.Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq = (int(word) for word in line[:7])
    return (user + nice + system + irq + softirq) / UNITS


@contextlib.contextmanager
def iperf_server(link):
    """Serves one client."""
    server = link.spaces[1].popen("iperf3", "-s", "-1", "-B", link.addresses[1], "-p", IPERF_PORT,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        netns.wait_until(lambda: f":{IPERF_PORT} " in link.spaces[1].output("ss", "-Hltn"), 5, "iperf3 to listen")
        yield server
    finally:
        server.terminate()
        server.wait(5)


def iperf_command(link, seconds):
    return ["iperf3", "-c", link.addresses[1], "-p", IPERF_PORT, "-t", math.ceil(seconds), "-J", *tools.congestion_control()]


def tcp(link, seconds):
    """One stream: (Gbit/s received, CPU seconds of the whole machine for a GB of it)."""
    with iperf_server(link):
        before = busy_seconds()
        end = json.loads(link.spaces[0].output(*iperf_command(link, seconds), timeout=seconds + 20))["end"]
        used = busy_seconds() - before
    received = end["sum_received"]
    return received["bits_per_second"] / 1e9, used / (received["bytes"] / 1e9)


@contextlib.contextmanager
def bulk(link, seconds):
    """A transfer of one stream as long as the block runs, `seconds` at most; gives its process."""
    with iperf_server(link):
        client = link.spaces[0].popen(*iperf_command(link, seconds), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                      text=True)
        try:
            yield client
        finally:
            client.terminate()
            client.communicate(timeout=10)


def ping(link, count, interval_us):
    """Round trips in microseconds; None for those that never came back."""
    text = link.spaces[0].output(tools.load(), "ping", link.addresses[1], count, interval_us,
                                 timeout=count * interval_us / 1e6 + 15)
    return json.loads(text)


def answered(trips):
    """Those that came back. None at all is an error."""
    found = [trip for trip in trips if trip is not None]
    netns.check(found, "no echo came back")
    return found


def ping_under_load(link, seconds, interval_us=4000, warm_up=0.5):
    """Round trips while one TCP stream takes what it can get."""
    with bulk(link, seconds + warm_up + 3) as client:
        time.sleep(warm_up)
        trips = ping(link, round(seconds * 1e6 / interval_us), interval_us)
        netns.check(client.poll() is None, "the transfer ended before the echoes did")
    return trips


# Small packets


class Sink:
    """Counts datagrams at the far end."""

    def __init__(self, link):
        self.link = link
        self.process = link.spaces[1].popen(tools.load(), "sink", link.addresses[1], SINK_PORT, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        netns.check(self.process.stdout.readline() == "ready\n", "the sink does not start")

    def count(self):
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["packets"]

    def settled(self):
        """The count when no more come."""
        last, since = self.count(), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            time.sleep(0.02)
            now = self.count()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=5)


class SmallPackets:
    """Trials of one size, in messages of one or (application GSO) more datagrams."""

    def __init__(self, link, size, segments, seconds):
        self.link, self.size, self.segments, self.seconds = link, size, segments, seconds
        self.sink = Sink(link)
        self.trials = []

    def trial(self, rate):
        """Offers a rate (0: all that goes) and gives (sent, received) a second, by the sender's clock."""
        before = self.sink.settled()
        sent = json.loads(self.link.spaces[0].output(
            tools.load(), "blast", self.link.addresses[1], SINK_PORT, self.size, self.segments, f"{rate:.0f}",
            self.seconds, timeout=self.seconds + 15))
        received = self.sink.settled() - before
        result = sent["packets"] / sent["seconds"], received / sent["seconds"]
        self.trials.append({"offered": rate, "sent": result[0], "received": result[1]})
        return result

    @staticmethod
    def is_free_of_loss(sent, received):
        return sent > 0 and received >= sent * (1 - LOSS)

    def search(self, lowest=1000):
        """The highest rate received without loss (0.5 %). Down from all that goes, by halves of the logarithm."""
        sent, received = self.trial(0)
        if self.is_free_of_loss(sent, received):
            return received
        best, low, high = 0.0, max(lowest, received / 8), max(lowest * 2, min(sent, received * 1.5))
        while high / low > PRECISION:
            middle = (low * high) ** 0.5
            sent, received = self.trial(middle)
            if self.is_free_of_loss(sent, received):
                best, low = max(best, received), middle
                if sent < middle * 0.95:
                    # The generator does not keep up: what it made is what it can make.
                    high = min(high, middle)
                    break
            else:
                high = middle
        return best

    def close(self):
        self.sink.close()


def small_packets(link, size, segments, seconds):
    """(packets a second without loss, the trials)."""
    packets = SmallPackets(link, size, segments, seconds)
    try:
        return packets.search(), packets.trials
    finally:
        packets.close()


def flat_out(link, size, segments, seconds):
    """(packets a second received, share lost) with as many offered as go."""
    packets = SmallPackets(link, size, segments, seconds)
    try:
        sent, received = packets.trial(0)
        return received, max(0.0, 1 - received / sent) if sent else 0.0
    finally:
        packets.close()


def summary_of_trips(trips):
    """(median, 99th percentile, share lost)."""
    good = answered(trips)
    return stats.median(good), stats.quantile(good, 0.99), 1 - len(good) / len(trips)
