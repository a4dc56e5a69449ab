"""Sessions run out: who is let go, who gives way, and who is not touched."""
import select
import time

from conftest import send_mail, wait_until

# No rule for everyone: then stress does not shrink the greets themselves.
TEXT = """
[tarry]
mode = enforce
name = tarry.example
max_sessions = 20
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:1
client_address = proxy_v2
max_connections = 50
[http]
address = 127.0.0.1:0
[class good]
greet = 18s
[class bad]
greet = 19s
[rule good]
network = 127.5.0.0/16
class = good
[rule bad]
network = 127.6.0.0/16
class = bad
"""
LIMIT = 20
REFUSED = 'tarry_connections_refused_total{reason="max_connections"}'


def held(tarryd, count):
    wait_until(lambda: tarryd.metric("tarry_connections_held") == count,
               f"{count} held sessions")


def said(client):
    """What the client can read now, without waiting."""
    return bool(select.select([client.socket], [], [], 0)[0])


def test_the_worst_class_goes_first(start_sink, start_tarryd):
    sink = start_sink()
    tarryd = start_tarryd(sink.port, text=TEXT).wait_ready()
    good = [tarryd.connect("127.5.0.1") for _ in range(10)]
    held(tarryd, 10)
    bad = [tarryd.connect("127.6.0.1") for _ in range(7)]
    held(tarryd, 17)

    # From nine tenths on the oldest of the worst class is let go for each
    # that comes, long before its greeting is due.
    for i in range(3):
        bad.append(tarryd.connect("127.6.0.1"))
        assert bad[i].reply().startswith("220 "), i
    held(tarryd, 17)
    assert tarryd.metric(REFUSED) == 0

    # All seats are taken: the newest of the worst class gives way.
    waiting = bad[3:]
    while waiting:
        good.append(tarryd.connect("127.5.0.1"))
        assert waiting.pop().reply().startswith("421 ")
        assert not any(said(client) for client in waiting + good)
    wait_until(lambda: tarryd.metric(REFUSED) == 7, "the count")

    # Nobody is worse than the newcomer: then it is the newcomer.
    with tarryd.connect("127.5.0.1") as late:
        assert late.reply().startswith("421 ")
    assert not any(said(client) for client in good)

    # Those who were let go or never had a delay are served to their end.
    assert send_mail_from(bad[1])[-1].startswith("221 ")
    for client in good + bad:
        client.close()
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0, "the end")
    assert "broken invariant" not in tarryd.log


def send_mail_from(client):
    """As send_mail(), behind the greeting."""
    return [client.ask(text) for text in
            ("EHLO client.example", "MAIL FROM:<a@b.example>",
             "RCPT TO:<c@d.example>", "DATA", "Subject: x\r\n\r\nhello\r\n.",
             "QUIT")]


def test_who_was_told_and_stays_is_closed(start_sink, start_tarryd):
    """Clients that do not hang up behind the 421 take no seat for ever."""
    sink = start_sink()
    tarryd = start_tarryd(sink.port, text=TEXT).wait_ready()
    good = [tarryd.connect("127.5.0.1") for _ in range(17)]
    held(tarryd, 17)
    for _ in range(3):
        good.append(tarryd.connect("127.5.0.1"))
    told = []
    # Two seats are there beside the 20.
    while len(told) < 6:
        told.append(tarryd.connect("127.5.0.1"))
        assert told[-1].reply().startswith("421 ")
    for client in told[:4]:
        assert client.line() == b""
    wait_until(lambda: tarryd.metric("tarry_connections_open") <= 22, "seats")
    for client in told:
        client.close()
    # And a client that may pass finds a seat.
    with tarryd.connect("127.7.0.1") as client:
        assert send_mail(client)[-1].startswith("221 ")


def test_greets_shrink_while_sessions_are_short(start_sink, start_tarryd):
    """With a rule for everyone its class and better ones shrink to 2 s."""
    sink = start_sink()
    text = TEXT + "[rule everyone]\nclass = good\n"
    tarryd = start_tarryd(sink.port, text=text).wait_ready()
    first = [tarryd.connect("127.7.0.1") for _ in range(17)]
    held(tarryd, 17)
    first.append(tarryd.connect("127.7.0.1"))
    began = time.monotonic()
    # All of them, not one for each that comes; and not after 18 s.
    for client in first:
        assert client.reply().startswith("220 ")
    assert time.monotonic() - began < 10
    for client in first:
        client.close()
