"""A client that goes while it is not being read frees its MTA slot at once."""
import socket
import threading
import time

from conftest import DEADLINE, wait_until

FIN_WAIT2 = 5  # the state in TCP_INFO's first byte
FLOOD = b"250-" + b"x" * 400 + b"\r\n"


def flooding_mta(listener):
    """Passes the test session; behind NOOP it never stops to talk."""
    def serve(sock):
        with sock, sock.makefile("rb") as lines:
            sock.sendall(b"220 flood\r\n")
            for line in lines:
                if line.startswith(b"NOOP"):
                    try:
                        while True:
                            sock.sendall(FLOOD * 100)
                    except OSError:
                        return
                if line.startswith(b"QUIT"):
                    sock.sendall(b"221 bye\r\n")
                    return
                sock.sendall(b"250 fine\r\n")

    while True:
        try:
            sock = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def test_slot_is_free_at_once(start_tarryd):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=flooding_mta, args=(listener,),
                         daemon=True).start()
        tarryd = start_tarryd(listener.getsockname()[1],
                              mta__client_address="none",
                              mta__open_relay_checked="yes",
                              class_new__greet="0s",
                              class_new__teaser="no").wait_ready()
        took = []
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", tarryd.port),
                                              DEADLINE)
            assert client.recv(100).startswith(b"220")
            client.sendall(b"NOOP\r\n" * 2000)
            wait_until(lambda: tarryd.metric("tarry_mta_connections_open")
                       == 1, "a slot in use")
            # Behind a FIN nobody reads; unread input makes the close a reset.
            client.shutdown(socket.SHUT_WR)
            wait_until(lambda: client.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == FIN_WAIT2, "the FIN")
            client.close()
            start = time.monotonic()
            wait_until(lambda: tarryd.metric("tarry_mta_connections_open")
                       == 0, "the slot is free")
            took.append(time.monotonic() - start)
        assert sorted(took)[2] < 0.3, took
