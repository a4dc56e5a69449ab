"""SIGTERM: delays end, sessions do not. Nobody is refused for our going."""
import signal
import socket
import threading
import time

from conftest import DEADLINE, send_mail, wait_until
from mta import Postfix, mta, proxy_for  # noqa: F401
from test_mail import sink_mail

OK = ["220", "250", "250", "250", "354", "250", "221"]


class Sender(threading.Thread):
    """Sends one mail; keeps the replies and when it had them all."""

    def __init__(self, client, number):
        super().__init__()
        self.client, self.number = client, number
        self.codes, self.done_at = None, None
        self.start()

    def run(self):
        replies = send_mail(self.client,
                            f"Subject: {self.number}\r\n\r\nx\r\n")
        self.codes = [reply[:3] for reply in replies]
        self.done_at = time.monotonic()


def is_closed(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


def held(tarryd, count):
    """Waits until so many sessions are known to be held."""
    wait_until(lambda: tarryd.metric("tarry_connections_held") == count,
               f"{count} held sessions")


def test_held_sessions_go_on_at_once_and_the_dot_is_waited_for(
        mta, proxy_for):
    # One Postfix for both kinds: the dot's reply takes it two seconds.
    behind = mta(Postfix, proxy=True,
                 main="smtpd_end_of_data_restrictions = sleep 2\n").start()
    tarryd = proxy_for(behind.address, behind.port, class_new__greet="15s",
                       rule_odd__class="pass").wait_ready()
    # Early talkers pass here: this one is at the dot while others are held.
    with tarryd.connect("127.0.0.9") as dot:
        dot.send("EHLO client.example\r\n")
        assert [dot.reply()[:3], dot.reply()[:3]] == ["220", "250"]
        for text in ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"):
            assert dot.ask(text).startswith("250")
        clients = [tarryd.connect(f"127.0.0.{i}") for i in range(20, 30)]
        senders = [Sender(client, i) for i, client in enumerate(clients)]
        held(tarryd, 10)
        assert dot.ask("DATA").startswith("354")
        dot.send("Subject: dot\r\n\r\nx\r\n.\r\n")
        assert "event=session" not in tarryd.log
        tarryd.send_signal(signal.SIGTERM)
        start = time.monotonic()
        tarryd.wait_log("SIGTERM: no new clients")
        wait_until(lambda: is_closed(tarryd.port), "the listener to close")
        assert dot.reply().startswith("250")
        assert dot.ask("QUIT").startswith("221")
    for sender in senders:
        sender.join(DEADLINE)
        assert sender.codes == OK
        # 15 s without the signal; the MTA's own 2 s are in it.
        assert sender.done_at - start < 8
        sender.client.close()
    assert tarryd.wait() == 0
    assert len(behind.wait_mail(11)) == 11
    assert "reason=drain" not in tarryd.log and " 421 " not in behind.log


def test_a_held_reply_goes_out_at_once(start_sink, proxy_for):
    sink = start_sink()
    tarryd = proxy_for("127.0.0.1", sink.port, rule_everyone__class="slow",
                       class_slow__greet="0s", class_slow__drip="0s",
                       class_slow__reply="15s").wait_ready()
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        start = time.monotonic()
        client.send("EHLO client.example\r\n")
        held(tarryd, 1)
        tarryd.send_signal(signal.SIGTERM)
        assert client.reply().startswith("250")
        for text in ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"):
            assert client.ask(text).startswith("250")
        assert client.ask("DATA").startswith("354")
        assert client.ask("Subject: x\r\n\r\nx\r\n.").startswith("250")
        assert client.ask("QUIT").startswith("221")
        assert time.monotonic() - start < 8
    assert tarryd.wait() == 0
    assert len(sink_mail(sink, 1)) == 1


def test_a_second_signal_exits_now(start_sink, proxy_for):
    tarryd = proxy_for("127.0.0.1", start_sink().port,
                       class_new__greet="0s").wait_ready()
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        tarryd.send_signal(signal.SIGTERM)
        tarryd.wait_log("SIGTERM: no new clients")
        assert tarryd.process.poll() is None
        tarryd.send_signal(signal.SIGTERM)
        tarryd.wait()
        assert client.line() == b""  # and no words of ours


def test_the_drain_ends_after_its_timeout(start_sink, proxy_for):
    tarryd = proxy_for("127.0.0.1", start_sink().port,
                       tarry__drain_timeout="1s",
                       class_new__greet="0s").wait_ready()
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        tarryd.send_signal(signal.SIGTERM)
        tarryd.wait()
        assert b"421" not in client.line()


def test_those_in_the_accept_queue_are_served(start_sink, proxy_for):
    """The kernel has accepted them: their mail is not refused either."""
    sink = start_sink()
    tarryd = proxy_for("127.0.0.1", sink.port,
                       class_new__greet="15s").wait_ready()
    tarryd.send_signal(signal.SIGSTOP)
    # More than are accepted in one turn of the loop.
    clients = [tarryd.connect() for _ in range(150)]
    tarryd.send_signal(signal.SIGTERM)
    tarryd.send_signal(signal.SIGCONT)
    senders = [Sender(client, i) for i, client in enumerate(clients)]
    for sender in senders:
        sender.join(DEADLINE)
        assert sender.codes == OK
        sender.client.close()
    assert tarryd.wait() == 0
    assert len(sink_mail(sink, 150)) == 150


def test_more_held_sessions_than_the_mta_has_slots(start_sink, proxy_for):
    sink = start_sink()
    tarryd = proxy_for("127.0.0.1", sink.port, mta__max_connections="2",
                       class_new__greet="15s").wait_ready()
    senders = [Sender(tarryd.connect(), i) for i in range(30)]
    held(tarryd, 30)
    tarryd.send_signal(signal.SIGTERM)
    for sender in senders:
        sender.join(DEADLINE)
        assert sender.codes == OK
        sender.client.close()
    assert tarryd.wait() == 0
    assert len(sink_mail(sink, 30)) == 30
