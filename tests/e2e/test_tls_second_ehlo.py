"""TLS that ends in tarryd, before an MTA that hears EHLO only once."""
import signal

from mta import Opensmtpd, mta, proxy_for  # noqa: F401
from test_reload import place  # noqa: F401
from test_tls import QUICK, ends_tls, own  # noqa: F401


def test_mta_that_hears_ehlo_once(mta, ends_tls, tmp_path):
    """It would refuse the one behind the handshake, and the mail: so
    STARTTLS is its own affair, the mail goes on, and we say why."""
    behind = mta(Opensmtpd).start()
    tarryd = ends_tls(behind.port, behind.address,
                      mta__client_address="none",
                      mta__open_relay_checked="yes")
    with tarryd.connect() as client:
        client.reply()
        assert "STARTTLS" not in client.ask("EHLO c.example")
        for text, code in (("MAIL FROM:<a@b.example>", "250"),
                           ("RCPT TO:<c@d.example>", "250"),
                           ("DATA", "354"), ("Subject: x\r\n\r\nx\r\n.", "250"),
                           ("QUIT", "221")):
            assert client.ask(text).startswith(code), text
    assert len(behind.wait_mail(1)) == 1
    assert tarryd.wait_log("refuses a second EHLO")


def test_such_an_mta_is_found_out_by_a_reload(mta, place, running):
    behind = mta(Opensmtpd).start()
    tarryd = own(place, running, behind.port, tls__mode="pass",
                 mta__address=f"{behind.address}:{behind.port}",
                 mta__client_address="none", mta__open_relay_checked="yes",
                 **QUICK)
    assert "second EHLO" not in tarryd.log
    path = place / "tarry.ini"
    path.write_text(path.read_text().replace("mode = pass",
                                             "mode = terminate"))
    tarryd.send_signal(signal.SIGHUP)
    assert tarryd.wait_log("refuses a second EHLO")
