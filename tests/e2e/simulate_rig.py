"""A scenario that is lived: its senders as real clients of a real tarryd, and
an MTA as fast as it says. The scenario is a text, which tarryctl simulate
reads too; here only the keys that it uses are known."""
import asyncio
import configparser
import ipaddress
import random
import re
import time

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
LINE = b"x" * 70 + b"\r\n"


def seconds(text):
    found = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    return int(found[1]) * UNITS[found[2]] if found else float(text)


def size(text):
    return int(text[:-1]) * 1024 if text.endswith("k") else int(text)


class Span:
    """`a..b`: each doubling as likely as the next, as the simulator has it."""

    def __init__(self, text, parse):
        low, _, high = text.partition("..")
        self.low, self.high = parse(low), parse(high or low)

    def draw(self, dice):
        if self.high <= self.low:
            return self.low
        octaves = 1
        while self.low * 2 ** octaves < self.high:
            octaves += 1
        low = self.low * 2 ** dice.randrange(octaves)
        return dice.uniform(low, min(2 * low, self.high))


class Kind:
    def __init__(self, name, keys):
        self.name = name
        self.gap = 60 / int(keys["per_minute"])
        self.clients = int(keys["clients"])
        self.network = ipaddress.ip_network(keys["network"])
        self.patience = Span(keys.get("patience", "5m"), seconds)
        self.messages = Span(keys.get("messages", "1"), int)
        self.size = Span(keys.get("size", "4k"), size)
        self.is_pipelining = keys.get("pipelining") == "yes"
        self.early, self.unknown, self.refused = (
            int(keys.get(key, "0%").rstrip("%"))
            for key in ("early", "unknown", "refused"))
        assert keys["arrivals"] == "even" and keys["rtt"] == "0"

    def address(self, dice):
        step = self.network.num_addresses // self.clients
        return str(self.network[step * dice.randrange(self.clients) +
                                step // 2])


class Mta:
    """Greets, answers, and takes a while for each, as [mta] says."""

    def __init__(self, keys):
        self.greeting, self.reply, self.dot = (
            Span(keys[key], seconds) for key in ("greeting", "reply", "dot"))
        self.dice = random.Random(7)
        self.server = self.port = None

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0,
                                                 backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]

    async def say(self, writer, words, takes):
        await asyncio.sleep(takes.draw(self.dice))
        writer.write(words)

    async def serve(self, reader, writer):
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def talk(self, reader, writer):
        await self.say(writer, b"220 mta.example ESMTP\r\n", self.greeting)
        taken = 0
        while line := await reader.readline():
            verb = line[:4].upper()
            words = b"250 2.0.0 Ok\r\n"
            if verb == b"EHLO":
                words = b"250-mta.example\r\n250 PIPELINING\r\n"
            elif verb == b"MAIL":
                taken = 0
            elif verb == b"RCPT" and b"nobody" in line:
                words = b"550 5.1.1 no such user\r\n"
            elif verb == b"RCPT":
                taken += 1
            elif verb == b"DATA":
                words = b"354 go on\r\n" if taken else b"503 nobody\r\n"
            elif verb == b"QUIT":
                words = b"221 2.0.0 bye\r\n"
            await self.say(writer, words, self.reply)
            if words.startswith(b"354"):
                mail = await reader.readuntil(b"\r\n.\r\n")
                await self.say(writer, b"554 5.7.1 spam\r\n"
                               if b"spam" in mail else b"250 2.0.0 taken\r\n",
                               self.dot)
            if verb == b"QUIT":
                return


class GaveUp(Exception):
    pass


class Sender:
    """One session of a kind."""

    def __init__(self, kind, dice, port):
        self.kind, self.dice, self.port = kind, dice, port
        self.patience = kind.patience.draw(dice) or None
        self.reader = self.writer = None
        self.gave_up = False
        self.after = []  # how long after its coming each mail was taken

    def chance(self, percent):
        return self.dice.random() * 100 < percent

    async def line(self):
        line = await self.reader.readline()
        if not line:
            raise ConnectionError
        return line

    async def replies(self, count=1):
        """Waits for so many; the codes."""
        codes = []

        async def read():
            while len(codes) < count:
                line = await self.line()
                if line[3:4] != b"-":
                    codes.append(int(line[:3]))
        try:
            await asyncio.wait_for(read(), self.patience)
        except asyncio.TimeoutError:
            raise GaveUp from None
        return codes

    async def ask(self, *lines):
        self.writer.write(b"".join(line.encode() + b"\r\n"
                                   for line in lines))
        return await self.replies(len(lines))

    async def run(self):
        began = time.monotonic()
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(self.kind.address(self.dice),
                                                0))
        try:
            await self.talk(began)
        except GaveUp:
            self.gave_up = True
        except ConnectionError:
            pass
        self.writer.close()

    async def talk(self, began):
        if self.chance(self.kind.early):
            self.writer.write(b"EHLO client.example.net\r\n")
            await self.replies(2)
        else:
            await self.replies()
            await self.ask("EHLO client.example.net")
        for _ in range(round(self.kind.messages.draw(self.dice))):
            if await self.send():
                self.after.append(time.monotonic() - began)
        await self.ask("QUIT")

    async def send(self):
        mail = "MAIL FROM:<a@example.net>"
        rcpt = ("RCPT TO:<nobody@example.org>"
                if self.chance(self.kind.unknown)
                else "RCPT TO:<b@example.org>")
        if self.kind.is_pipelining:
            codes = await self.ask(mail, rcpt, "DATA")
        else:
            await self.ask(mail)
            codes = await self.ask(rcpt)
            if codes[0] == 250:
                codes = await self.ask("DATA")
        if codes[-1] != 354:
            await self.ask("RSET")
            return False
        body = LINE * -(-int(self.kind.size.draw(self.dice)) // len(LINE))
        if self.chance(self.kind.refused):
            body = b"spam" + body[4:]
        self.writer.write(body)
        await self.writer.drain()
        return await self.ask(".") == [250]


class Life:
    """Plays the scenario for as long as it says; then .senders has all."""

    def __init__(self, text):
        keys = configparser.ConfigParser(inline_comment_prefixes=";",
                                         delimiters="=",
                                         interpolation=None)
        keys.read_string(text)
        self.seconds = seconds(keys["scenario"]["for"])
        self.mta = Mta(keys["mta"])
        self.kinds = [Kind(name.split()[1], keys[name])
                      for name in keys.sections() if name.startswith("kind ")]
        self.senders = []

    async def come(self, kind, port, seed):
        dice, began, runs = random.Random(seed), time.monotonic(), []
        at = kind.gap
        while at < self.seconds:
            await asyncio.sleep(max(0, began + at - time.monotonic()))
            self.senders.append(Sender(kind, dice, port))
            runs.append(asyncio.ensure_future(self.senders[-1].run()))
            at += kind.gap
        await asyncio.gather(*runs)

    async def live(self, port):
        await asyncio.gather(*(self.come(kind, port, seed)
                               for seed, kind in enumerate(self.kinds)))
