"""A browser that looks at the dashboard, and traffic to look at."""
import json
import socket
import threading

import pytest

from conftest import DEADLINE, wait_until
from test_outcomes import Judge

# Receive buffers that make the kernel ask for other window scales: senders
# whose stacks look different.
STACKS = (0, 4096, 65536, 262144, 1048576)


class Sender(threading.Thread):
    """Sends one mail after another, or hangs up while it is held."""

    def __init__(self, port, stack, recipient, text, patience=None, count=1):
        super().__init__(daemon=True)
        self.port, self.stack, self.count = port, stack, count
        self.recipient, self.text = recipient, text
        self.patience = patience
        self.start()

    def connect(self):
        sock = socket.socket()
        sock.settimeout(self.patience or DEADLINE)
        if self.stack:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.stack)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def talk(self, sock):
        words = ["EHLO <script>alert(1)</script>", "MAIL FROM:<a@b.example>",
                 f"RCPT TO:<{self.recipient}@d.example>", "DATA",
                 f"{self.text}\r\n.", "QUIT"]
        lines = sock.makefile("rb")
        for word in [None, *words]:
            if word:
                sock.sendall(word.encode() + b"\r\n")
            while True:
                line = lines.readline()
                if line[:1] == b"5" and word != words[0]:
                    sock.sendall(b"QUIT\r\n")
                    lines.readline()
                    return
                if line[3:4] != b"-":
                    break

    def run(self):
        for _ in range(self.count):
            with self.connect() as sock:
                try:
                    self.talk(sock)
                except OSError:
                    pass  # it was patient long enough


class Browser:
    """Headless Chromium, with all that it asked for."""

    def __init__(self, options=()):
        selenium = pytest.importorskip("selenium.webdriver")
        from selenium.webdriver.chrome.service import Service
        chosen = selenium.ChromeOptions()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu",
                     "--disable-dev-shm-usage", "--hide-scrollbars",
                     "--disable-background-networking",
                     "--window-size=1280,900", *options):
            chosen.add_argument(word)
        chosen.set_capability("goog:loggingPrefs",
                              {"performance": "ALL", "browser": "ALL"})
        self.driver = selenium.Chrome(
            service=Service("/usr/bin/chromedriver"), options=chosen)

    def open(self, tarryd, path="/"):
        self.driver.get(f"http://127.0.0.1:{tarryd.http_port}{path}")

    def run(self, script, *words):
        return self.driver.execute_script(script, *words)

    def value(self, name):
        """A figure of the page, as a number."""
        got = self.run("return document.getElementById('figure-' + "
                       "arguments[0])?.dataset.value", name)
        return None if got is None else float(got)

    def text(self, where):
        return self.run("return document.querySelector(arguments[0])"
                        "?.textContent ?? ''", where)

    def count(self, where):
        return self.run("return document.querySelectorAll(arguments[0])"
                        ".length", where)

    def press(self, where):
        """By the keyboard, as one does who has no mouse. What is drawn anew
        just then is looked for again."""
        from selenium.common.exceptions import StaleElementReferenceException

        def pressed():
            try:
                self.driver.find_element("css selector", where).send_keys("\n")
            except StaleElementReferenceException:
                return False
            return True
        wait_until(pressed, where)

    def wait(self, condition, what):
        return wait_until(condition, what)

    def asked_for(self):
        """Every address that it sent a question to."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return found

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] == "SEVERE" and "429" not in entry["message"]]

    def shoot(self, path, width=1280, height=None):
        self.driver.set_window_size(width, 900)
        if height is None:
            # The window has a frame, of which the page sees nothing.
            height = self.run("return document.documentElement.scrollHeight"
                              " + outerHeight - innerHeight")
        self.driver.set_window_size(width, height)
        self.driver.save_screenshot(str(path))

    def close(self):
        self.driver.quit()
