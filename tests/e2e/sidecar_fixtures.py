"""What the tests of tarry-sidecar share: a wire, a sidecar, a reader."""
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import statistics
import struct
import subprocess
import tempfile
import time

import pytest

from conftest import BUILD, DEADLINE, Program, wait_until
from sidecar_rig import (TCP_SAVE_SYN, Liar, Pair, Reader, compile_reader, pcap_file,
                         syn_packet, table_memfd)

SIDECAR = BUILD / "tarry-sidecar"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="session")
def reader_program(tmp_path_factory):
    return compile_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture
def path():
    """A socket's path that the user nobody can make and reach; pytest's own
    directories are closed to others."""
    with tempfile.TemporaryDirectory(prefix="tarry-sidecar-") as made:
        os.chmod(made, 0o777)
        yield pathlib.Path(made) / "syn.sock"


@pytest.fixture
def start_reader(reader_program, path):
    readers = []

    def start():
        readers.append(Reader(reader_program, path))
        return readers[-1]
    yield start
    assert [reader.stop() for reader in readers] == [0] * len(readers)


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.delete()


@pytest.fixture
def start_sidecar(tmp_path, path, running):
    """start_sidecar(host, words ..): runs as nobody once it captures."""
    def start(host, *words):
        words = [SIDECAR, "-s", path, *words]
        if os.geteuid() == 0:
            words += ["-u", "nobody"]
        program = Program(tmp_path / f"sidecar{len(running)}.log",
                          host.words(*words) if host else words)
        running.append(program)
        program.wait_log("entries, ")
        return program
    return start


@pytest.fixture
def capturing(pair, start_sidecar, start_reader):
    """Everything at work: (pair, listener, sidecar, reader)."""
    listener = pair.listen()
    sidecar = start_sidecar(pair.server, "-p", listener.getsockname()[1])
    reader = start_reader()
    reader.wait_state("up")
    yield pair, listener, sidecar, reader
    listener.close()


def run_sidecar(*words, **more):
    """A sidecar that should end by itself: (status, what it printed)."""
    done = subprocess.run([SIDECAR, *map(str, words)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=DEADLINE, **more)
    return done.returncode, done.stdout
