"""A certificate of its own for an MTA that offers STARTTLS."""
import subprocess


def make(where, name="mta.example"):
    """Key and certificate in one PEM file; returns its text."""
    key, certificate = where / "tls.key", where / "tls.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
         f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout",
         key, "-out", certificate], check=True, capture_output=True)
    return key.read_text() + certificate.read_text()


def postfix(mta, where):
    """The MTA, not yet started, offers STARTTLS."""
    mta.write("etc/tls.pem", make(where))
    mta.main += ("smtpd_tls_security_level = may\n"
                 "smtpd_tls_chain_files = /etc/tls.pem\n"
                 "smtpd_tls_received_header = yes\n")
    mta.set_line(mta.line)
    return mta


EXIM = """\
tls_advertise_hosts = *
tls_certificate = /etc/tls.pem
tls_privatekey = /etc/tls.pem
"""


def exim(mta, where):
    mta.write("etc/tls.pem", make(where))
    mta.set_main(EXIM)
    return mta
