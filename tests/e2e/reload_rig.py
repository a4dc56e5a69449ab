"""A tarryd whose file is written anew, and told so."""
import re
import signal

from conftest import BUILD, Tarryd, wait_until

# Every key with a value of its own; %(name)s is filled in.
TEXT = """\
[tarry]
mode = enforce
name = %(name)s
drain_timeout = %(drain)s
max_sessions = %(sessions)s
[listen smtp]
address = %(listen)s
[mta]
address = %(mta)s
client_address = %(how)s
max_connections = %(slots)s
connect_timeout = %(connect)s
[syn]
sidecar = %(sidecar)s
kernel = %(kernel)s
labels = %(labels)s
[http]
address = %(http)s
[log]
format = %(format)s
addresses = %(addresses)s
%(classes)s
%(rules)s
"""
VALUES = {
    "name": "", "drain": "300s", "sessions": "auto", "listen": "127.0.0.1:0",
    "how": "proxy_v2", "slots": "80", "connect": "10s", "sidecar": "",
    "kernel": "yes", "labels": "", "http": "127.0.0.1:0",
    "format": "logfmt", "addresses": "full",
    "classes": "[class new]\ngreet = 0s",
    "rules": "[rule everyone]\nclass = new",
}
READ_AGAIN = "the configuration was read again"
REFUSED = "nothing has changed"


class Reloaded(Tarryd):
    """reload(key=value ..) changes these and leaves all others."""

    def __init__(self, path, file, words=(), build=BUILD, **values):
        self.file, self.values = file, {**VALUES, **values}
        self.write()
        super().__init__(path, ["-c", file, *words], build)

    def write(self, **values):
        assert set(values) <= set(self.values)
        self.values.update(values)
        # All of it at once: tarryd may be reading.
        new = self.file.with_suffix(".new")
        new.write_text(TEXT % self.values)
        new.replace(self.file)

    def hang_up(self, want=READ_AGAIN):
        """SIGHUP; waits until it is done."""
        count = len(re.findall(want, self.log))
        self.send_signal(signal.SIGHUP)
        wait_until(lambda: len(re.findall(want, self.log)) > count, want)

    def reload(self, **values):
        self.write(**values)
        self.hang_up()

    def refuse(self, text):
        """Reloads a file that is no good."""
        self.file.write_text(text)
        self.hang_up(REFUSED)
