"""The process stands still for a quarter of an hour, or the clock jumps as
far: what came meanwhile is heard before anything is ended for its silence."""
import mmap
import os
import signal
import struct
import subprocess

import pytest

from conftest import BUILD, WRAP, Tarryd, send_mail, wait_until

# Adds to the monotonic clocks what a file says, in seconds.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile int64_t *ahead;

__attribute__((constructor)) static void
open_file(void)
{
	int fd = open(getenv("CLOCK_AHEAD"), O_RDONLY);
	ahead = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	int error;

	if (real == NULL)
		real = dlsym(RTLD_NEXT, "clock_gettime");
	error = real(clock, now);
	if (error == 0 && clock != CLOCK_REALTIME && ahead != NULL)
		now->tv_sec += *ahead;
	return error;
}
"""
QUARTER_S = 901

pytestmark = pytest.mark.skipif(bool(WRAP), reason="the shim is enough")


class Clock:
    def __init__(self, where):
        self.file = where / "ahead"
        self.file.write_bytes(struct.pack("q", 0))
        self.file.chmod(0o644)
        (where / "shim.c").write_text(SHIM)
        self.shim = where / "shim.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.shim,
                        where / "shim.c", "-ldl"], check=True)
        with open(self.file, "r+b") as opened:
            self.map = mmap.mmap(opened.fileno(), 8)

    def jump(self, seconds):
        now, = struct.unpack("q", self.map[:8])
        self.map[:8] = struct.pack("q", now + seconds)

    @property
    def env(self):
        found = subprocess.run(["ldd", BUILD / "tarryd"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout
        # A sanitizer's library wants to be the first.
        first = [line.split("=>")[1].split()[0]
                 for line in found.splitlines() if "san.so" in line]
        return {**os.environ, "CLOCK_AHEAD": str(self.file),
                "LD_PRELOAD": ":".join([*first, str(self.shim)])}


def stopped(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


@pytest.fixture
def start(tmp_path, start_sink, start_tarryd, running):
    """start() -> (clock, sink, tarryd)"""
    def start_all():
        tmp_path.chmod(0o755)
        clock = Clock(tmp_path)
        sink = start_sink()
        plain = start_tarryd(sink.port, class_new__greet="0s",
                             class_new__teaser="no")
        # Its file serves for the one with the shim.
        plain.stop(signal.SIGKILL)
        tarryd = Tarryd(tmp_path / "jump.log", plain.process.args[1:],
                        env=clock.env)
        running.append(tarryd)
        return clock, sink, tarryd.wait_ready()
    return start_all


def freeze(tarryd):
    tarryd.send_signal(signal.SIGSTOP)
    wait_until(lambda: stopped(tarryd.process), "it to stand still")


def test_what_came_meanwhile_is_heard_first(start):
    clock, sink, tarryd = start()
    with tarryd.connect() as client:
        assert client.reply().startswith("220 ")
        assert client.ask("EHLO client.example").startswith("250")
        freeze(tarryd)
        client.send("MAIL FROM:<a@b.example>\r\n")
        clock.jump(QUARTER_S)
        tarryd.send_signal(signal.SIGCONT)
        assert client.reply().startswith("250 ")
        for text in ("RCPT TO:<c@d.example>", "DATA",
                     "Subject: x\r\n\r\nhello\r\n.", "QUIT"):
            assert client.ask(text)[0] in "23"
    wait_until(lambda: list(sink.mail.glob("*.eml")), "the mail")


def test_no_deadline_passes_while_nothing_runs(start):
    """Silence of a time in which nobody could be heard ends no session."""
    clock, _, tarryd = start()
    with tarryd.connect() as client:
        assert client.reply().startswith("220 ")
        clock.jump(QUARTER_S)
        # Nothing wakes the loop for it: the next client does.
        with tarryd.connect() as other:
            assert send_mail(other)[-1].startswith("221 ")
        assert client.ask("QUIT").startswith("221 ")
    tarryd.wait_log("nothing ran for")
