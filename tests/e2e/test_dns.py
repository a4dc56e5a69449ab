"""Lists and names in the DNS: what they say, and what they never cost."""
import concurrent.futures
import os
import pathlib
import resource
import select
import signal
import socket
import statistics
import tempfile
import time

import pytest

from conftest import Client, Tarryd, wait_until
from dns_rig import (A, AAAA, PTR, answer, config, rbldnsd,  # noqa: F401
                     resolver, wire)


@pytest.fixture
def start(start_tarryd, start_sink, resolver):  # noqa: F811
    """start(config words) -> a tarryd whose resolver is `resolver`."""
    def begin(listen="127.0.0.1:0", **more):
        sink = start_sink()
        tarryd = start_tarryd(sink.port, listen=listen,
                              text=config(sink.port, resolver.port, **more))
        tarryd.wait_ready()
        return tarryd
    return begin


def visit(tarryd, source):
    """One session; its log line."""
    host = "::1" if ":" in source else "127.0.0.1"
    with Client(tarryd.port, source, host) as client:
        port = client.socket.getsockname()[1]
        assert client.line().startswith(b"220")
        assert client.ask("QUIT").startswith("221")
    return tarryd.wait_log(
        rf" event=session .*client={source} port={port} .*").group(0)


def deliver(tarryd, source, count):
    """A session with so many messages; its log line."""
    with tarryd.connect(source) as client:
        port = client.socket.getsockname()[1]
        client.line()
        client.ask("EHLO a.test")
        for _ in range(count):
            client.ask("MAIL FROM:<a@a.test>")
            client.ask("RCPT TO:<b@b.test>")
            assert client.ask("DATA").startswith("354")
            client.send(b"Subject: a\r\n\r\nb\r\n.\r\n")
            assert client.line().startswith(b"250")
        client.ask("QUIT")
    return tarryd.wait_log(
        rf" event=session .*client={source} port={port} .*").group(0)


def answers(tarryd, kind):
    return tarryd.metric(f'tarry_dns_answers_total{{kind="{kind}"}}')


def test_listed_and_not(start, resolver):  # noqa: F811
    tarryd = start()
    line = visit(tarryd, "127.0.0.2")
    assert " class=slow " in line and " dnsbl=3 " in line
    assert " dnswl=0 " in line and " rule=listed " in line
    line = visit(tarryd, "127.0.0.6")
    assert " class=new " in line and " dnsbl=0 " in line
    # An answer that the filter leaves out is none.
    assert " dnsbl=0 " in visit(tarryd, "127.0.0.3")
    assert " dnswl=1 " in visit(tarryd, "127.0.0.5")
    assert answers(tarryd, "listed") == 2 and answers(tarryd, "clear") == 6
    assert resolver.asked["2.0.0.127.zen.test", A] == 1


def test_who_passes_costs_no_question(start, resolver):  # noqa: F811
    tarryd = start()
    for _ in range(20):
        line = visit(tarryd, "127.0.0.8")
        assert " class=pass " in line and "dnsbl" not in line
    assert resolver.count == 0
    assert tarryd.metric("tarry_dns_questions_total") == 0


def test_asked_once_however_many_want_to_know(start, resolver):  # noqa: F811
    resolver.delay = 0.3
    tarryd = start(timeout="30s", greet="2s")  # c-ares asks again after 10 s
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        lines = list(pool.map(lambda _: visit(tarryd, "127.0.0.2"), range(30)))
    assert all(" dnsbl=3 " in line for line in lines)
    visit(tarryd, "127.0.0.2")
    assert resolver.asked["2.0.0.127.zen.test", A] == 1
    assert tarryd.metric("tarry_dns_joined_total") > 0
    assert tarryd.metric("tarry_dns_kept_total") >= 2


def test_over_ipv6_too(start, resolver):  # noqa: F811
    resolver.mode = lambda name, kind, query: (
        answer(query, [(PTR, wire("six.example.test"))]) if kind == PTR
        else answer(query, [(AAAA, bytes(15) + b"\1")]) if kind == AAAA
        else None)
    tarryd = start(ptr="yes", listen="[::1]:0",
                   lists="[dnsbl six]\nzone = six.test*4\n")
    line = visit(tarryd, "::1")
    assert " dnsbl=4 " in line and " lists=six:4 " in line
    assert " ptr=confirmed " in line and " class=slow " in line
    assert resolver.asked["1." + "0." * 31 + "six.test", A] == 1
    assert resolver.asked["1." + "0." * 31 + "ip6.arpa", PTR] == 1
    assert resolver.asked["six.example.test", AAAA] == 1


def test_one_list_of_several(start):
    tarryd = start(lists="""
[dnsbl zen]
zone = zen.test=127.0.0.[2..11]*3
[dnswl good]
zone = good.test*2
[dnsbl other]
zone = zen.test=127.0.0.30*5
""", rules="""
[rule other]
dnsbl.other = 1..
class = slow
[rule good]
dnswl.good = 2
not.dnsbl.zen = 1..
class = pass
""")
    line = visit(tarryd, "127.0.0.3")
    assert " rule=other " in line and " lists=zen:0,good:0,other:5 " in line
    line = visit(tarryd, "127.0.0.2")
    assert " rule=everyone " in line and " lists=zen:3,good:0,other:0 " in line
    assert " rule=good " in visit(tarryd, "127.0.0.5")


def test_who_is_listed_or_proven_costs_no_question(start,  # noqa: F811
                                                   resolver, tmp_path):
    path = tmp_path / "friends"
    path.write_text("".join(f"10.{i // 256}.{i % 256}.0/24\n"
                            for i in range(5000)) + "127.0.0.64/26 ; us\n")
    for place in (path, *tuple(path.parents)[:2]):
        place.chmod(0o755)
    tarryd = start(rules=f"""
[list friends]
network = 192.0.2.1, @{path}
[list others]
network = 198.51.100.0/24
[rule friends]
listed = others, friends
class = pass
[rule known]
proven = yes
class = new
""")
    for source in ("127.0.0.64", "127.0.0.127"):
        assert " rule=friends " in visit(tarryd, source)
    assert resolver.count == 0
    # Two sessions with three messages prove it; those are asked for.
    for count in (1, 2):
        deliver(tarryd, "127.0.0.4", count)
    wait_until(lambda: resolver.count == 2, "both lists asked")
    resolver.asked.clear()
    kept = tarryd.metric("tarry_dns_kept_total")
    for _ in range(5):
        assert " rule=known " in visit(tarryd, "127.0.0.4")
    assert resolver.count == 0
    assert tarryd.metric("tarry_dns_kept_total") == kept


def test_the_list_itself_dies_and_comes_back(start, rbldnsd):  # noqa: F811
    """Not the resolver but the server of the list: stopped, it says
    nothing; nobody is slowed by it, and later it is of use again."""
    os.kill(rbldnsd.process.pid, signal.SIGSTOP)
    try:
        tarryd = start(timeout="300ms")
        line = visit(tarryd, "127.0.0.2")
        assert " class=new " in line and "dnsbl=" not in line
        wait_until(lambda: answers(tarryd, "timeout") == 2, "no answer")
    finally:
        os.kill(rbldnsd.process.pid, signal.SIGCONT)
    # Another address: a failure is kept for 30 s.
    assert " dnsbl=0 " in visit(tarryd, "127.0.0.6")
    assert " dnsbl=0 " in visit(tarryd, "127.0.0.3")


def lie_outside(name, kind, query):
    return answer(query, [(A, bytes([192, 0, 2, 1]))])


def lie_servfail(name, kind, query):
    return answer(query, [], code=2)


def lie_refused(name, kind, query):
    return answer(query, [], code=5)


def lie_cut(name, kind, query):
    return answer(query, [(A, bytes([127, 0, 0, 2]))])[:-3]


def lie_other_id(name, kind, query):
    return answer(query, [(A, bytes([127, 0, 0, 2]))], ident=b"\0\0"
                  if query[:2] != b"\0\0" else b"\1\1")


def lie_truncated(name, kind, query):
    return answer(query, [(A, bytes([127, 0, 0, 2]))], flags=0x8380)


def lie_short(name, kind, query):
    return answer(query, [(A, b"\x7f")])


def lie_blocked(name, kind, query):
    return answer(query, [(A, bytes([127, 255, 255, 254]))])


def lie_mixed(name, kind, query):
    return answer(query, [(A, bytes([127, 0, 0, 2])),
                          (A, bytes([10, 0, 0, 2]))])


def lie_dead(name, kind, query):
    return False


@pytest.mark.parametrize("lie,kind", (
    (lie_outside, "odd"), (lie_mixed, "odd"), (lie_servfail, "failed"),
    (lie_refused, "failed"), (lie_cut, "failed"), (lie_short, "failed"),
    (lie_other_id, "timeout"), (lie_dead, "timeout"),
    (lie_truncated, "failed|timeout"), (lie_blocked, "blocked")))
def test_what_is_no_answer_is_no_fact(start, resolver, lie,  # noqa: F811
                                      kind):
    resolver.mode = lie
    tarryd = start(lists="[dnsbl zen]\nzone = zen.test=127.0.0.[2..11]*3\n")
    line = visit(tarryd, "127.0.0.2")
    assert " class=new " in line and "dnsbl=" not in line
    wait_until(lambda: sum(answers(tarryd, k) for k in kind.split("|")) == 1,
               kind)
    assert tarryd.metric("tarry_dns_lookup_seconds_count") == 1
    took = tarryd.metric("tarry_dns_lookup_seconds_sum")
    assert took >= 0.9 if kind == "timeout" else took < 20
    assert answers(tarryd, "listed") == 0 and answers(tarryd, "clear") == 0
    if kind == "blocked":
        tarryd.wait_log("zen: the list does not serve this resolver")


def test_a_name_that_is_not_there_but_an_alias(start, resolver):  # noqa: F811
    alias = wire("elsewhere.test")
    resolver.mode = lambda name, kind, query: answer(query, [(5, alias)],
                                                     code=3)
    line = visit(start(), "127.0.0.2")
    assert " class=new " in line and " dnsbl=0 " in line


def test_names_lead_back_or_not(start, resolver):  # noqa: F811
    names = {"2.0.0.127.in-addr.arpa": "good.example.test",
             "3.0.0.127.in-addr.arpa": "other.example.test",
             "5.0.0.127.in-addr.arpa": "gone.example.test"}
    back = {"good.example.test": bytes([127, 0, 0, 2]),
            "other.example.test": bytes([127, 0, 0, 99])}

    def tell(name, kind, query):
        if kind == PTR and name in names:
            return answer(query, [(PTR, wire(names[name]))])
        if kind == A and name in back:
            return answer(query, [(A, back[name])])
        return answer(query, [], code=3)

    resolver.mode = tell
    tarryd = start(lists="", ptr="yes", rules="""
[score]
ptr = 4
[rule named]
ptr = confirmed
class = pass
[rule nameless]
score = 4
ptr = none, unconfirmed
class = slow
""")
    for source, ptr, rule in (("127.0.0.2", "confirmed", "named"),
                              ("127.0.0.3", "unconfirmed", "nameless"),
                              ("127.0.0.5", "unconfirmed", "nameless"),
                              ("127.0.0.6", "none", "nameless")):
        line = visit(tarryd, source)
        assert f" ptr={ptr} " in line and f" rule={rule} " in line
    assert resolver.asked["good.example.test", A] == 1
    assert not any(kind == AAAA for _, kind in resolver.asked)


def test_a_pool_proves_its_next_address(start, resolver):  # noqa: F811
    """What some of a provider's hosts deliver speaks for its next one, but
    neither for who only says to be one, nor for who lives next door."""
    addresses = {"127.3.0.1": "out1.mail.big.test",
                 "127.4.0.1": "out2.mail.big.test",
                 "127.5.0.1": "out3.mail.big.test",
                 "127.6.0.1": "out4.mail.big.test",  # does not lead back
                 "127.7.0.1": "127-7-0-1.dsl.big.test",
                 "127.8.0.1": "out.other.test"}

    def tell(name, kind, query):
        for source, host in addresses.items():
            octets = source.split(".")
            if kind == PTR and name == ".".join(
                    octets[::-1]) + ".in-addr.arpa":
                return answer(query, [(PTR, wire(host))])
            if kind == A and name == host and source != "127.6.0.1":
                return answer(query, [(A, bytes(map(int, octets)))])
        return answer(query, [], code=3)

    resolver.mode = tell
    tarryd = start(lists="", ptr="yes", rules="""
[rule known]
proven = yes
class = slow
""")
    line = deliver(tarryd, "127.3.0.1", 2)
    assert " ptr=confirmed pool=big.test " in line
    assert " rule=known " not in deliver(tarryd, "127.4.0.1", 1)
    line = visit(tarryd, "127.5.0.1")
    assert " rule=known " in line and " reputation_level=pool" in line
    line = visit(tarryd, "127.6.0.1")
    assert " ptr=unconfirmed " in line and " pool=" not in line
    assert " rule=everyone " in line
    line = visit(tarryd, "127.7.0.1")
    assert " ptr=confirmed " in line and " pool=" not in line
    assert " rule=everyone " in line
    line = visit(tarryd, "127.8.0.1")
    assert " pool=other.test " in line and " rule=everyone " in line
    assert tarryd.metric('tarry_memory_rows{kind="pool"}') == 2


def banner_ms(tarryd, source):
    start_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", tarryd.port), 20,
                                  (source, 0)) as client:
        client.recv(100)
        return (time.monotonic() - start_s) * 1000


def p99s(*daemons, count=300):
    """The p99 of each, the clients by turns, so that a busy machine is
    everybody's."""
    sources = [f"127.1.{i // 250}.{i % 250 + 1}" for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        rows = list(pool.map(
            lambda s: [banner_ms(d, s) for d in daemons], sources))
    return [statistics.quantiles(times, n=100)[98] for times in zip(*rows)]


@pytest.mark.parametrize("trouble", ("dead", "slow", "lying", "gone"))
def test_the_greeting_is_not_later(start, resolver, start_tarryd,  # noqa: F811
                                   start_sink, trouble):
    if trouble == "dead":
        resolver.mode = lie_dead
    elif trouble == "slow":
        resolver.delay = 0.8
    elif trouble == "lying":
        resolver.mode = lie_outside
    words = {"greet": "300ms", "slow": "300ms"}
    with_dns = start(ptr="yes", **words)
    if trouble == "gone":
        resolver.stop()
    without = start(lists="", rules="", **words)
    for _ in range(3):  # other work of the machine is no proof
        alone, asking = p99s(without, with_dns)
        print(f"{trouble}: p99 of the greeting {alone:.0f} ms without, "
              f"{asking:.0f} ms with the DNS")
        if asking < alone + 30:
            break
    assert asking < alone + 30
    assert without.metric("tarry_dns_questions_total") == 0
    assert with_dns.metric("tarry_dns_questions_total") > 0


def test_10000_at_once_and_never_more_than_50(start,  # noqa: F811
                                              resolver):
    """Each is a question. All are answered in time, at most 50 at once; the
    greeting of all of them is held meanwhile and nobody is turned away."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 20000:
        pytest.skip("10,000 clients and as many again need descriptors")
    resolver.delay = 0.01
    tarryd = start(timeout="20s", greet="18s",
                   lists="[dnsbl zen]\nzone = zen.test\n")
    count = 10000
    begin_s = time.monotonic()
    clients = [tarryd.connect(f"127.2.{i // 250}.{i % 250 + 1}")
               for i in range(count)]

    print(f"{count} connected after {time.monotonic() - begin_s:.1f} s")

    def dropped(reason):
        return tarryd.metric(f'tarry_dns_dropped_total{{reason="{reason}"}}')
    wait_until(lambda: answers(tarryd, "clear") + dropped("room") == count,
               "all answers", 60)
    print(f"{answers(tarryd, 'clear'):.0f} answers, {dropped('room'):.0f} "
          f"without room, {resolver.most} at once at most, "
          f"{time.monotonic() - begin_s:.1f} s")
    # Where eight addresses share a set, the ninth is not asked for.
    assert dropped("room") < count / 200
    assert dropped("late") == 0 and dropped("ring") == 0
    assert resolver.most <= 50
    assert tarryd.metric("tarry_dns_in_flight") == 0
    assert tarryd.metric("tarry_dns_waiting") == 0
    told = select.poll()
    for client in clients:
        told.register(client.socket, select.POLLIN)
    assert not told.poll(0)  # neither a word nor an end so far
    for client in clients:
        client.close()


def test_other_lists_after_a_reload(start_sink, resolver,  # noqa: F811
                                    running, tmp_path):
    sink = start_sink()
    # tarryd runs as somebody else, who must be able to read it again.
    with tempfile.TemporaryDirectory(prefix="tarry-") as place:
        os.chmod(place, 0o755)
        path = pathlib.Path(place) / "tarry.ini"
        path.write_text(config(sink.port, resolver.port))
        tarryd = Tarryd(tmp_path / "tarryd.log",
                        ["-c", path, "-l", "127.0.0.1:0",
                         f"127.0.0.1:{sink.port}"])
        running.append(tarryd)
        tarryd.wait_ready()
        assert " dnsbl=3 " in visit(tarryd, "127.0.0.2")
        path.write_text(path.read_text().replace("*3", "*7"))
        tarryd.send_signal(signal.SIGHUP)
        tarryd.wait_log("the configuration was read again")
        wait_until(lambda: " dnsbl=7 " in visit(tarryd, "127.0.0.2"),
                   "the other weight")
