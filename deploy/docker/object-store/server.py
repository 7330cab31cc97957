"""Stands in for versitygw, with its command line: an S3 server on `--port :N` that has a bucket for each
directory of `posix DIR`. It is moto: objects are kept in memory and lost at the end, and any key is accepted."""

import argparse
import os
import threading
import urllib.request

from moto.server import ThreadedMotoServer

parser = argparse.ArgumentParser()
parser.add_argument("--port", required=True)
parser.add_argument("backend", choices=["posix"])
parser.add_argument("directory")
arguments = parser.parse_args()
port = int(arguments.port.removeprefix(":"))

server = ThreadedMotoServer(ip_address="0.0.0.0", port=port, verbose=False)
server.start()
for entry in os.scandir(arguments.directory):
    if entry.is_dir():
        url = f"http://127.0.0.1:{port}/{entry.name}"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT")).close()
threading.Event().wait()
