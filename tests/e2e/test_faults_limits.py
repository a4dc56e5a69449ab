"""Everything that is bounded is used up, under load: delay, and a 421 where
sessions are gone, for those of the worst class alone."""
import signal

from faults_rig import FaultLab, open_fds, wait_until

GOOD = "complete,fin,pass+hold+teaser+late,well"


def test_slots(tmp_path):
    """More sessions a second than MTA connections for them: they wait."""
    slots = 40
    with FaultLab(tmp_path, slots=slots) as lab:
        lab.start_crowd()
        good = lab.start_load(GOOD, rate=460)
        slow = lab.start_load("complete,fin,slow+drip,well", rate=40)
        lab.finish(good, slow)
        used = max(lab.watch.values("tarry_mta_connections_open"))
        waited = max(lab.watch.values("tarry_mta_connections_waiting"))
        did = lab.check()
    assert all(row.told for row in good.rows + slow.rows)
    # The MTA hears of an end a moment after we had it.
    assert used <= slots and did["most"] <= slots * 1.5
    assert waited > 20  # a fast machine leaves fewer of them waiting
    print(f"{used:.0f} of {slots} were used, {waited:.0f} sessions waited")


def test_descriptors_run_short(tmp_path):
    """max_sessions = auto: 1,600 of these 2,241 descriptors. The crowd is 88 %
    of them, the load comes on top: at 90 % those nearest to their greeting
    get it early. Nobody is refused, and descriptors are left."""
    with FaultLab(tmp_path, sessions="auto", slots=300,
                  wrap=("prlimit", "--nofile=2241:2241")) as lab:
        crowd = lab.start_crowd(1408)
        load = lab.start_load(GOOD)
        fds = []
        while not load.is_over():
            fds.append(open_fds(lab.tarryd.pid))
            lab.watch.ends.wait(0.02)
        lab.finish(load)
        most = max(lab.watch.values("tarry_connections_open"))
        lab.check()
    early = [row for row in crowd.rows if row.ms < 4500]
    assert 1408 <= most <= 1600
    assert all(row.told for row in load.rows + crowd.rows)
    assert early
    assert max(fds) < 2241
    print(f"at most {most:.0f} sessions of 1600, {len(early)} of the crowd "
          f"were let go early, {max(fds)} descriptors; the load waited "
          f"{max(row.ms for row in load.rows)} ms at most")


def test_sessions_are_gone(tmp_path):
    """With no MTA to end them: then the worst class gives way, by 421."""
    with FaultLab(tmp_path, sessions=2000) as lab:
        crowd = lab.start_crowd(1700)
        load = lab.start_load(GOOD)
        lab.wait_dials(100)
        lab.sink.process.send_signal(signal.SIGUSR1)
        wait_until(load.has_begun, "all of the load to be there")
        most = max(lab.watch.values("tarry_connections_open"))
        lab.sink.process.send_signal(signal.SIGHUP)
        lab.finish(load)
        lab.check(may_421=lambda row: row.cls == "crowd")
    gave_way = [row for row in crowd.rows if row.said == "421"]
    assert all(row.told for row in load.rows)
    # Who was told 421 and has not hung up yet is not served any more.
    assert 1950 < most <= 2000 + 2000 / 20
    assert len(gave_way) > 100
    print(f"at most {most:.0f} sessions of 2000, {len(gave_way)} gave way")


def test_buffers(tmp_path):
    """Clients that spoke before they were asked, more than are kept."""
    crowd_size = 1500  # 1,024 of them have a buffer
    with FaultLab(tmp_path) as lab:
        crowd = lab.start_crowd(crowd_size, "early,fin,crowd,well")
        load = lab.start_load(GOOD, rate=400)
        early = lab.start_load("early+pipeline,fin,hold,well", rate=100)
        lab.finish(load, early)
        talkers = lab.metric("tarry_early_talkers_total")
        lab.check()
    assert all(row.told for row in load.rows + early.rows + crowd.rows)
    assert talkers > 1024
