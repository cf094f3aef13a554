"""A run that is killed at any call that changes a file can be brought to the end that it would have had.

    uv run pytest tests/test_kills.py --every-call -s -n 0

kills one at each of them, and says how many there are; without --every-call it is at six, chosen by what they do.
"""

from collections import Counter

import pytest
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from conftest import PROJECT, same_run
from lenet.dashboard.events import read_events
from lenet.runs.directory import RunDirectory

pytestmark = pytest.mark.real_data

RUN = ["model.conv_channels=[2,3]", "model.fc_sizes=[12]", "model.dropout=0.2", "trainer.max_epochs=2", "threads=1",
       "trainer.limit_train_batches=4", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1",
       "trainer.accelerator=cpu", "data.batch_size=32"]  # fmt: skip

# What a run is about to do when it is killed, as killed_at.py has it.
MOMENTS = [
    "1 os.rename .config.yaml.tmp",  # nothing says yet that it has begun
    "1 os.rename .result.json.tmp",
    "1 os.rename .best.ckpt.tmp",  # the first epoch is in metrics.csv, and in no checkpoint
    "2 os.rename .last.ckpt.tmp",  # the last
    "2 os.rename .last.ckpt.tmp, 1 open events",  # the first that it shows of its result
    "2 os.rename .result.json.tmp",
]


def shown(run: RunDirectory) -> Counter[tuple[str, int]]:
    """What TensorBoard has of a run, in one file: every tag at every step, and how often."""
    (file,) = run.event_files
    return Counter((value.tag, event.step) for event in read_events([file]) for value in event.summary.value)


def ends(run: RunDirectory) -> list[int]:
    """The status of each end that HPARAMS has of a run."""
    found = []
    for event in read_events(run.event_files):
        for value in event.summary.value:
            content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            if value.metadata.plugin_data.plugin_name == "hparams" and content.HasField("session_end_info"):
                found.append(content.session_end_info.status)
    return found


def test_a_run_that_is_killed_at_any_change_of_a_file_ends_as_one_that_never_was(
    start, in_empty_folder, real_root, request
) -> None:
    trace, script = in_empty_folder / "trace.txt", PROJECT / "tests/killed_at.py"
    given = [*RUN, f"data.root={real_root}"]

    def killed_before(moment: str, place: str) -> tuple[int, str]:
        return start(moment, place, str(trace), *given, f"hydra.run.dir={place}", script=script).wait()

    code, said = killed_before("", "whole/run")
    assert code == 0, said
    whole = RunDirectory(in_empty_folder / "whole/run")
    calls = trace.read_text().splitlines()
    every = request.config.getoption("--every-call")
    chosen = [f"{calls[:number].count(call)} {call}" for number, call in enumerate(calls, 1)] if every else MOMENTS
    missed = []
    for number, moment in enumerate(chosen):
        place = f"{number}/run"
        about = f"killed before {moment}"
        code, said = killed_before(moment, place)
        run = RunDirectory(in_empty_folder / place)
        if every and code == 0 and moment.endswith(" open events"):
            missed.append(moment)  # TensorBoard's thread had less to do this time
        else:
            assert code == -9, f"{about}: {said}"
        if (run.read_result() or {}).get("status") != "completed":
            again = [f"resume={place}"] if (run.path / "config.yaml").exists() else [*given, f"hydra.run.dir={place}"]
            code, said = start(*again).wait()
            assert code == 0, f"{about}: {said}"
        assert (run.read_result() or {})["status"] == "completed", about
        same_run(run, whole)
        assert shown(run) == shown(whole), about
        assert ends(run) == [STATUS_SUCCESS], about
        assert not list(run.path.rglob(".*.tmp")), about
        assert [folder.name for folder in run.path.parent.iterdir()] == ["run"], about
    print(f"\n{len(calls)} calls, {len(chosen) - len(missed)} kills; not come to: {', '.join(missed) or 'none'}")
