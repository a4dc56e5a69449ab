"""Debian's Prometheus, scraping a tarryd."""
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import DEADLINE, Program, of_prometheus, wait_until

CONFIG = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
- job_name: tarry
  static_configs:
  - targets: [{targets}]
"""


class Prometheus(Program):
    def wait_ready(self):
        found = self.wait_log(r'msg="Listening on" address=\S*:(\d+)')
        self.port = int(found[1])
        wait_until(lambda: self.status("/-/ready") == 200, "/-/ready")
        return self

    def open(self, path, **words):
        query = f"?{urllib.parse.urlencode(words)}" if words else ""
        return urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}{path}{query}", timeout=DEADLINE)

    def status(self, path):
        try:
            with self.open(path) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def api(self, what, **words):
        """The data of an answer; an error fails the test with its text."""
        try:
            with self.open(f"/api/v1/{what}", **words) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{what} {words}: {error.read().decode()}")

    def query(self, expression):
        """The result of an expression now: a list of samples."""
        return self.api("query", query=expression)["result"]

    def value(self, expression):
        """The number of a single sample; None without one."""
        got = self.query(expression)
        assert len(got) < 2, f"{expression}: {got}"
        return float(got[0]["value"][1]) if got else None


@pytest.fixture
def start_prometheus(tmp_path, running):
    """start_prometheus(tarryd, .., rules=()) -> a Prometheus that has scraped
    them all."""
    program = of_prometheus("prometheus")

    def start(*tarryds, rules=()):
        where = tmp_path / f"prometheus{len(running)}"
        where.mkdir()
        config = where / "prometheus.yml"
        targets = [f"'127.0.0.1:{one.http_port}'" for one in tarryds]
        config.write_text(CONFIG.format(targets=",".join(targets),
                                        rules=",".join(map(str, rules))))
        prometheus = Prometheus(
            where / "log",
            [program, f"--config.file={config}",
             f"--storage.tsdb.path={where}/data", "--log.level=info",
             "--web.listen-address=127.0.0.1:0"])
        running.append(prometheus)
        prometheus.wait_ready()
        wait_until(lambda: prometheus.value("sum(up)") == len(tarryds),
                   "a scrape")
        return prometheus
    return start
