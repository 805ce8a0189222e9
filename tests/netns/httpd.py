#!/usr/bin/env python3
"""Serves the files of a folder over HTTP: httpd.py ADDRESS PORT FOLDER. Prints `ready` once it listens.

`python3 -m http.server` asks a name server about its own address first, which may take long where there is none.
"""

import functools
import http.server
import signal
import socket
import socketserver
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


class Server6(Server):
    address_family = socket.AF_INET6


def main():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    address, port, folder = sys.argv[1:]
    server = (Server6 if ":" in address else Server)((address, int(port)), functools.partial(Handler, directory=folder))
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
