"""`design: search` as a user runs it: what is proposed, what is given up, and what is left after any kill."""

import json
import math
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from conftest import PROJECT, Started, script, until
from lenet.cli.searching import _ask_machine
from lenet.config import Config
from lenet.errors import BadInput, JobsFailed, Stopped
from lenet.runs.directory import RunDirectory
from lenet.search import report
from lenet.search.confirm import FOLDER, Confirmed, confirmed, sweep_of, winner
from lenet.search.journal import write
from lenet.search.proposals import REDUCTION, Past, frozen, proposals, should_give_up
from lenet.search.runner import run
from lenet.search.space import Branch, Choice, Number, Parameter, Setting, Space
from lenet.search.spec import Spec
from lenet.search.trials import Search
from lenet.sweeps.design import SEARCH, Job, Sweep
from lenet.sweeps.directory import state
from lenet.system import machine

SHORT = ["trainer.limit_train_batches=4", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "threads=1",
         "trainer.max_epochs=2", "dashboard.enabled=false"]  # fmt: skip
SEARCHED = ["-m", "hydra.sweeper.design=search", "name=found", "optimizer.lr=tag(log, interval(0.01,1))",
            "model.pool=avg,max", *SHORT]  # fmt: skip

LR = Parameter("lr", Number(0.01, 1, log=True), "optimizer.lr")
POOL = Parameter("pool", Choice(("avg", "max")), "model.pool")
WIDTH = Parameter("width", Number(4, 16, step=2, whole=True), "width")
BLOCKS = Parameter(
    "blocks",
    Choice(("two", "three")),
    branches={
        "two": Branch(("model.padding=[2,0]",), (Parameter("kernel_size", Choice(("3", "5")), "model.kernel_size"),)),
        "three": Branch((), (), (("model.conv_channels", ("6", WIDTH)),)),
    },
)


# The space


numbers = st.one_of(
    st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.booleans())
    .filter(lambda ends: ends[0] < ends[1])
    .map(lambda ends: Number(ends[0], ends[1], log=ends[2])),
    st.tuples(st.integers(-50, 50), st.integers(0, 50), st.integers(1, 7)).map(
        lambda one: Number(one[0], one[0] + one[1] * one[2], step=one[2], whole=True)
    ),
)


@given(numbers, st.floats(0, 1))
def test_a_number_that_is_drawn_is_written_so_that_it_lies_within_and_is_read_as_the_same(domain, share) -> None:
    drawn = domain.low + share * (domain.high - domain.low)
    label = domain.label(drawn)
    assert domain.low <= domain.value(label) <= domain.high
    assert domain.label(domain.value(label)) == label


@given(numbers, st.floats(0, 1))
def test_no_number_has_a_longer_label_than_the_longest(domain, share) -> None:
    drawn = domain.low + share * (domain.high - domain.low)
    assert len(domain.label(drawn)) <= len(domain.longest)


def test_the_longest_path_of_a_trial_is_known_before_the_first_is_begun(tmp_path: Path) -> None:
    space = Space((LR, POOL, BLOCKS))
    assert space.longest_words == "lr=0.0123,pool=avg,blocks=two,kernel_size=3"
    settings = [space.setting({"lr": "0.0123"} | one.labels) for one in Space((POOL, BLOCKS)).settings()]
    search = Search(tmp_path, space, Spec(trials=1200), dict.fromkeys(space.domains(), "-"))
    sweep = Sweep(SEARCH, {}, {})
    sweep.jobs.extend([Job("", "", {}, 0, [], 1, 1, 1)] * 1199)
    for setting in settings:
        search._listed(sweep, setting, Config())
        assert len(sweep.jobs.pop().name) <= len(search.longest_directory.name)
    assert search.longest_directory.name.startswith("1199,")


@pytest.mark.parametrize(("space", "folder"), [(Space((LR, POOL, BLOCKS)), ""), (Space((POOL,)), f"{FOLDER}/")])
def test_a_search_whose_paths_would_be_too_long_is_refused_before_it_begins(
    tmp_path, monkeypatch, space, folder
) -> None:
    monkeypatch.setattr("lenet.data.download.look", lambda *_: None)
    search = Search(tmp_path / "runs", space, Spec(), {})
    launcher = OmegaConf.create({"_target_": "somewhere.BasicLauncher"})
    _ask_machine(launcher, Config(), search)
    monkeypatch.setattr(machine, "LONGEST_PATH", len(str(tmp_path)) + 120)
    with pytest.raises(BadInput, match=rf"runs/{folder}(019,lr|trial_019,split).*; give a shorter name="):
        _ask_machine(launcher, Config(), search)
    monkeypatch.setattr(machine, "LONGEST_PATH", len(str(tmp_path)) + 250)
    _ask_machine(launcher, Config(), search)


def test_a_space_that_can_be_counted_has_each_setting_once_and_knows_it_by_its_labels() -> None:
    space = Space((POOL, BLOCKS))
    settings = list(space.settings())
    assert len({setting.overrides for setting in settings}) == len(settings) == 2 * (2 + 7)
    for setting in settings:
        assert space.setting(setting.labels) == setting
    three = next(setting for setting in settings if setting.labels["blocks"] == "three")
    assert "model.conv_channels=[6,4]" in three.overrides
    assert "kernel_size" not in three.labels  # what the other label brings


# What comes next


def searched(spec: Spec, space: Space, trials: int, known: Sequence[Past] = ()) -> list[Past]:
    """A search of a function that is best at lr=0.1 with max."""
    past = list(known)
    for number in range(len(known), trials):
        setting = next(proposals(space, spec, past, number))
        value = (setting.labels["pool"] == "max") - abs(math.log10(float(setting.labels["lr"])) + 1)
        past.append(Past(setting.labels, "completed", (value,), {1: value}))
    return past


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsgaii"])
def test_a_search_that_goes_on_proposes_what_one_that_never_stopped_does(sampler: str) -> None:
    spec, space = Spec(sampler=sampler, seed=3), Space((LR, POOL))
    whole = searched(spec, space, 14)
    assert searched(spec, space, 14, whole[:9]) == whole
    assert searched(Spec(sampler=sampler, seed=4), space, 14) != whole


def test_cmaes_remembers_across_a_restart_without_a_pickle() -> None:
    spec = Spec(sampler="cmaes")
    space = Space((LR, Parameter("dropout", Number(0.0, 0.9), "model.dropout")))

    def value(past: Past) -> float:
        return -abs(math.log10(float(past.labels["lr"])) + 1) - float(past.labels["dropout"])

    past: list[Past] = []
    for number in range(30):
        labels = next(proposals(space, spec, past, number)).labels
        past.append(Past(labels, "completed", (value(Past(labels, "running")),)))
    assert next(proposals(space, spec, past[:20], 20)).labels == past[20].labels
    first, last = (max(map(value, part)) for part in (past[:10], past[20:]))
    assert last > first


def test_tpe_finds_what_is_good_sooner_than_chance() -> None:
    space = Space((LR, POOL))
    best = {
        sampler: [max(past.values[0] for past in searched(Spec(sampler=sampler, seed=seed), space, 30) if past.values)
                  for seed in range(5)]
        for sampler in ("tpe", "random")
    }  # fmt: skip
    assert sum(best["tpe"]) > sum(best["random"])


def test_brute_force_proposes_each_setting_of_a_conditional_space_in_an_order_of_its_seed() -> None:
    space = Space((POOL, BLOCKS))
    orders = [list(proposals(space, Spec(sampler="brute", seed=seed), [], 0)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert {one.overrides for one in orders[2]} == {one.overrides for one in space.settings()}


# What is given up


def curves(count: int, epochs: int) -> list[list[float]]:
    chance = random.Random(0)
    return [[chance.random() * (epoch + 1) / epochs for epoch in range(epochs)] for _ in range(count)]


def test_successive_halving_gives_up_what_optuna_does_that_keeps_its_own_notes() -> None:
    """Ours are made anew of the values at every look."""
    space, spec, epochs = Space((POOL,)), Spec(pruner="halving", grace=1), 9
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION),
    )
    pasts: list[Past] = []
    for number, curve in enumerate(curves(40, epochs)):
        trial, own, ours, theirs = study.ask(), {}, None, None
        for epoch, value in enumerate(curve, 1):
            own[epoch] = value
            trial.report(value, epoch)
            theirs = trial.should_prune()
            ours = should_give_up(
                space, spec, pasts, Past({"pool": "avg"}, "running", epochs=dict(own)), number, epochs
            )
            assert ours == theirs, (number, epoch)
            if theirs:
                break
        study.tell(trial, None if theirs else curve[-1], state=optuna.trial.TrialState.PRUNED if theirs else None)
        pasts.append(Past({"pool": "avg"}, "pruned" if theirs else "completed", None if theirs else (curve[-1],), own))
    became = {past.state for past in pasts}
    assert became == {"pruned", "completed"}


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_what_leads_is_never_given_up_and_what_is_last_is_in_the_end(pruner: str) -> None:
    space, spec, epochs = Space((POOL,)), Spec(pruner=pruner, grace=1), 9
    labels = {"pool": "avg"}
    pasts = [Past(labels, "completed", (curve[-1],), dict(enumerate(curve, 1))) for curve in curves(30, epochs)]

    def is_given_up(value: float, number: int) -> bool:
        owns = [Past(labels, "running", epochs=dict.fromkeys(range(1, upto), value)) for upto in range(2, epochs)]
        return any(should_give_up(space, spec, pasts, own, number, epochs) for own in owns)

    numbers = range(30, 42)
    assert not any(is_given_up(2.0, number) for number in numbers)
    given_up = [is_given_up(-1.0, number) for number in numbers]
    # One bracket of Hyperband lets every run go on to its end.
    assert any(given_up) if pruner == "hyperband" else all(given_up)


# What is confirmed


def test_a_setting_wins_by_what_was_measured_anew_and_a_tie_is_the_baselines() -> None:
    base = Confirmed("baseline", {(1, "0"): 0.80, (1, "1"): 0.82, (2, "0"): 0.81, (2, "1"): 0.79})
    same = Confirmed("trial 003", dict(base.values))
    better = Confirmed("trial 007", {key: value + 0.02 for key, value in base.values.items()})
    assert winner({one.setting: one for one in (base, same)}, "maximize") == "baseline"
    assert winner({one.setting: one for one in (base, same, better)}, "maximize") == "trial 007"
    assert winner({one.setting: one for one in (base, better)}, "minimize") == "baseline"
    low, high = better.interval(base)
    assert low == pytest.approx(0.02)  # the same in every pair
    assert high == pytest.approx(0.02)


# On disk


def made(overrides: Sequence[str]) -> Config:
    if "model.pool=max" in overrides:
        raise BadInput("model.pool=max: cannot be here")
    return Config()


def test_what_cannot_be_is_never_listed_and_a_space_of_it_alone_is_refused(tmp_path: Path) -> None:
    only = Space((POOL,))
    search = Search(tmp_path, only, Spec(), {"pool": "avg"})
    search.first(made)
    search.begin()
    taken = search.take(made)
    assert taken is not None
    assert taken[1].overrides == ["model.pool=avg"]
    assert search.take(made) is None  # it has been tried, and the other one cannot be
    none = Search(
        tmp_path / "none", Space((Parameter("pool", Choice(("max",)), "model.pool"),)), Spec(), {"pool": "avg"}
    )
    with pytest.raises(BadInput, match="widen the space"):
        none.first(made)
    assert not (tmp_path / "none").exists()


def test_a_net_with_more_parameters_than_asked_for_is_never_started(tmp_path: Path) -> None:
    search = Search(tmp_path, Space((LR,)), Spec(max_parameters=1000), {"lr": "0.9"})
    with pytest.raises(BadInput, match=r"max_parameters=1000: a net of the space has 61,706 .*widen"):
        search.first(lambda _: Config())


def test_a_trial_that_loses_its_process_thrice_has_failed_and_is_tried_again_by_a_new_command(tmp_path: Path) -> None:
    search = Search(tmp_path, Space((LR,)), Spec(trials=1), {"lr": "0.9"})
    search.begin()
    for _ in range(3):
        taken = search.take(lambda _: Config())
        assert taken is not None
        directory = taken[2]
        directory.write_config(Config())
        directory.unlock()  # as when its process is killed
    assert search.take(lambda _: Config()) is None
    assert state(directory) == "failed"
    assert "lost its process 3 times" in json.dumps(directory.read_result())
    again = Search(tmp_path, Space((LR,)), Spec(trials=1), {"lr": "0.9"})
    again.begin()
    again.retry_failed()
    assert again.take(lambda _: Config()) is not None


def test_another_search_in_the_directory_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    Search(tmp_path, Space((LR, POOL)), Spec(), {"lr": "0.9", "pool": "avg"}).begin()
    other = Search(tmp_path, Space((LR, BLOCKS)), Spec(), {"lr": "0.9", "blocks": "two"})
    with pytest.raises(BadInput, match=r"holds a search with pool=choice\(avg,max\), and this one has -; give name="):
        other.check()
    by_another = Search(tmp_path, Space((LR, POOL)), Spec(sampler="random"), {"lr": "0.9", "pool": "avg"})
    with pytest.raises(BadInput, match=r"hydra\.sweeper\.sampler=tpe, and this one has random"):
        by_another.check()
    longer = Search(tmp_path, Space((LR, POOL)), Spec(trials=50), {"lr": "0.9", "pool": "avg"})
    longer.check()  # more trials make it no other search
    Sweep("grid", {"pool": ["avg"]}, {"pool": "avg"}).write(tmp_path)
    with pytest.raises(BadInput, match=r"holds a sweep over pool \(grid\), and no search"):
        longer.check()


def test_another_config_in_the_directory_is_refused_as_its_trials_cannot_be_compared(tmp_path: Path) -> None:
    Search(tmp_path, Space((LR,)), Spec(), {"lr": "0.9"}, {"trainer.max_epochs": "1"}).begin()
    with pytest.raises(BadInput, match=r"holds a search with trainer\.max_epochs=1, and this one has 2; give name="):
        Search(tmp_path, Space((LR,)), Spec(), {"lr": "0.9"}, {"trainer.max_epochs": "2"}).check()


def ended(search: Search, *values: tuple[float, ...], objectives: Sequence[str] = ("val/acc",)) -> None:
    """Let as many trials of a search have ended with these figures."""
    for figures in values:
        taken = search.take(lambda _: Config())
        assert taken is not None
        directory = taken[2]
        metrics = dict(zip(objectives, figures, strict=False))
        directory.write_metrics([{"epoch": 1, **metrics}])
        directory.write_result({"status": "completed", "metrics": metrics, "epochs": 1})
        directory.unlock()


def test_an_objective_that_is_no_number_ends_no_search(tmp_path: Path) -> None:
    search = Search(
        tmp_path, Space((LR,)), Spec(trials=3, objective=("val/loss",), direction=("minimize",)), {"lr": "0.9"}
    )
    search.begin()
    ended(search, (0.5,), (math.nan,), objectives=("val/loss",))
    assert [past.state for past in search.past(search.read())] == ["completed", "diverged"]
    write(search)
    assert search.take(lambda _: Config()) is not None


def test_several_objectives_bear_a_trial_that_has_diverged() -> None:
    spec = Spec(objective=("val/acc", "parameters"), direction=("maximize", "minimize"))
    past = [Past({"lr": f"0.{n + 10}"}, "completed", (0.5 + n / 100, 1000.0 * n)) for n in range(12)]
    past.append(Past({"lr": "0.9"}, "diverged", None, {1: 0.1}))
    assert next(proposals(Space((LR,)), spec, past, len(past))).labels


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_what_is_hopeless_is_given_up_where_not_every_epoch_is_validated(pruner: str) -> None:
    space, spec = Space((POOL,)), Spec(pruner=pruner, grace=1)
    labels = {"pool": "avg"}
    pasts = [Past(labels, "completed", (0.5 + n / 100,), dict.fromkeys((2, 4, 6, 8), 0.5 + n / 100)) for n in range(20)]
    owns = [Past(labels, "running", epochs=dict.fromkeys(range(2, upto, 2), 0.1)) for upto in (3, 5, 7)]
    assert any(should_give_up(space, spec, pasts, own, number, 8) for own in owns for number in range(20, 24))


def test_a_launcher_that_breaks_again_and_again_ends_the_search_as_failed_and_nothing_is_confirmed(
    tmp_path: Path, capsys
) -> None:
    search = Search(tmp_path / "runs/found", Space((LR,)), Spec(trials=2), {"lr": "0.9"})

    def breaks() -> dict[int, Exception]:
        raise RuntimeError("sbatch: no such partition")

    def confirms(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(JobsFailed, match="2 trials not done; the same command goes on"):
        run(search, lambda _: Config(), breaks, confirms)


def test_a_signal_while_the_report_is_written_is_heeded_once_it_is_there(tmp_path: Path, capsys, monkeypatch) -> None:
    search = Search(tmp_path / "runs/found", Space((LR,)), Spec(trials=1, confirm=0), {"lr": "0.9"})
    search.begin()
    ended(search, (0.5,))
    write = report.report

    def interrupted(directory: Path) -> str:
        signal.raise_signal(signal.SIGTERM)
        return write(directory)

    monkeypatch.setattr(report, "report", interrupted)
    with pytest.raises(Stopped):
        run(search, lambda _: Config(), dict, lambda *_: None)
    assert "report.md" in capsys.readouterr().out
    assert (tmp_path / "runs/found/report.md").exists()


def test_what_another_search_has_confirmed_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    search = Search(tmp_path, Space((LR,)), Spec(trials=1, confirm=1), {"lr": "0.9"}, {"data.name": "mnist"})
    search.begin()
    ended(search, (0.5,))
    sweep, _ = sweep_of(search, lambda _: Config())
    (tmp_path / FOLDER).mkdir()
    sweep.write(tmp_path / FOLDER)
    for job in sweep.jobs:
        directory = RunDirectory(tmp_path / FOLDER / job.name)
        directory.path.mkdir()
        directory.write_result({"status": "completed", "metrics": {"val/acc": 0.95}})
    assert confirmed(search).keys() == {"baseline", "trial 000"}
    other = json.loads((tmp_path / "sweep.json").read_text())
    other["jobs"][0]["overrides"] = ["optimizer.lr=0.77"]
    (tmp_path / "sweep.json").write_text(json.dumps(other))
    assert confirmed(search).keys() == {"baseline"}
    other["search"]["config"] = {"data.name": "fashion_mnist"}
    (tmp_path / "sweep.json").write_text(json.dumps(other))
    assert confirmed(search) == {}


def test_a_setting_of_which_a_run_is_missing_does_not_win() -> None:
    base = Confirmed("baseline", {(1, "0"): 0.80, (2, "0"): 0.81})
    lucky = Confirmed("trial 001", {(1, "0"): 0.89})
    assert winner({one.setting: one for one in (base, lucky)}, "maximize") == "baseline"


REFUSED = {
    "model.kernel_size=interval(3,7)": "model.kernel_size takes whole numbers; write range(3,8)",
    "trainer.max_time=00:01:00": "a trial runs to its end; leave it out, and give the search hydra.sweeper.timeout",
    "hydra.sweeper.objective=[]": "give one, such as val/acc",
    "+hydra.sweeper.params.net={a:{model.pool:max}}": "model.pool: set by its net and by the search's pool; leave one",
    "optimizer.lr=interval(0.1,0.1)": "an empty interval; give two numbers, the lower one first",
    "optimizer.lr=interval(1,0.1)": "the bounds are the wrong way round; write interval(0.1,1)",
    "optimizer.lr=tag(log, interval(0,1))": "has no logarithm at 0; give a lower bound above 0",
    "optimizer.lr=tag(lin, interval(0,1))": "there is no tag lin; tag(log, ...) is all that there is",
    "optimizer.lr=interval(0,inf)": "no interval; give two finite numbers",
    "model.kernel_size=range(5,5)": "an empty range",
    "seed=1,2": "seed: a search has one value of it",
    "hydra.sweeper.objective=val/f1": "choose train/loss, train/acc, val/loss, val/acc, parameters, macs",
    "hydra.sweeper.objective=test/acc": "nothing may be chosen by the test set; take val/acc",
    "hydra.sweeper.objective=parameters": "begin with what is measured, such as val/acc,parameters",
    "hydra.sweeper.direction=[maximize,minimize]": "give one for each objective, of which there are 1",
    "hydra.sweeper.sampler=tpee": "did you mean tpe? choose tpe, random",
    "hydra.sweeper.sampler=cmaes": "goes with numbers alone, and pool is a choice; take tpe",
    "hydra.sweeper.sampler=brute": "lr is an interval, whose values cannot be counted; write a range with a step",
    "hydra.sweeper.pruner=halve": "choose none, median, halving, hyperband",
    "hydra.sweeper.trials=0": "give a whole number, at least 1",
    "hydra.sweeper.seeds=3": "a search tries each setting once; give hydra.sweeper.confirm=3",
    "data.val_fraction=0": "there are no validation images; set data.val_fraction",
    "hydra.sweeper.max_parameters=100": "widen the space",
    "trainer.devices=2": "a job of a sweep uses one device",
}


def test_a_search_that_cannot_be_is_refused_in_one_line_before_anything_is_written(answers, in_empty_folder) -> None:
    before = sorted(in_empty_folder.iterdir())
    for word, answer in zip(REFUSED, answers([[*SEARCHED, "test_on=last", word] for word in REFUSED]), strict=True):
        assert answer["code"] == 2, answer
        assert REFUSED[word] in answer["said"], word
        assert answer["said"].startswith("error: ")
        assert answer["said"].count("\n") == 1
    assert sorted(in_empty_folder.iterdir()) == before


def test_every_search_of_the_project_can_be_planned(answers, in_empty_folder) -> None:
    names = sorted(file.stem for file in (PROJECT / "conf/search").glob("*.yaml"))
    for name, plan in zip(
        names, answers([[f"search={name}", "hydra.sweeper.plan=true"] for name in names]), strict=True
    ):
        assert plan["code"] == 0, plan
        assert f"0 done, in runs/search_{name}; nothing was started" in plan["said"]
        assert not plan["torch"]
    assert list(in_empty_folder.iterdir()) == []


# As it runs


def outcome(directory: Path) -> dict[str, Any]:
    """The trials of a search: their overrides, and the bytes of their metrics."""
    jobs = Sweep.read(directory).jobs
    return {job.name: (job.overrides, (directory / job.name / "metrics.csv").read_bytes()) for job in jobs}


def by_optuna(directory: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(directory / "study.log")))
    return optuna.load_study(study_name=directory.name, storage=storage)


def test_a_search_killed_again_and_again_ends_as_one_that_never_stopped(start, in_empty_folder, real_root) -> None:
    words = [*SEARCHED, f"data.root={real_root}", "hydra.sweeper.trials=4", "hydra.sweeper.confirm=0"]
    assert start(*words, "name=whole").wait()[0] == 0
    whole, directory = outcome(in_empty_folder / "runs/whole"), in_empty_folder / "runs/found"
    assert len(whole) == 4
    chance = random.Random(1)
    stamps: dict[str, int] = {}
    for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        search, rows = start(*words), _rows(directory) + chance.randrange(1, 3)
        until(lambda search=search, rows=rows: search.end or _rows(directory) >= rows, search)
        if not search.end:
            os.killpg(search.pid, signum)
        search.wait()
        for name, stamp in stamps.items():
            assert _stamp(directory, name) == stamp, "a finished trial was run again"
        done = [one for one in by_optuna(directory).trials if one.state == optuna.trial.TrialState.COMPLETE]
        stamps |= {one.user_attrs["job"]: _stamp(directory, one.user_attrs["job"]) for one in done}
    code, said = start(*words).wait()
    assert code == 0, said
    assert outcome(directory) == whole
    values = [trial.value for trial in by_optuna(directory).trials]
    assert values == [trial.value for trial in by_optuna(in_empty_folder / "runs/whole").trials]


def _stamp(directory: Path, name: str) -> int:
    return (directory / name / "result.json").stat().st_mtime_ns


def _rows(directory: Path) -> int:
    return sum(RunDirectory(path.parent).epochs for path in directory.glob("*/metrics.csv"))


def test_a_search_gives_up_confirms_the_best_on_fresh_seeds_and_tests_the_winner_alone(
    in_empty_folder, real_root
) -> None:
    words = [*SEARCHED, f"data.root={real_root}", "hydra.sweeper.trials=8", "hydra.sweeper.pruner=halving",
             "hydra.sweeper.grace=1", "hydra.sweeper.confirm=2", "hydra.sweeper.confirm_top=1", "model=modern",
             "data.split_seed=5"]  # fmt: skip
    done = script("train.py", *words, cwd=in_empty_folder)
    assert done.returncode == 0, done.stderr
    directory = in_empty_folder / "runs/found"
    sweep = Sweep.read(directory)
    results = {job.name: RunDirectory(directory / job.name).read_result() or {} for job in sweep.jobs}
    states = [result["status"] for result in results.values()]
    assert set(states) == {"completed", "pruned"}
    assert not any("test/acc" in result["metrics"] for result in results.values())
    assert [trial.state.name for trial in by_optuna(directory).trials] == [
        {"completed": "COMPLETE", "pruned": "PRUNED"}[one] for one in states
    ]
    anew = Sweep.read(directory / "confirmed")
    assert {job.seed for job in anew.jobs} == {1, 2}  # the search itself used 0
    assert {job.levels["split_seed"] for job in anew.jobs} == {"5", "6"}
    assert len(anew.jobs) == 2 * 2 * 2
    tested = json.loads((directory / "confirmed/test.json").read_text())
    assert set(tested["test/acc"]) == {job.name for job in anew.jobs if job.levels["setting"] == tested["setting"]}
    page = (directory / "report.md").read_text()
    assert "**Confirmed: " in page
    assert "given up early, which saved" in page
    assert "confirmed: " in done.stdout

    stamp = (directory / "confirmed/test.json").stat().st_mtime_ns
    again = script("train.py", *words, "hydra.sweeper.trials=9", cwd=in_empty_folder)
    assert again.returncode == 0, again.stderr
    assert "9 trials, 8 done before" in again.stdout
    assert outcome(directory).keys() > results.keys()
    if "trial 008" not in again.stdout:  # the same ones are the best: nothing is measured or looked at again
        assert (directory / "confirmed/test.json").stat().st_mtime_ns == stamp


def test_workers_in_parallel_take_each_trial_once_and_one_that_is_killed_loses_nothing(
    start, in_empty_folder, real_root
) -> None:
    words = [*SEARCHED, f"data.root={real_root}", "hydra.sweeper.trials=5", "hydra.sweeper.confirm=0",
             "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]  # fmt: skip
    search: Started = start(*words)
    directory = in_empty_folder / "runs/found"
    until(lambda: _rows(directory) >= 1, search)
    worker = next(iter(_holders(directory)), None)
    if worker:
        os.kill(worker, signal.SIGKILL)
    code, said = search.wait()
    assert code == 0, said
    jobs = Sweep.read(directory).jobs
    assert len(jobs) == 5
    assert all(state(RunDirectory(directory / job.name)) == "completed" for job in jobs)
    assert len({tuple(job.overrides) for job in jobs}) == 5


def _holders(directory: Path) -> set[int]:
    """The workers that have a trial's directory open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            files = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(file.startswith(f"{directory.resolve()}/0") for file in files):
            found.add(int(process.name))
    return found


def test_a_report_of_strangers_trials_says_what_it_can_and_runs_nothing(tmp_path: Path) -> None:
    """Domains and values that do not go together, and a journal that is none."""
    from lenet.search.report import report

    (tmp_path / "study.log").write_bytes(b"\x80\x04K\x01.")
    jobs = [Job(f"{n:03}", f"{n:03}", {"lr": label}, 0, [f"optimizer.lr={label}"], 2, 10, 10)
            for n, label in enumerate(["0.1", "zzz", "99"])]  # fmt: skip
    sweep = Sweep(SEARCH, {"lr": ["0.1", "zzz", "99"]}, {"lr": "0.1"}, jobs,
                  search={"space": {"lr": "tag(log, interval(0.01,1))"},
                          "spec": {"objective": "val/acc", "direction": "maximize"}})  # fmt: skip
    sweep.write(tmp_path)
    for job in jobs[:2]:
        RunDirectory(tmp_path / job.name).path.mkdir()
        RunDirectory(tmp_path / job.name).write_result({"status": "completed", "metrics": {"val/acc": 0.5}})
    report(tmp_path)


def test_frozen_trials_are_those_that_optuna_would_have_made() -> None:
    space = Space((LR, BLOCKS))
    setting = Setting({"lr": "0.25", "blocks": "three", "width": "6"}, ())
    trial = frozen(space, Past(setting.labels, "completed", (0.9,), {1: 0.5, 2: math.nan}))
    assert trial.params == {"lr": 0.25, "blocks": "three", "width": 6}
    assert trial.intermediate_values == {1: 0.5}
