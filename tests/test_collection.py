"""The tests are the same everywhere: on any day, under any hash seed, in any time zone and language."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, HEAVY, PROJECT, zygote

# Collects the tests with a clock that is ahead by some seconds.
COLLECT = """
import sys, time
import pytest

ahead = float(sys.argv[1])
true_time, true_time_ns = time.time, time.time_ns
time.time = lambda: true_time() + ahead
time.time_ns = lambda: true_time_ns() + int(ahead * 10**9)
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir", sys.argv[2], sys.argv[2]]))
"""


def test_two_workers_collect_the_same_tests_in_the_same_order(tmp_path: Path) -> None:
    """Or pytest-xdist breaks off: "Different tests were collected"."""
    collect = tmp_path / "collect.py"
    collect.write_text(COLLECT)
    elsewhere = {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    other = subprocess.Popen(
        [sys.executable, str(collect), "98765.4", str(PROJECT)],
        cwd=PROJECT,
        env=os.environ | elsewhere,
        stdout=subprocess.PIPE,
        text=True,
    )
    code, said = zygote(*HEAVY).start(collect, ["0", str(PROJECT)], PROJECT).wait()
    theirs, _ = other.communicate(timeout=HANG)
    assert (code, other.returncode) == (0, 0), said + theirs
    ours = [line for line in said.splitlines() if "::" in line]
    assert len(ours) > 600
    assert [line for line in theirs.splitlines() if "::" in line] == ours


@pytest.mark.xdist_group("one")
def test_tests_of_a_group_have_one_worker(request: pytest.FixtureRequest) -> None:
    """pytest-xdist knows a group by the end of a test's id. Where that is lost each worker makes what is dear."""
    assert request.node.nodeid.endswith("@one") == hasattr(request.config, "workerinput")
