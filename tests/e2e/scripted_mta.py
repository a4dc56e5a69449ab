"""An MTA that says what it was told to say, right or wrong."""
import socket
import threading

PLAIN = {"greeting": b"220 mta.example ESMTP\r\n",
         "EHLO": b"250-mta.example\r\n250 PIPELINING\r\n",
         "HELO": b"250 mta.example\r\n",
         "MAIL": b"250 2.1.0 sender fine\r\n",
         "RCPT": b"250 2.1.5 recipient fine\r\n",
         "DATA": b"354 go on\r\n",
         "dot": b"250 2.0.0 taken\r\n",
         "RSET": b"250 2.0.0 reset\r\n",
         "NOOP": b"250 2.0.0 fine\r\n",
         "QUIT": b"221 2.0.0 bye\r\n"}


class ScriptedMta:
    """Says `script`, from the second session on: the first is Tarry's own,
    which looks whether the MTA is one."""

    def __init__(self, plain_sessions=1, **script):
        assert set(script) <= set(PLAIN)
        self.script = {**PLAIN, **script}
        self.plain_left = plain_sessions
        self.mails = []
        self.sessions = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address, self.port = self.socket.getsockname()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            script = PLAIN if self.plain_left > 0 else self.script
            self.plain_left -= 1
            self.sessions.append(threading.Thread(
                target=self.serve, args=(client, script), daemon=True))
            self.sessions[-1].start()

    def serve(self, client, script):
        with client, client.makefile("rb") as lines:
            try:
                client.sendall(script["greeting"])
                while self.answer(client, lines, script):
                    pass
            except ConnectionError:
                pass

    def answer(self, client, lines, script):
        verb = lines.readline(1000)[:4].decode("latin-1").upper()
        if not verb:
            return False
        client.sendall(script.get(verb, b"502 5.5.2 not known\r\n"))
        if verb == "DATA" and script["DATA"].startswith(b"354"):
            mail = []
            while (line := lines.readline()) != b".\r\n":
                if not line:
                    return False
                mail.append(line)
            self.mails.append(b"".join(mail))
            client.sendall(script["dot"])
        return verb != "QUIT"

    def have_ended(self):
        """Whether no session is left of those that were greeted."""
        return not any(thread.is_alive() for thread in self.sessions)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
