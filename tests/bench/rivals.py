"""What is measured: Tarry, and those that one would use in its place.

A contender is a rig with one program in it. Rivals are Debian's, with one
thread or worker, no log and nothing that is not needed for what is compared.
"""
import re
import subprocess

from rig import PORT, TOP, Rig, cpu_ns, wait_until

HELD_S = 20  # how long a greeting is held where one is

# Everything is on: rules that read the signature decide, and who is not known
# to them waits for 3 s, which would be seen at once.
TARRY = """
[tarry]
mode = enforce
name = mail.example
max_sessions = {sessions}
drain_timeout = 1s

[listen bench]
address = {listen}:{port}

[mta]
address = 127.0.0.1:{mta_port}
client_address = proxy_v2
max_connections = {slots}

[syn]
sidecar = {sidecar}
kernel = yes
labels = {top}/config/signatures.ini

[http]
address = {http}

[class new]
greet = 3s
teaser = yes

[class held]
greet = {held}s

[class teased]
greet = {held}s
teaser = yes
drip = 2s
{classes}
[rule teased]
network = 127.6.0.0/16
class = teased

[rule held]
network = 127.5.0.0/16
class = held
{rules}
[rule odd]
syn = *:128:*:*:8192,*:mss,nop,ws,nop,nop,sok:*:0
syn = *:64:*:*:1024,0:mss:*:0
class = held

[rule known]
syn = *:64:0:*:*,*:mss,sok,ts,nop,ws:*:0
class = pass

[rule everyone]
class = new
"""

# Handles are two a session, and the limit of descriptors is the machine's.
HAPROXY = """
global
    maxconn 9800
    maxpipes 20
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen bench
    bind 127.0.0.1:{port} backlog 16384
{settings}
"""
HAPROXY_STICK = """\
    stick-table type ip size 100k expire 60s store conn_rate(10s),conn_cur
    tcp-request connection track-sc0 src
    tcp-request connection reject if {{ sc0_conn_cur gt 100000 }}
    server sink 127.0.0.1:{proxy_port} send-proxy-v2
"""
HAPROXY_HOLD = """\
    tcp-request inspect-delay {held}s
    tcp-request content accept if WAIT_END
    server sink 127.0.0.1:{plain_port}
"""
HAPROXY_SPLICE = """\
    option splice-request
    server sink 127.0.0.1:{plain_port}
"""
HAPROXY_PLAIN = """\
    server sink 127.0.0.1:{plain_port}
"""

NGINX = """
daemon off;
worker_processes 1;
pid {where}/{name}.pid;
error_log stderr error;
load_module /usr/lib/nginx/modules/ngx_{kind}_module.so;
events {{ worker_connections 19000; }}
{body}
"""
NGINX_STREAM = """
stream {{
    server {{
        listen 127.0.0.1:{port} backlog=16384;
        proxy_pass 127.0.0.1:{plain_port};
    }}
}}
"""
NGINX_MAIL = """
http {{
    access_log off;
    client_body_temp_path {where}/body;
    proxy_temp_path {where}/proxy;
    fastcgi_temp_path {where}/fastcgi;
    uwsgi_temp_path {where}/uwsgi;
    scgi_temp_path {where}/scgi;
    server {{
        listen 127.0.0.1:2581;
        location / {{
            add_header Auth-Status OK;
            add_header Auth-Server 127.0.0.1;
            add_header Auth-Port {plain_port};
            return 200;
        }}
    }}
}}
mail {{
    server_name mail.example;
    auth_http 127.0.0.1:2581/;
    xclient off;
    server {{
        listen 127.0.0.1:{port} backlog=16384;
        protocol smtp;
        smtp_auth none;
        smtp_greeting_delay {greet}s;
    }}
}}
"""


class Contender:
    """name, and rig; the program's CPU and its process id."""

    def __init__(self, name, where, bench):
        self.name = name
        self.rig = Rig(where, bench)
        self.program = None

    def begin(self):
        """Starts the program; ready for clients when it returns."""
        raise NotImplementedError

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.rig.close()
            raise
        return self

    def __exit__(self, *exc):
        self.rig.close()

    @property
    def pid(self):
        return self.program.pid

    def cpu_ns(self):
        return cpu_ns(self.pid)

    def extra_ns(self):
        """CPU of helpers, which is told apart."""
        return 0

    def start(self, *words):
        self.program = self.rig.start(
            "proxy", *words, processor=self.rig.measured)

    def wait_listening(self):
        pattern = re.compile(rf"127\.0\.0\.1:{PORT}\b")

        def look():
            if self.program.process.poll() is not None:
                raise RuntimeError(self.program.log)
            done = subprocess.run(
                self.rig.namespace.words("ss", "-Htln"), text=True,
                stdout=subprocess.PIPE, check=True)
            return pattern.search(done.stdout)
        wait_until(look, f"{self.name} to listen")


class Tarry(Contender):
    """classes, rules: more of the configuration; sidecar: whether one runs."""

    def __init__(self, where, build, sidecar=True, sessions="auto",
                 slots=400, listen="127.0.0.1", port=PORT, classes="",
                 rules="", rig=None, name="Tarry"):
        if rig is None:
            super().__init__(name, where, build / "tests/bench")
        else:
            self.name, self.rig, self.program = name, rig, None
        self.build = build
        self.has_sidecar = sidecar
        self.sidecar = None
        self.port = port
        self.settings = {
            "sessions": sessions, "slots": slots, "listen": listen,
            "port": port, "classes": classes, "rules": rules, "top": TOP,
            "held": HELD_S, "mta_port": self.rig.proxy_port,
            "http": "127.0.0.1:9925", "sidecar": ""}

    def begin_sidecar(self):
        socket = self.rig.where / f"{self.rig.namespace.name}-syn.sock"
        self.settings["sidecar"] = socket
        self.sidecar = self.rig.start(
            "sidecar", self.build / "tarry-sidecar", "-p", self.port, "-i",
            "lo", "-s", socket, "-u", "nobody", processor=self.rig.measured)
        wait_until(socket.exists, "the sidecar")

    def begin(self):
        if self.has_sidecar:
            self.begin_sidecar()
        path = self.rig.write(f"tarry-{self.port}.ini",
                              TARRY.format(**self.settings))
        self.program = self.rig.start(
            f"tarryd-{self.port}", self.build / "tarryd", "-c", path, "-u",
            "nobody", processor=self.rig.measured)
        self.program.wait_log("passed the test session")
        if self.has_sidecar:
            self.program.wait_log("the sidecar is there")

    def extra_ns(self):
        return cpu_ns(self.sidecar.pid) if self.sidecar else 0

    def metrics(self):
        """{name with labels: value}"""
        text = subprocess.run(
            self.rig.namespace.words(
                "curl", "-s", "-m", "20", "http://127.0.0.1:9925/metrics"),
            stdout=subprocess.PIPE, text=True, check=True).stdout
        rows = [line.rsplit(" ", 1) for line in text.splitlines()
                if not line.startswith("#")]
        return {name: float(value) for name, value in rows}


class Haproxy(Contender):
    def __init__(self, name, where, bench, settings=HAPROXY_PLAIN):
        super().__init__(name, where, bench)
        self.settings = settings

    def begin(self):
        settings = self.settings.format(
            plain_port=self.rig.plain_port, proxy_port=self.rig.proxy_port,
            held=HELD_S)
        path = self.rig.write("haproxy.cfg", HAPROXY.format(
            port=PORT, settings=settings))
        self.start("/usr/sbin/haproxy", "-db", "-f", path)
        self.wait_listening()


class Nginx(Contender):
    def __init__(self, name, where, bench, kind, greet_s=0):
        super().__init__(name, where, bench)
        self.kind = kind
        self.greet_s = greet_s

    def begin(self):
        words = {"port": PORT, "where": self.rig.where,
                 "plain_port": self.rig.plain_port, "greet": self.greet_s}
        body = NGINX_STREAM if self.kind == "stream" else NGINX_MAIL
        path = self.rig.write("nginx.conf", NGINX.format(
            where=self.rig.where, name=self.rig.namespace.name,
            kind=self.kind, body=body.format(**words)))
        self.start("/usr/sbin/nginx", "-c", path)
        self.wait_listening()


class Direct(Contender):
    """Nothing in between: what clients and sink can do by themselves."""

    def begin(self):
        pass

    def cpu_ns(self):
        return 0
