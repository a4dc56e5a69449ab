"""The four MTAs, each as the one behind Tarry and as a sender.

A server knows the recipients `to.` and `from.` of d.example, refuses all
others at RCPT, and keeps a mailbox for each recipient. It listens twice: for
Tarry, which says who the client is, and for those who come directly; and twice
more where it offers STARTTLS. Limits
that would refuse a crowd are lifted: this is not about them. A sender hands
all that it is given to one address and is otherwise as it comes.
"""
import os
import pathlib
import shutil
import smtplib
import socket
import subprocess
import sys
import threading

from matrix_street import MX_NET, PORT, inside

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import mta  # noqa: E402

BOXES = "var/mail/box"


PEM = "etc/mx.pem"


def make_certificate(path):
    """Writes a key and a certificate for mta.example into one new file."""
    path.unlink(missing_ok=True)
    part = path.with_suffix(".part")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "2", "-subj", "/CN=mta.example", "-keyout", path, "-out", part],
        check=True, stderr=subprocess.DEVNULL)
    path.write_bytes(path.read_bytes() + part.read_bytes())
    path.chmod(0o600)
    return path


class Syslog:
    """/dev/log of a root directory: what is said there goes to a file."""

    def __init__(self, root, path):
        self.path = path
        directory = os.open(root / "dev", os.O_DIRECTORY)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Through the descriptor, because a socket's path must be short.
        name = f"/proc/self/fd/{directory}/log"
        self.socket.bind(name)
        os.chmod(name, 0o666)
        os.close(directory)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with open(self.path, "ab", buffering=0) as out:
            while data := self.socket.recv(65536):
                out.write(data.rstrip(b"\n\0") + b"\n")

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


class InSpace:
    """An MTA of the end-to-end tests, in a namespace."""

    def __init__(self, where, space):
        where.mkdir(parents=True)
        super().__init__(where)
        self.space = space
        self.prefix = inside(space)
        self.syslog = Syslog(self.root, where / "syslog")

    def close(self):
        super().close()
        self.syslog.close()

    def is_listening(self):
        assert self.program.process.poll() is None, self.log
        with self.space.entered():
            sock = socket.socket()
        with sock:
            return sock.connect_ex((self.address, PORT)) == 0


class Server(InSpace):
    has_proxy = True  # takes the PROXY header
    no_tls = ""  # why it is not tried with TLS

    def __init__(self, where, space, addresses, known):
        super().__init__(where, space)
        self.address, self.behind, self.tls_direct, self.tls_behind = \
            addresses
        make_certificate(self.root / PEM)
        self.known = known  # the local parts it has mailboxes for
        self.owned(BOXES, 8, 8)
        self.configure()

    def boxes(self):
        """{recipient: [mail]}"""
        found = {}
        for path in self.root.glob(f"{BOXES}/*/new/*"):
            found.setdefault(path.parent.parent.name, []).append(
                path.read_bytes())
        return found


class Sender(InSpace):
    """A client of the matrix; see also matrix_client.py."""

    awaits_quit = True
    speaks_tls = True

    def __init__(self, where, space, target, patience_s=0, tls=False):
        super().__init__(where, space)
        self.address, self.target, self.tls = "127.0.0.1", target, tls
        self.patience_s = patience_s  # 0: as it comes
        self.configure()

    reuses = True  # may send several mails in a session
    cannot = ()
    garbles = False

    def send(self, mail, run):
        """Gives it a mail; what becomes of that it keeps to itself."""
        with self.space.entered():
            with smtplib.SMTP(self.address, PORT, "client.example",
                              timeout=120) as client:
                client.sendmail(mail.sender(run), mail.recipients(run),
                                mail.message().replace(b"\n", b"\r\n"))


class Postfix(mta.Postfix):
    def put(self, lines, services):
        self.main = lines
        self.set_line("\n".join(services))


class PostfixServer(Server, Postfix):
    def configure(self):
        self.write("etc/postfix/boxes", "".join(
            f"{name}@d.example {name}/\n" for name in self.known))
        limit = ("default_process_limit = 1000\n"
                 f"virtual_mailbox_base = /{BOXES}\n")
        limit += f"smtpd_tls_chain_files = /{PEM}\n"
        proxy = " -o smtpd_upstream_proxy_protocol=haproxy"
        tls = " -o smtpd_tls_security_level=may"
        services = [f"{address}:{PORT} inet n - y - - smtpd{more}"
                    for address, more in (
                        (self.address, ""), (self.behind, proxy),
                        (self.tls_direct, tls),
                        (self.tls_behind, proxy + tls))]
        self.put(limit + "virtual_mailbox_maps = texthash:/etc/postfix/boxes\n"
                 "smtpd_client_connection_count_limit = 0\n", services)


class PostfixSender(Sender, Postfix):
    awaits_quit = False  # gone before it is answered, mostly

    def configure(self):
        patience = "".join(
            f"smtp_{stage}_timeout = {self.patience_s}s\n" for stage in (
                "connect", "helo", "mail", "rcpt", "data_init", "data_xfer",
                "data_done", "rset", "quit", "starttls")
        ) if self.patience_s else ""
        self.put(f"relayhost = [{self.target}]:{PORT}\n"
                 "myhostname = client.example\n"
                 "mynetworks = 127.0.0.0/8\n"
                 "smtpd_relay_restrictions = permit_mynetworks, reject\n"
                 "smtp_host_lookup = native\n"
                 "smtp_tls_security_level = "
                 f"{'encrypt' if self.tls else 'none'}\n"
                 "virtual_mailbox_domains =\n" + patience,
                 [f"{self.address}:{PORT} inet n - y - - smtpd"])


EXIM = """\
primary_hostname = {name}
local_interfaces = <; {listen}
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim-%s
host_lookup =
rfc1413_hosts =
keep_environment =
smtp_accept_max = 2000
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1000
smtp_banner = $smtp_active_hostname ESMTP Exim
acl_smtp_rcpt = rcpt
acl_smtp_data = data
{main}
begin acl
rcpt:
{rcpt}
data:
  accept
begin routers
all:
{router}
begin transports
all:
{transport}
"""


class Exim(mta.Exim):
    def put(self, name, listen, rcpt, router, transport, main=""):
        self.write("etc/exim4/exim4.conf", EXIM.format(
            name=name, main=main, rcpt=rcpt, router=router,
            transport=transport,
            listen="; ".join(f"[{address}]:{PORT}" for address in listen)))


class EximServer(Server, Exim):
    def configure(self):
        self.write("etc/exim4/boxes", "".join(
            f"{name}: /{BOXES}/{name}\n" for name in self.known))
        # What the sender said names no file; what a list says does.
        look_up = "${lookup{$local_part}lsearch{/etc/exim4/boxes}}"
        self.put(
            "mta.example", [self.address, self.behind, self.tls_direct,
                            self.tls_behind],
            "  accept domains = d.example\n"
            "         local_parts = lsearch;/etc/exim4/boxes\n"
            "  deny message = no such user here",
            "  driver = accept\n  transport = all",
            f"  driver = appendfile\n  directory = {look_up}\n"
            "  maildir_format\n  user = mail\n  group = mail",
            f"hosts_proxy = {MX_NET}\n"
            f"tls_certificate = /{PEM}\ntls_privatekey = /{PEM}\n"
            "tls_advertise_hosts = ${if inlist{$received_ip_address}"
            f"{{{self.tls_direct} : {self.tls_behind}}}{{*}}}}")
        os.chown(self.root / PEM, 0, 903)
        (self.root / PEM).chmod(0o640)


class EximSender(Sender, Exim):
    def configure(self):
        patience = "".join(
            f"\n  {stage}_timeout = {self.patience_s}s"
            for stage in ("connect", "command", "data", "final")
        ) if self.patience_s else ""
        self.put("client.example", [self.address], "  accept",
                 "  driver = manualroute\n  transport = all\n"
                 f"  route_list = * {self.target}\n  self = send",
                 "  driver = smtp\n  hosts_" +
                 ("require" if self.tls else "avoid") + "_tls = *" +
                 patience, "tls_advertise_hosts =")


class OpensmtpdServer(Server, mta.Opensmtpd):
    no_tls = "its own TLS fails in this lab (alert: internal error), and " \
        "where TLS ends in Tarry it answers the second EHLO with 503"

    def configure(self):
        self.write("etc/smtpd.conf", f"""\
table users {{ "@" = "mail" }}
smtp max-message-size 50M
listen on {self.address} port {PORT}
listen on {self.behind} port {PORT} proxy-v2
action "box" maildir "/{BOXES}/%{{rcpt.user}}" virtual <users>
match from any for rcpt-to regex "^(to|from)[.].*@d[.]example$" action "box"
""")


class OpensmtpdSender(Sender, mta.Opensmtpd):
    def configure(self):
        host = f"smtp+tls://{self.target}:{PORT} tls no-verify" if self.tls \
            else f"smtp://{self.target}:{PORT}"
        self.write("etc/smtpd.conf", f"""\
listen on {self.address} port {PORT} hostname client.example
action "out" relay host {host} helo client.example
match from any for any action "out"
""")


class Sendmail(mta.Sendmail):
    def put(self, name, listen, more):
        super().put(name, [(address, PORT) for address in listen], more)

    certificate = "".join(f"define(`conf{name}', `/{PEM}')dnl\n" for name in (
        "SERVER_CERT", "SERVER_KEY", "CACERT")) + \
        "define(`confCACERT_PATH', `/etc')dnl\n"


class SendmailServer(Server, Sendmail):
    has_proxy = False

    def configure(self):
        # Its mailer is a program: one mail, one recipient, one new file.
        shutil.copy(shutil.which("cat"), self.root / "bin/cat")
        self.write("bin/deliver",
                   f"#!/bin/sh\nexec cat >/{BOXES}/$1/new/$2\n")
        (self.root / "bin/deliver").chmod(0o755)
        for name in self.known:  # there is no mkdir in there
            for part in (name, f"{name}/new"):
                self.owned(f"{BOXES}/{part}", 8, 8)
        mta.Sendmail.put(self, "mta.example", [
            # M=S: this one does not offer STARTTLS.
            (self.address, f"{PORT}, M=S"), (self.behind, f"{PORT}, M=S"),
            (self.tls_direct, PORT), (self.tls_behind, PORT)],
            self.certificate + """\
define(`confMAX_DAEMON_CHILDREN', `0')dnl
define(`LOCAL_MAILER_PATH', `/bin/deliver')dnl
define(`LOCAL_MAILER_ARGS', `deliver $u $i')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `lsDFMPn')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_CONFIG
Cwd.example
LOCAL_RULESETS
SLocal_check_rcpt
R$*\t\t$: $>CanonAddr $1
Rnobody . $* <@ $*>\t\t$#error $@ 5.1.1 $: "550 5.1.1 no such user here"
Rnobody . $*\t\t$#error $@ 5.1.1 $: "550 5.1.1 no such user here"
""")


class SendmailSender(Sender, Sendmail):
    def configure(self):
        patience = "".join(
            f"define(`confTO_{stage}', `{self.patience_s}s')dnl\n"
            for stage in ("CONNECT", "ICONNECT", "INITIAL", "HELO", "MAIL",
                          "RCPT", "DATAINIT", "DATABLOCK", "DATAFINAL",
                          "RSET", "QUIT", "MISC")
        ) if self.patience_s else ""
        self.put("client.example", [self.address], f"""\
{patience}define(`SMART_HOST', `esmtp:[{self.target}]')dnl
FEATURE(`promiscuous_relay')dnl
MAILER(`smtp')dnl
""")


SERVERS = {"Postfix": PostfixServer, "Exim": EximServer,
           "OpenSMTPD": OpensmtpdServer, "sendmail": SendmailServer}
SENDERS = {"Postfix": PostfixSender, "Exim": EximSender,
           "OpenSMTPD": OpensmtpdSender, "sendmail": SendmailSender}
