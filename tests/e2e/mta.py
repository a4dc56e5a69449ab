"""Real MTAs, each unpacked in a root directory of its own and run in it.

Nothing is installed and nothing of the machine's own mail is touched: the
MTA runs under chroot, listens on a loopback address and a port that were free
a moment ago, and delivers into files below its root. It knows one domain,
d.example, and trusts nobody. All mail for it is kept.
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import TOP, Program, Tarryd, shipped_config, wait_until

BASE = TOP / "build" / "mta"
HERE = pathlib.Path(__file__).resolve().parent


def base_root(name):
    """The root directory with a program, made at its first use."""
    if os.geteuid() != 0:
        pytest.skip(f"{name}: only root can chroot")
    got = subprocess.run([HERE / "mta_unpack.sh", name, BASE],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True)
    if got.returncode != 0:
        pytest.skip(f"{name} is not to be had: {got.stdout[-300:]}")
    return BASE / name


def free_address():
    """An address and port of the loopback net that nobody has."""
    address = "127.%d.%d.%d" % tuple(random.randint(1, 254)
                                     for _ in range(3))
    with socket.socket() as sock:
        sock.bind((address, 0))
        return sock.getsockname()


class Mta:
    """An MTA in a copy of its root: hard links, so it takes no room."""

    name = None
    log_file = None  # below the root; None: what it prints
    prefix = ()  # words before its command, as for a namespace
    queues = ()  # below the root

    def __init__(self, where):
        base = base_root(self.name)
        self.root = BASE / f"run-{os.getpid()}-{where.parent.name}-" \
            f"{where.name}-{self.name}"
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-al", base, self.root], check=True)
        self.out = where / f"{self.name}.log"
        self.address, self.port = free_address()
        self.program = None
        self.starts = 0
        self.box = self.root / "var/mail/box"
        self.owned("var/mail/box", 8, 8)

    def owned(self, path, uid, gid, mode=0o755):
        """A directory below the root."""
        where = self.root / path
        where.mkdir(parents=True, exist_ok=True)
        os.chown(where, uid, gid)
        where.chmod(mode)

    def write(self, path, text):
        """A file of its own: never through a link into the base root."""
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.write_text(text)

    def words(self):
        raise NotImplementedError

    def start(self):
        """Starts and waits until it accepts connections."""
        self.starts += 1
        self.program = Program(
            self.out.with_suffix(f".{self.starts}"),
            [*self.prefix, "chroot", self.root, *self.words()],
            start_new_session=True)
        self.wait_listening()
        return self

    def wait_listening(self):
        wait_until(self.is_listening, f"{self.name} to listen")

    def is_listening(self):
        assert self.program.process.poll() is None, self.log
        with socket.socket() as sock:
            return sock.connect_ex((self.address, self.port)) == 0

    def stop(self):
        """Ends it with all its children; they are a session of their own."""
        if self.program is None:
            return
        pid = self.program.process.pid
        self.program.stop()
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.program = None

    def close(self):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def log(self):
        text = self.program.log if self.program else ""
        if self.log_file and (self.root / self.log_file).exists():
            text += (self.root / self.log_file).read_text(errors="replace")
        return text

    def wait_mail(self, count):
        """Waits for so many delivered mails; returns them, oldest first."""
        def look():
            files = sorted((self.box / "new").glob("*"),
                           key=lambda path: path.stat().st_mtime_ns)
            return files if len(files) >= count else None
        try:
            files = wait_until(look, f"{count} mails")
        except pytest.fail.Exception as error:
            pytest.fail(f"{error}; the log of {self.name}:\n{self.log}")
        return [path.read_bytes() for path in files]

    def queued(self):
        """How many files there are in its queue."""
        return sum(len(files) for queue in self.queues
                   for _, _, files in os.walk(self.root / queue))

    def mail_count(self):
        return len(list((self.box / "new").glob("*")))


POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
data_directory = /var/lib/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mta.example
mydestination =
mynetworks =
inet_protocols = ipv4
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_restrictions =
smtpd_banner = $myhostname ESMTP
local_recipient_maps =
alias_maps =
alias_database =
virtual_mailbox_domains = d.example
virtual_mailbox_base = /var/mail
virtual_mailbox_maps = static:box/
virtual_minimum_uid = 1
virtual_uid_maps = static:8
virtual_gid_maps = static:8
message_size_limit = 50000000
virtual_mailbox_limit = 0
maillog_file = /var/log/postfix.log
disable_dns_lookups = yes
in_flow_delay = 0
"""

POSTFIX_MASTER = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Mta):
    name = "postfix"
    log_file = "var/log/postfix.log"
    queues = tuple(f"var/spool/postfix/{queue}" for queue in (
        "maildrop", "incoming", "active", "deferred", "hold"))

    def __init__(self, where, proxy=False, main=""):
        super().__init__(where)
        spool = "var/spool/postfix"
        self.owned(spool, 0, 0)
        for queue in ("active", "bounce", "corrupt", "defer", "deferred",
                      "flush", "hold", "incoming", "saved", "trace"):
            self.owned(f"{spool}/{queue}", 901, 0, 0o700)
        self.owned(f"{spool}/private", 901, 0, 0o700)
        self.owned(f"{spool}/public", 901, 902, 0o710)
        self.owned(f"{spool}/maildrop", 901, 902, 0o730)
        self.owned(f"{spool}/pid", 0, 0)
        self.owned("var/lib/postfix", 901, 901, 0o700)
        self.main = main
        line = f"{self.address}:{self.port} inet n - y - - smtpd"
        if proxy:
            line += " -o smtpd_upstream_proxy_protocol=haproxy"
        self.set_line(line)

    def set_line(self, line):
        """The line of master.cf that says how to listen."""
        ours = {text.split("=")[0] for text in self.main.splitlines()}
        self.line = line
        self.write("etc/postfix/main.cf", self.main + "".join(
            text for text in POSTFIX_MAIN.splitlines(keepends=True)
            if text.split("=")[0] not in ours))
        self.write("etc/postfix/master.cf", POSTFIX_MASTER + line + "\n")
        # Postfix waits for a file that was changed seconds ago to settle.
        for name in ("main.cf", "master.cf"):
            os.utime(self.root / "etc/postfix" / name, (0, 0))

    def words(self):
        return ["/usr/lib/postfix/sbin/master", "-d"]

    def wait_listening(self):
        # It listens before it says so; a connection would be in its log.
        wait_until(lambda: self.log.count("daemon started") >= self.starts,
                   "Postfix to start")


EXIM = """\
primary_hostname = mta.example
local_interfaces = <; [%s]:%d
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim-%%s
acl_smtp_rcpt = rcpt
acl_smtp_data = data
tls_advertise_hosts =
host_lookup =
keep_environment =
smtp_accept_max = 100
smtp_banner = $smtp_active_hostname ESMTP Exim
"""
EXIM_REST = """
begin acl
rcpt:
  accept domains = d.example
  deny message = relay not permitted
data:
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = /var/mail/box
  maildir_format
  user = mail
  group = mail
"""


class Exim(Mta):
    name = "exim"
    log_file = "var/log/exim-main"

    def __init__(self, where, main=""):
        super().__init__(where)
        self.owned("var/spool/exim4", 903, 903, 0o750)
        self.owned("var/log", 0, 903, 0o775)
        self.set_main(main)

    def queued(self):
        # It forgets the text (-D) of what it refused to all recipients.
        return len(list((self.root / "var/spool/exim4/input").rglob("*-H")))

    def set_main(self, line):
        """Lines for the main section, in place of those of these keys."""
        ours = {text.split(" = ")[0] for text in line.splitlines()}
        main = EXIM % (self.address, self.port)
        self.write("etc/exim4/exim4.conf", "".join(
            text for text in main.splitlines(keepends=True)
            if text.split(" =")[0] not in ours) + line + "\n" + EXIM_REST)

    def words(self):
        return ["/usr/sbin/exim4", "-bdf"]

    def wait_listening(self):
        wait_until(lambda: self.log.count("daemon started") >= self.starts,
                   "Exim to start")


class Opensmtpd(Mta):
    name = "opensmtpd"
    queues = ("var/spool/smtpd/queue", "var/spool/smtpd/incoming")

    def __init__(self, where):
        super().__init__(where)
        self.owned("var/spool/smtpd", 0, 0, 0o711)
        self.owned("var/spool/smtpd/offline", 0, 905, 0o770)
        self.owned("var/spool/smtpd/purge", 905, 0, 0o700)
        self.owned("var/lib/opensmtpd/empty", 0, 0, 0o711)
        self.set_listen(f"listen on {self.address} port {self.port}")

    def set_listen(self, line):
        """The line of smtpd.conf that says how to listen."""
        self.write("etc/smtpd.conf", f"""\
table users {{ "@" = "mail" }}
{line}
action "box" maildir "/var/mail/box" virtual <users>
match from any for domain "d.example" action "box"
""")

    def words(self):
        return ["/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"]


SENDMAIL = """\
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
define(`confDOMAIN_NAME', `{name}')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`confPID_FILE', `/var/run/sendmail.pid')dnl
define(`confQUEUE_LA', `10000')dnl
define(`confREFUSE_LA', `10000')dnl
define(`confDELAY_LA', `0')dnl
define(`confLOG_LEVEL', `9')dnl
define(`confDEF_USER_ID', `mail:mail')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`ALIAS_FILE', `')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
{listen}
{more}
"""


class Sendmail(Mta):
    name = "sendmail"
    queues = ("var/spool/mqueue",)

    def __init__(self, where):
        super().__init__(where)
        self.owned("var/spool/mqueue", 0, 0, 0o700)
        self.owned("etc/mail", 0, 0)
        self.write("etc/mail/service.switch", "hosts files\naliases files\n")
        self.write("etc/mail/local-host-names", "")
        self.write("etc/shells", "/bin/sh\n")

    def put(self, name, listen, more):
        self.write("etc/mail/sendmail.mc", SENDMAIL.format(
            name=name, more=more, listen="\n".join(
                f"DAEMON_OPTIONS(`Family=inet, Addr={address}, Port={port}, "
                f"Name={address}')dnl" for address, port in listen)))
        done = subprocess.run(
            ["chroot", self.root, "/usr/bin/m4", "/etc/mail/sendmail.mc"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        self.write("etc/mail/sendmail.cf", done.stdout.decode())

    def set_box(self, more=""):
        """It keeps all mail for d.example. Its mailer is a program, called
        once for a mail; without a $u it would be spoken SMTP to."""
        shutil.copy(shutil.which("cat"), self.root / "bin/cat")
        self.write("bin/deliver", "#!/bin/sh\nexec cat >/var/mail/box/new/$1\n")
        (self.root / "bin/deliver").chmod(0o755)
        self.owned("var/mail/box/new", 8, 8)  # no mkdir in there
        self.put("mta.example", [(self.address, self.port)], more + """
define(`LOCAL_MAILER_PATH', `/bin/deliver')dnl
define(`LOCAL_MAILER_ARGS', `deliver $i $u')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `lsDFMPn')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
LOCAL_CONFIG
Cwd.example
""")
        return self

    def words(self):
        return ["/usr/libexec/sendmail/sendmail", "-bD", "-q1m",
                "-C", "/etc/mail/sendmail.cf"]


@pytest.fixture
def mta(tmp_path):
    """mta(Postfix, proxy=True) -> an MTA, not yet started."""
    made = []

    def make(kind, **options):
        where = tmp_path / f"mta{len(made)}"
        where.mkdir()
        made.append(kind(where, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def proxy_for(tmp_path, running):
    """proxy_for(address, port, section__key=value ..) -> a Tarryd."""
    made = []

    def start(address, port, **keys):
        number = len(running)
        keys = {"http__address": "127.0.0.1:0", "syn__sidecar": "",
                "syn__labels": "", "class_new__greet": "200ms", **keys}
        path = tmp_path / f"tarry{number}.ini"
        path.write_text(shipped_config(**keys))
        # tarryd runs as somebody else and reads it again at SIGHUP.
        tmp_path.chmod(0o755)
        tarryd = Tarryd(tmp_path / f"tarryd{number}.log",
                        ["-c", path, "-l", "127.0.0.1:0",
                         f"{address}:{port}"])
        tarryd.control = keys.get("control__socket")
        running.append(tarryd)
        made.append(tarryd)
        return tarryd
    yield start
    for tarryd in made:
        tarryd.stop()
        for word in ("reason=bug", "runtime error:", "Sanitizer"):
            assert word not in tarryd.log
