"""An MTA on a loopback port, and clients that it sees all the same."""
import re
import signal

from gateway import CLIENT, Recipe, street  # noqa: F401
from lab import TOP, wait_until

INI = """[listen smtp]
address = 0.0.0.0:25
[mta]
address = 127.0.0.1:2525
client_address = transparent
"""
PASS = "[rule everyone]\nclass = pass\n"


def test_two_routes_are_enough(street):  # noqa: F811
    """Those that the manual page names, typed as they are printed."""
    page = (TOP / "docs/tarryd.8").read_text()
    commands = re.findall(r"(?m)^\.Dl (ip .*)$", page)
    assert len(commands) == 2
    Recipe.type(street.mx, "\n".join(commands))
    street.postfix.stop()
    street.postfix.listen("127.0.0.1:2525")
    street.postfix.start()
    street.start_tarryd(street.mx, INI, more=PASS)
    assert "passed the test session" in street.tarryd.log
    port = street.send_mail(4)
    assert street.wait_session(port)["mta_port"] == str(port)
    wait_until(lambda: (CLIENT[4], port) in street.postfix.peers(),
               "the client in the log")
    # It may be; but not before sockets are opened anew.
    street.path.write_text(street.path.read_text().replace(
        "[listen smtp]\n", "[listen smtp]\ntransparent = yes\n"))
    street.path.chmod(0o644)
    street.tarryd.kill(signal.SIGHUP)
    street.tarryd.wait_log("listen.transparent: `smtp: yes` needs a restart; "
                           "until then it is `smtp: no`, as before")
    street.send_mail(4)
    street.stop_tarryd()
