"""The sixteen clients: four MTAs, and twelve programs that only send.

Each comes from its Debian package: those of Debian's base and of this test's
needs run as they are installed, the others in root directories of their own.
A program is called once for a mail. Where a client has time limits that can
be set, `patience_s` sets them all; 0 leaves it as it comes.
"""
import os
import shutil
import subprocess

from matrix_mta import SENDERS, Syslog, mta
from matrix_street import PORT, inside

HELO = "client.example"
SECONDS = 400  # more than any budget; a client that hangs is ended


class Client:
    """A program that is called once for a mail, and says how it went."""

    program = None  # what must be on the machine, if it is not unpacked
    unpacked = None  # its name for mta_unpack.sh
    reuses = False  # may send several mails in a session
    awaits_quit = True
    cannot = ()  # mails that it has no way to send
    garbles = False  # its bounces do not say what the reply was
    speaks_tls = True  # by STARTTLS, without asking who signed

    def __init__(self, where, space, target, patience_s=0, tls=False):
        where.mkdir(parents=True)
        self.where, self.space, self.target = where, space, target
        self.tls = tls
        self.patience_s = patience_s
        self.root = self.syslog = None
        if self.program and shutil.which(self.program) is None:
            raise FileNotFoundError(f"there is no {self.program}")
        if self.unpacked:
            self.unpack()
        self.configure()

    def unpack(self):
        base = mta.base_root(self.unpacked)
        self.root = mta.BASE / f"run-{os.getpid()}-{self.where.name}"
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-al", base, self.root], check=True)
        self.syslog = Syslog(self.root, self.where / "syslog")

    write = mta.Mta.write
    owned = mta.Mta.owned

    def configure(self):
        pass

    def start(self):
        return self

    def words(self, mail, sender, to, path):
        raise NotImplementedError

    def stdin(self, mail):
        return mail.message()

    def send(self, mail, run):
        """Returns the exit status."""
        message = self.stdin(mail)
        path = self.where / f"{mail.name}.eml"
        path.write_bytes(message)
        words = [*inside(self.space)]
        if self.root and not self.program:
            words += ["chroot", self.root]
        words += self.words(mail, mail.sender(run), mail.recipients(run),
                            path)
        with open(self.where / f"{mail.name}.out", "wb") as out:
            try:
                return subprocess.run(
                    [str(word) for word in words], input=message, stdout=out,
                    stderr=subprocess.STDOUT, timeout=SECONDS,
                    cwd=self.where, env=self.environment()).returncode
            except subprocess.TimeoutExpired:
                return "no end"

    def environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp",
                "LC_ALL": "C.UTF-8", "USER": "root",
                "LOGNAME": "root"}

    def queued(self):
        return 0

    @property
    def log(self):
        return "".join(f"[{path.name}] " + path.read_text(errors="replace")
                       for path in sorted(self.where.iterdir())
                       if path.name.endswith((".out", "syslog", ".log")))

    def stop(self):
        pass

    def close(self):
        self.stop()
        if self.root:
            self.syslog.close()
            shutil.rmtree(self.root, ignore_errors=True)


class CrlfClient(Client):
    """A program that wants its mail as it goes over the wire."""

    def stdin(self, mail):
        return mail.message().replace(b"\n", b"\r\n")


class Swaks(CrlfClient):
    program = "swaks"

    def words(self, mail, sender, to, path):
        words = ["swaks", "--server", self.target, "--port", PORT, "--from",
                 sender or "<>", "--to", ",".join(to), "--helo", HELO,
                 "--data", f"@{path}", *(["--tls"] if self.tls else [])]
        return words + ["--timeout", self.patience_s] \
            if self.patience_s else words


class Curl(CrlfClient):
    program = "curl"

    def words(self, mail, sender, to, path):
        return ["curl", "-sS",
                *(["--ssl-reqd", "--insecure"] if self.tls else []),
                "--mail-from", sender or "<>",
                *(word for one in to for word in ("--mail-rcpt", one)),
                "--mail-rcpt-allowfails", "--upload-file", path,
                f"smtp://{self.target}:{PORT}/{HELO}"]


SMTPLIB = """
import smtplib, ssl, sys
host, port, patience, tls, helo, sender, *to = sys.argv[1:]
limit = {"timeout": float(patience)} if patience != "0" else {}
with smtplib.SMTP(host, int(port), helo, **limit) as client:
    if tls == "True":
        client.starttls(context=ssl._create_unverified_context())
    refused = client.sendmail(sender, to, sys.stdin.buffer.read())
print(refused)
sys.exit(2 if refused else 0)
"""


class Smtplib(CrlfClient):
    program = "/usr/bin/python3"

    def words(self, mail, sender, to, path):
        return [self.program, "-c", SMTPLIB, self.target, PORT,
                self.patience_s, self.tls, HELO, sender, *to]


NET_SMTP = """
use strict; use Net::SMTP;
my ($host, $port, $patience, $tls, $helo, $sender, @to) = @ARGV;
my $smtp = Net::SMTP->new($host, Port => $port, Hello => $helo,
    $patience ? (Timeout => $patience) : ()) or die "no greeting: $@\\n";
$tls eq "False" or $smtp->starttls(SSL_verify_mode => 0)
    or die $smtp->message;
my $mail = do { local $/; <STDIN> };
$smtp->mail($sender) or die $smtp->message;
my @good = $smtp->to(@to, { SkipBad => 1 }) or die $smtp->message;
$smtp->data($mail) or die $smtp->message;
print $smtp->message;
$smtp->quit;
exit(@good == @to ? 0 : 2);
"""


class NetSmtp(Client):
    program = "perl"

    def words(self, mail, sender, to, path):
        return ["perl", "-e", NET_SMTP, self.target, PORT, self.patience_s,
                self.tls, HELO, sender, *to]


NODEMAILER = """
const [host, port, patience, tls, name, from, ...to] = process.argv.slice(1);
const limits = patience === "0" ? {} : {
	connectionTimeout: patience * 1000,
	greetingTimeout: patience * 1000,
	socketTimeout: patience * 1000,
};
const transport = require("nodemailer").createTransport(
	{ host, port, name, ...limits, ...(tls === "True" ?
		{ requireTLS: true, tls: { rejectUnauthorized: false } } :
		{ ignoreTLS: true }) });
const raw = require("fs").readFileSync(0);
transport.sendMail({ envelope: { from, to }, raw }, (error, info) => {
	console.log(error || info);
	process.exitCode = error ? 1 : info.rejected.length ? 2 : 0;
});
"""


class Nodemailer(CrlfClient):
    program, unpacked = "node", "nodemailer"
    awaits_quit = False  # it sends none

    def environment(self):
        return {**super().environment(),
                "NODE_PATH": str(self.root / "usr/share/nodejs")}

    def words(self, mail, sender, to, path):
        return [shutil.which("node"), "-e", NODEMAILER, self.target, PORT,
                self.patience_s, self.tls, HELO, sender, *to]


PHPMAILER = """
require "/usr/share/php/libphp-phpmailer/autoload.php";
[, $host, $port, $patience, $tls, $helo, $subject, $sender] = $argv;
$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);
$mail->isSMTP();
$mail->Host = $host;
$mail->Port = (int)$port;
$mail->SMTPAutoTLS = false;
if ($tls == "True") {
	$mail->SMTPSecure = "tls";
	$mail->SMTPOptions = ["ssl" => ["verify_peer" => false,
	    "verify_peer_name" => false, "allow_self_signed" => true]];
}
$mail->Helo = $mail->Hostname = $helo;
if ($patience) {
	$mail->Timeout = (int)$patience;
	$mail->getSMTPInstance()->Timelimit = (int)$patience;
}
$mail->CharSet = "utf-8";
$mail->Encoding = "8bit";
$mail->MessageDate = "Sun, 22 Nov 2026 10:00:00 +0000";
$mail->MessageID = "<$subject@b.example>";
$mail->setFrom("a@b.example", "", false);
$mail->Sender = $sender;
foreach (array_slice($argv, 8) as $one)
	$mail->addAddress($one);
$mail->Subject = $subject;
$mail->Body = stream_get_contents(STDIN);
try {
	$mail->send();
	echo $mail->getSMTPInstance()->getLastReply();
} catch (Exception $error) {
	echo $error->getMessage();
	exit(1);
}
"""


class Phpmailer(Client):
    unpacked = "phpmailer"
    cannot = ("null",)  # an empty Sender means From

    def stdin(self, mail):
        return mail.body

    def words(self, mail, sender, to, path):
        return ["/usr/bin/php8.2", "-d", "extension=ctype", "-d",
                "display_startup_errors=0", "-r", PHPMAILER,
                "--", self.target, PORT, self.patience_s, self.tls, HELO,
                mail.name,
                sender or "a@b.example", *to]


class Msmtp(Client):
    unpacked = "msmtp"

    def words(self, mail, sender, to, path):
        words = ["/usr/bin/msmtp", f"--host={self.target}", f"--port={PORT}",
                 f"--from={sender}", f"--domain={HELO}", "--auth=off",
                 *(["--tls=on", "--tls-certcheck=off"] if self.tls else
                   ["--tls=off"])]
        if self.patience_s:
            words.append(f"--timeout={self.patience_s}")
        return [*words, "--", *to]


class Ssmtp(Client):
    unpacked = "ssmtp"

    def configure(self):
        self.write("etc/ssmtp/ssmtp.conf",
                   f"mailhub={self.target}:{PORT}\nhostname={HELO}\n"
                   "FromLineOverride=YES\nroot=a@b.example\n" +
                   ("UseTLS=YES\nUseSTARTTLS=YES\n" if self.tls else ""))

    def words(self, mail, sender, to, path):
        return ["/usr/sbin/ssmtp", "-f", sender or "<>", *to]


class Esmtp(Client):
    unpacked = "esmtp"
    speaks_tls = False  # not with a certificate that nobody signed

    def configure(self):
        self.write("etc/esmtprc", f"hostname = {self.target}:{PORT}\n"
                   f"starttls = {'required' if self.tls else 'disabled'}\n")

    def words(self, mail, sender, to, path):
        return ["/usr/bin/esmtp", "-C", "/etc/esmtprc", "-f", sender, *to]


class Snail(Client):
    unpacked = "s-nail"
    cannot = ("null",)  # its sender must be an address

    def stdin(self, mail):
        return mail.body

    def words(self, mail, sender, to, path):
        sets = ["v15-compat", f"mta=smtp://{self.target}:{PORT}",
                "smtp-auth=none", f"hostname={HELO}", "sendwait",
                "ttycharset=utf-8", "sendcharsets=utf-8", "mime-encoding=8b",
                "nosave", "stealthmua"]
        if self.tls:
            sets += ["smtp-use-starttls", "tls-verify=ignore"]
        if self.patience_s:
            sets.append(f"socket-connect-timeout={self.patience_s}")
        return ["/usr/bin/s-nail", "-:/", "-#", "-s", mail.name, "-r",
                sender or "a@b.example",
                *(word for one in sets for word in ("-S", one)), *to]


class QueueClient(Client):
    """A program with a queue: it is done when that is empty."""

    queue = None
    reuses = True

    def queued(self):
        return sum(1 for path in (self.root / self.queue).rglob("*")
                   if path.is_file() and path.name != "flush")


class Dma(QueueClient):
    unpacked, queue = "dma", "var/spool/dma"
    cannot = ("null",)  # only its own bounces have no sender
    # It repeats in its bounces what it has read so far of a reply, each time
    # that a piece of it arrives.
    garbles = True

    def configure(self):
        self.write("etc/dma/dma.conf", f"SMARTHOST {self.target}\n"
                   f"PORT {PORT}\nMAILNAME {HELO}\n" +
                   ("SECURETRANSFER\nSTARTTLS\n" if self.tls else ""))
        self.owned(self.queue, 0, 8, 0o2775)

    def words(self, mail, sender, to, path):
        return ["/usr/sbin/dma", "-i", "-f", sender, *to]


class Nullmailer(QueueClient):
    # One mail after the other: the slowest of them all.
    unpacked, queue = "nullmailer", "var/spool/nullmailer/queue"

    def configure(self):
        spool = "var/spool/nullmailer"
        for part in ("", "/queue", "/tmp", "/failed"):
            self.owned(spool + part, 8, 8, 0o700)
        trigger = self.root / spool / "trigger"
        trigger.unlink(missing_ok=True)
        os.mkfifo(trigger, 0o622)
        os.chown(trigger, 8, 8)
        self.write("etc/mailname", HELO + "\n")
        self.write("etc/nullmailer/remotes",
                   f"{self.target} smtp --port={PORT}" +
                   (" --starttls --insecure\n" if self.tls else "\n"))
        self.daemon = None

    def start(self):
        with open(self.where / "send.log", "wb") as out:
            self.daemon = subprocess.Popen(
                [*inside(self.space), "chroot", "--userspec=8:8",
                 self.root, "/usr/sbin/nullmailer-send"], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return self

    def stop(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()
            self.daemon = None

    def words(self, mail, sender, to, path):
        return ["/usr/bin/nullmailer-inject", "-a", "-f", sender or "<>",
                *to]


CLIENTS = {**SENDERS, "nullmailer": Nullmailer, "ssmtp": Ssmtp,
           "esmtp": Esmtp, "dma": Dma, "msmtp": Msmtp, "s-nail": Snail,
           "swaks": Swaks, "curl": Curl, "smtplib": Smtplib,
           "nodemailer": Nodemailer, "PHPMailer": Phpmailer,
           "Net::SMTP": NetSmtp}
