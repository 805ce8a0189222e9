"""Features of network devices, as `ethtool -K` switches them, by the kernel's names for them.

    python3 -m bench.ethtool DEVICE [NAME=on|off ...]    in whichever network namespace it runs; else prints all names
"""

import ctypes
import fcntl
import socket
import struct
import sys

from bench import tools

SIOCETHTOOL = 0x8946
GET_STRINGS, GET_STRING_SETS, SET_FEATURES = 0x1b, 0x37, 0x3b
FEATURES = 4                    # the set of strings with their names
NAME_BYTES = 32


def call(device, buffer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), ctypes.addressof(buffer)))


def names(device):
    """The kernel's names of all features; their place is their number."""
    buffer = ctypes.create_string_buffer(struct.pack("=IIQI", GET_STRING_SETS, 0, 1 << FEATURES, 0))
    call(device, buffer)
    (number,) = struct.unpack_from("=I", buffer, 16)
    buffer = ctypes.create_string_buffer(12 + NAME_BYTES * number)
    struct.pack_into("=III", buffer, 0, GET_STRINGS, FEATURES, number)
    call(device, buffer)
    (number,) = struct.unpack_from("=I", buffer, 8)
    return [buffer.raw[12 + NAME_BYTES * i:12 + NAME_BYTES * (i + 1)].split(b"\0")[0].decode() for i in range(number)]


def names_in(namespace, device):
    """The same, of a device in another namespace (netns.Namespace)."""
    return namespace.output(*tools.python("bench.ethtool"), device, env=tools.python_env()).split()


def switch(device, features):
    """features: {name: bool}. Raises OSError, or KeyError for a name that this kernel does not have."""
    known = {name: number for number, name in enumerate(names(device))}
    words = (len(known) + 31) // 32
    valid, wanted = [0] * words, [0] * words
    for name, on in features.items():
        number = known[name]
        valid[number // 32] |= 1 << number % 32
        wanted[number // 32] |= on << number % 32
    blocks = [word for pair in zip(valid, wanted) for word in pair]
    buffer = ctypes.create_string_buffer(struct.pack(f"=II{2 * words}I", SET_FEATURES, words, *blocks))
    call(device, buffer)


def main():
    device, *settings = sys.argv[1:]
    if not settings:
        print("\n".join(names(device)))
        return
    features = dict(setting.split("=") for setting in settings)
    switch(device, {name: value == "on" for name, value in features.items()})


if __name__ == "__main__":
    main()
