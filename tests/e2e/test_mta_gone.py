"""An MTA that goes away behind a good start: who is told, and how it ends."""
from conftest import BUILD, Program, wait_until


def test_readiness_follows_the_mta(tmp_path, running, start_sink,
                                   start_tarryd):
    sink = start_sink()
    tarryd = start_tarryd(sink.port, class_new__greet="0s",
                          class_new__teaser="no").wait_ready()
    assert tarryd.metric("tarry_mta_up") == 1
    sink.stop()
    with tarryd.connect():
        wait_until(lambda: tarryd.get("/readyz")[0] == 503, "503")
    assert "the last dials failed" in tarryd.get("/readyz")[1]
    assert tarryd.metric("tarry_mta_up") == 0
    tarryd.wait_log("the MTA cannot be reached: 3 dials in a row")

    # Nobody connects any more: the test session must find it out.
    again = Program(tmp_path / "again.log",
                    [BUILD / "tarry-sink", "-l", f"127.0.0.1:{sink.port}",
                     "-d", sink.mail, "--proxy", "v2"])
    running.append(again)
    wait_until(lambda: tarryd.get("/readyz")[0] == 200, "200", 60)
    assert tarryd.metric("tarry_mta_up") == 1
    tarryd.wait_log("the MTA can be reached again")


def test_a_client_waits_for_its_return(tmp_path, running, start_sink,
                                       start_tarryd):
    sink = start_sink()
    tarryd = start_tarryd(sink.port, class_new__greet="0s",
                          class_new__teaser="no").wait_ready()
    sink.stop()
    with tarryd.connect() as client:
        tarryd.wait_log("the MTA cannot be reached")
        again = Program(tmp_path / "again.log",
                        [BUILD / "tarry-sink", "-l",
                         f"127.0.0.1:{sink.port}", "-d", sink.mail,
                         "--proxy", "v2"])
        running.append(again)
        assert client.reply().startswith("220 ")
