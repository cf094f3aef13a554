"""What a config may name: a file of conf/ from somebody else, or a word of the command line, runs no code."""

import argparse
import inspect
import re
from dataclasses import is_dataclass
from pathlib import Path

import hydra._internal.hydra
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode

from conftest import PROJECT, Answer, ask
from lenet.cli import foreign, guard, usage
from lenet.config import schema
from lenet.errors import BadInput

TOUCH = "pathlib.Path.touch"

# Words of the command line, and what the answer has to name. Each would make a file if anything of it were called.
WORDS: list[tuple[list[str], str]] = [
    (["+hydra.callbacks.x._target_=" + TOUCH], f"hydra.callbacks.x._target_={TOUCH}"),
    (["+hydra.callbacks.x={_target_: joblib.load, filename: x}"], "hydra.callbacks.x._target_=joblib.load"),
    (["+hydra.callbacks.x={_target_: joblib.load, filename: x}", "--cfg", "hydra"], "hydra.callbacks.x"),
    (["+evil={_target_: joblib.load, filename: x}", "+hydra.callbacks.x=${evil}"], "hydra.callbacks.x"),
    (["hydra.launcher._target_=" + TOUCH], "joblib"),
    (["hydra.sweeper._target_=" + TOUCH, "seed=1", "--multirun"], f"hydra.sweeper._target_={TOUCH}"),
    (["hydra.sweeper._target_=${name}"], "hydra.sweeper._target_=${name}"),
    (["-m", "+hydra.sweeper.params.x={_target_: pathlib.Path.touch, a: {seed: 1}}"], "hydra.sweeper.params.x._target_"),
    (["-m", "+hydra.sweeper.params.x={a: {hydra.job_logging.root.level: 1}}"], "hydra.job_logging.root.level"),
    (["-m", "+hydra.sweeper.params.x=${oc.decode:text}"], "hydra.sweeper.params.x"),
    (["-m", "+evil={_target_: joblib.load}", "+hydra.sweeper.params.x=${evil}"], "_target_"),
    (["-m", "seed=1,2", "hydra/launcher=joblib", "hydra.launcher.n_jobs={_target_: joblib.load}"], "hydra.launcher"),
    (["-m", "seed=1,2", "hydra/launcher=joblib", "+hydra.launcher.x=1"], "hydra.launcher.x"),
    (["+hydra.job_logging.handlers.x.class=joblib.load"], "hydra.job_logging.handlers.x.class=joblib.load"),
    (["+hydra.job_logging.x='ext://this.s'"], "hydra.job_logging.x=ext://this.s"),
    (["hydra/job_logging=default", "hydra.job_logging.handlers.file.filename=.bashrc"], ".bashrc"),
    (["+evil={handlers: {}}", "hydra.job_logging=${evil}"], "hydra.job_logging=${evil}"),
    (["+evil={x: 1}", "hydra.job.env_set=${evil}"], "hydra.job.env_set"),
    (["hydra.output_subdir=/tmp/x"], "hydra.output_subdir=/tmp/x"),
    (["hydra.output_subdir=.."], "hydra.output_subdir=.."),
    (["+hydra.job.name=../x"], "hydra.job.name=../x"),
    (["+hydra.job.env_set.LD_PRELOAD=x.so"], "hydra.job.env_set.LD_PRELOAD=x.so"),
    (["hydra.searchpath=[pkg://this]"], "hydra.searchpath=pkg://this"),
    (
        ["hydra.searchpath=[pkg://this]", "hydra.searchpath=[file:///tmp]", "--cfg", "job"],
        "hydra.searchpath=pkg://this",
    ),
    (["hydra.searchpath=[file:///tmp]", "hydra.searchpath=[pkg://this]"], "hydra.searchpath=pkg://this"),
    (["--config-path=pkg://this"], "pkg://this"),
    (["--experimental-rerun", "run.pickle"], "--experimental-rerun run.pickle"),
    (["--exp=run.pickle"], "--experimental-rerun run.pickle"),
]

# A file of conf/sweep/ that a colleague has sent, and what the answer has to name.
FILES: list[tuple[str, str]] = [
    (f"callbacks: {{x: {{_target_: {TOUCH}, _args_: [{{_target_: pathlib.Path, _args_: [called]}}]}}}}",
     "hydra.callbacks.x"),
    ("callbacks: {x: {_target_: joblib.load, filename: x}}", "hydra.callbacks.x._target_=joblib.load"),
    ("job: {env_set: {PATH: theirs}}", "hydra.job.env_set.PATH=theirs"),
    ("overrides: {hydra: [hydra.launcher.n_jobs=1]}", "hydra.overrides"),
    ("job_logging: {handlers: {x: {class: joblib.load}}}", "hydra.job_logging.handlers.x.class=joblib.load"),
    ('job_logging: {handlers: {file: {class: logging.FileHandler, delay: true, ".": {baseFilename: .bashrc}}}}',
     "hydra.job_logging.handlers.file"),
    ('job_logging: {handlers: {file: {class: logging.StreamHandler, ".": {level: 5}}}}', "hydra.job_logging.handlers"),
    ("runtime: {output_dir: .}\n  hydra_logging: {handlers: {x: {class: logging.FileHandler, filename: "
     "'${hydra.runtime.output_dir}/${hydra.job.name}.log'}}}", "hydra.hydra_logging.handlers.x.filename"),
    ("job_logging: {filters: {x: {(): joblib.load}}}", "hydra.job_logging.filters.x.()=joblib.load"),
    ("hydra_logging: {formatters: {x: {class: joblib.load}}}", "hydra.hydra_logging.formatters.x.class=joblib.load"),
    ("sweeper: {params: {seed: [0, 1]}, plan: true}\n  hydra_logging: {version: 1, formatters: {x: {class: "
     "logging.FileHandler, format: theirs, datefmt: w}}, root: {handlers: []}}\n  mode: MULTIRUN",
     "hydra.hydra_logging.formatters.x.class=logging.FileHandler"),
    (f"launcher: {{_target_: {TOUCH}}}", f"hydra.launcher._target_={TOUCH}"),
    (f"launcher: {{_target_: {TOUCH}}}\n  mode: MULTIRUN", f"hydra.launcher._target_={TOUCH}"),
    ("sweeper: {params: {hydra.job_logging: [1]}}\n  mode: MULTIRUN", "hydra.job_logging"),
    ("sweeper: {params: {x: {a: {+hydra.callbacks.x: 1}}}}\n  mode: MULTIRUN", "hydra.callbacks.x"),
]  # fmt: skip


def test_a_hydra_that_takes_another_loader_composes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ConfigLoaderImpl
    monkeypatch.setattr(Hydra, "__init__", Hydra.__init__)  # as it is after the test
    monkeypatch.setattr(hydra._internal.hydra, "ConfigLoaderImpl", theirs)
    place = create_automatic_config_search_path(None, None, str(PROJECT / "conf"))
    guard.guard()
    assert isinstance(Hydra.create_main_hydra2("train", place).config_loader, guard.GuardedLoader)
    GlobalHydra.instance().clear()
    hydra._internal.hydra.ConfigLoaderImpl = theirs  # type: ignore[attr-defined]  # another release imports it so
    with pytest.raises(BadInput, match=r"^hydra-core \S+: composes configs without the check") as caught:
        Hydra.create_main_hydra2("train", place)
    assert "\n" not in str(caught.value)


def refused(answer: Answer, word: str) -> str:
    """What is wrong with an answer; nothing, as it should be."""
    said = answer["said"]
    fine = answer["code"] == 2 and said.count("\n") == 1 and said.startswith("error: ") and word in said
    return "" if fine and not answer["torch"] else f"{word}: {answer}"


def test_a_config_is_composed_once_for_the_mode_and_for_the_run(monkeypatch) -> None:
    composed: list[list[str]] = []
    compose = ConfigLoaderImpl._load_configuration_impl

    def counted(self, config_name, overrides, *arguments, **options):
        composed.append(list(overrides))
        return compose(self, config_name, overrides, *arguments, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    place = create_automatic_config_search_path(None, None, str(PROJECT / "conf"))
    loader = guard.GuardedLoader(place)
    words = ["model=modern", "seed=3"]
    mode = loader.load_configuration("train", words, RunMode.MULTIRUN, validate_sweep_overrides=False)
    config = loader.load_configuration("train", words, RunMode.RUN)
    assert composed == [words]
    assert (mode, config.seed) == (config, 3)
    assert loader.load_configuration("train", ["seed=4"], RunMode.RUN).seed == 4
    assert composed == [words, ["seed=4"]]
    loader.load_configuration("train", ["seed=1,2"], RunMode.MULTIRUN, validate_sweep_overrides=False)
    with pytest.raises(ConfigCompositionException, match="sweep"):
        loader.load_configuration("train", ["seed=1,2"], RunMode.RUN)


def test_no_word_of_the_command_line_names_code(answers, in_empty_folder) -> None:
    given = answers([words for words, _ in WORDS])
    found = [wrong for (_, word), answer in zip(WORDS, given, strict=True) if (wrong := refused(answer, word))]
    assert not found, "\n".join(found)
    assert list(in_empty_folder.iterdir()) == []


@pytest.mark.parametrize("swept", [False, True], ids=["chosen", "swept"])
def test_no_file_of_conf_names_code_whoever_has_sent_it(tmp_path: Path, in_empty_folder: Path, swept: bool) -> None:
    """Chosen for the whole command or, as one of a sweep's values, for one of its jobs."""
    cases = []
    for number, (text, word) in enumerate(FILES):
        folder = tmp_path / f"conf{number}/{'model' if swept else 'sweep'}"
        folder.mkdir(parents=True)
        (folder / "theirs.yaml").write_text(f"# @package _global_\nhydra:\n  {text}\n")
        if not swept:
            cases.append(([f"--config-dir={folder.parent}", "sweep=theirs"], word))
        elif "MULTIRUN" not in text and "launcher: " not in text:
            cases.append((["-m", f"--config-dir={folder.parent}", "model=classic,theirs"], word))
    given = ask([("train.py", words, in_empty_folder) for words, _ in cases])
    found = [wrong for (_, word), answer in zip(cases, given, strict=True) if (wrong := refused(answer, word))]
    assert not found, "\n".join(found)
    assert list(in_empty_folder.iterdir()) == []


OFFERED = ("slurm", "processes", "submitit_local", "submitit_slurm")


def test_lines_for_a_shell_options_of_sbatch_and_the_folder_of_pickles_come_from_the_command_line_alone(
    tmp_path, in_empty_folder
) -> None:
    pytest.importorskip("submitit")
    launchers = {
        "setup": ("setup: [touch called]", "hydra.launcher.setup"),
        "export": ("additional_parameters: {export: LD_PRELOAD=x}", "hydra.launcher.additional_parameters.export"),
        "folder": ("submitit_folder: /tmp/theirs", "hydra.launcher.submitit_folder=/tmp/theirs"),
        "line": ('partition: "a\\ntouch called"', "hydra.launcher.partition=a\\ntouch called"),
    }  # fmt: skip
    (tmp_path / "hydra/launcher").mkdir(parents=True)
    for name, (text, _) in launchers.items():
        (tmp_path / f"hydra/launcher/{name}.yaml").write_text(f"defaults: [lenet_slurm, _self_]\n{text}\n")
    theirs = ["-m", "seed=1,2", f"--config-dir={tmp_path}"]
    cases = [[*theirs, f"hydra/launcher={name}", "hydra.sweeper.plan=true"] for name in launchers]
    by_hand = ["hydra.launcher.setup=[module load x]", "+hydra.launcher.additional_parameters.comment=ours"]
    cases.append(["-m", "seed=1,2", "hydra/launcher=slurm", *by_hand, "hydra.sweeper.plan=true"])
    by_hand = ["hydra.launcher.submitit_folder=/tmp/ours", "hydra.sweeper.plan=true"]
    cases.append(["-m", "seed=1,2", "hydra/launcher=slurm", *by_hand])
    cases += [["-m", "seed=1,2", f"hydra/launcher={name}", "hydra.sweeper.plan=true"] for name in OFFERED]
    given = ask([("train.py", words, in_empty_folder) for words in cases])
    wrong = [refused(one, word) for (_, word), one in zip(launchers.values(), given, strict=False)]
    assert not any(wrong), "\n".join(wrong)
    for own in given[len(launchers) :]:
        assert own["code"] == 0, own["said"]


def test_what_is_known_still_goes(answers, tmp_path, in_empty_folder) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("activation: tanh\n")
    plan = ["-m", "seed=1,2", "hydra.sweeper.plan=true"]
    cases = [
        [*plan, f"--config-dir={tmp_path}", "model=mine"],
        [*plan, f"hydra.searchpath=[file://{tmp_path}]", "model=mine"],
        [*plan, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        [*plan, "hydra/job_logging=default", "hydra/hydra_logging=default", "hydra.job_logging.root.level=DEBUG"],
        [*plan, "hydra.job.env_copy=[PATH]"],
        ["seed=1,2", "-m", "model.pool=avg,max", "--config-dir", str(tmp_path), "hydra.sweeper.plan=true"],
        ["--hydra-help"],
        ["--info", "config"],
    ]
    wrong = [(words, answer) for words, answer in zip(cases, answers(cases), strict=True) if answer["code"]]
    assert not wrong
    assert list(in_empty_folder.iterdir()) == []


def test_foreign_options_are_answered_with_what_to_write_here(answers) -> None:
    cases = {
        "--lr 0.1": "--lr 0.1: no such option; write optimizer.lr=0.1",
        "--lr=0.1": "--lr=0.1: no such option; write optimizer.lr=0.1",
        "--epochs 3": "--epochs 3: no such option; write trainer.max_epochs=3",
        "--batch-size 64": "--batch-size 64: no such option; write data.batch_size=64",
        "--seed 1": "--seed 1: no such option; write seed=1",
        "--model.pool max": "--model.pool max: no such option; write model.pool=max",
        "--weight_decy 1": "--weight_decy 1: no such option; write optimizer.weight_decay=1",
        "--multrun": "--multrun: no such option; did you mean --multirun?",
        "--foo": "--foo: no such option; write key=value (--help shows what there is)",
        "--config-dir=nowhere": "--config-dir=nowhere: no such folder",
        "--config-path=/nowhere": "--config-path=/nowhere: there is no such folder",
        "tags=[ö,a]": "tags=[ö,a]: ö has to be in quotes; write \"tags=['ö',a]\"",
        "tags=[ö,ä]": "tags=[ö,ä]: ö has to be in quotes; write \"tags=['ö','ä']\"",
        "tags=[a,ß,größe]": "tags=[a,ß,größe]: ß has to be in quotes; write \"tags=[a,'ß','größe']\"",
        "hydra.job.env_copy=[NOPE]": "hydra.job.env_copy=[NOPE]: no such environment variable; set it before the",
        "optimizer=[adam,sgd]": "optimizer=[adam,sgd]: a run has one choice of optimizer; -m optimizer=adam,sgd trains",
        "data=[mnist,fashion_mnist]": "data=[mnist,fashion_mnist]: a run has one choice of data; -m data=mnist,fashion",
        "experiment=[blog,book]": "experiment=[blog,book]: a run has one choice of experiment; -m experiment=blog,book",
        "model=[modern]": "model=[modern]: a run has one choice of model; write model=modern",
        "-m model=[modern,classic],sigmoid_max": "model=[modern,classic],sigmoid_max: a run has one choice of model",
        "--config-name=nope": "--config-name=nope: there is no such file in conf/",
        "--config-name=model/modern": "--config-name=model/modern: no whole config",
        "name=größe": "name=größe: ö has to be in quotes; write \"name='größe'\"",
        "größe=3": "größe: no such key",
    }
    for (words, said), answer in zip(cases.items(), answers([text.split() for text in cases]), strict=True):
        assert answer["said"].startswith(f"error: {said}"), answer["said"]
        assert (answer["code"], answer["said"].count("\n"), answer["torch"]) == (2, 1, False), words


def test_an_option_that_python_has_taken_apart_is_answered_likewise(monkeypatch) -> None:
    """Of -mq Python 3.13 hands on -q, which nobody has written."""

    class Parser(argparse.ArgumentParser):
        def parse_known_args(self, *_: object) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override]
            return argparse.Namespace(), ["-q"]

    monkeypatch.setattr(usage, "get_args_parser", Parser)
    with pytest.raises(BadInput, match="-q: no such option; "):
        usage.options(["-mq", "seed=1"])


def test_what_a_foreign_word_is_called_here_is_there() -> None:
    """Also every key that a reason names."""
    known = {*schema(), "sweep", "search", "debug", "experiment", "hydra.run.dir"}
    assert set(foreign.KEYS.values()) <= known
    for words in (*foreign.REASONS.values(), *foreign.CHOICES.values()):
        names = re.findall(r"[a-z_]+(?:\.[a-z_]+)+(?![/\w])|[a-z_.]+(?==)", words)
        keys = {name for name in names if not name.endswith((".py", ".md", ".csv", ".yaml", ".safetensors"))}
        assert keys <= known, words


def test_a_word_that_is_a_group_elsewhere_does_not_answer_for_a_key_below_it() -> None:
    assert foreign.reason("train.lr") is None
    assert foreign.reason("callbacks.early_stopping.patience") == foreign.REASONS["callbacks"]


def test_each_argument_of_the_trainer_is_a_key_or_has_its_answer() -> None:
    import lightning as L

    arguments = set(inspect.signature(L.Trainer.__init__).parameters) - {"self", "logger"}
    unknown = {
        name for name in arguments if f"trainer.{name}" not in schema() and not foreign.reason(f"trainer.{name}")
    }
    assert unknown - set(foreign.KEYS) == set()


def test_a_sweep_says_what_the_command_line_takes_from_it(answers, in_empty_folder) -> None:
    plan = "hydra.sweeper.plan=true"
    cases = [["sweep=pooling", "model.pool=max", plan], ["sweep=pooling", "seed=1", plan],
             ["sweep=pooling", "model.pool=avg,max", plan]]  # fmt: skip
    axis, seeds, shorter = answers(cases)
    assert axis["said"].startswith("model.pool=max: all jobs have it, where this sweep would try avg, max, conv\n")
    assert "3 jobs" in axis["said"]
    assert seeds["said"].startswith("seed: all jobs have the one that is given, where this sweep would take 3\n")
    assert "all jobs" not in shorter["said"]


@pytest.mark.parametrize("name", ["train", "summary", "initial"])
def test_help_shows_what_can_be_set_with_examples_that_go(name, in_empty_folder) -> None:
    (answer,) = ask([(f"{name}.py", ["--help"], in_empty_folder)])
    said = answer["said"]
    assert (answer["code"], answer["torch"]) == (0, False)
    assert f"scripts/{name}.py" in said
    for group in (PROJECT / "conf").glob("[!h]*/*.yaml"):
        assert group.stem in said, group
    shown = {word.partition("=")[0] for word in said.split()}
    assert {key for key, kind in schema().items() if not is_dataclass(kind)} <= shown
    assert max(map(len, said.splitlines())) <= 120


def test_a_word_for_a_sweep_without_one_is_refused(answers, in_empty_folder) -> None:
    words = ["hydra/launcher=joblib", "hydra.sweeper.seeds=3", "hydra.sweep.dir=x", "+hydra.sweeper.params.seed=[1]"]
    for word, answer in zip(words, answers([[word] for word in words]), strict=True):
        assert not refused(answer, f"{word}: goes with a sweep"), answer["said"]
    assert list(in_empty_folder.iterdir()) == []


def test_a_model_brings_what_it_needs_so_that_all_can_be_swept_together(answers, in_empty_folder) -> None:
    cases = [["-m", "model=glob(*)", "hydra.sweeper.plan=true"], ["model=lenet5", "data.pad=0"], ["name=größe"]]
    cases.append(["name='größe'", "hydra.sweeper.plan=true", "-m", "seed=1,2"])
    swept, refused, unquoted, quoted = answers(cases)
    assert swept["code"] == 0, swept["said"]
    assert "model=lenet5" in swept["said"]
    assert refused["said"] == "error: data.pad=0: LeNet-5 has 2; give that\n"
    assert unquoted["code"] == 2
    assert "runs/größe" in quoted["said"]
    (table,) = ask([("summary.py", ["model=lenet5"], in_empty_folder)])
    assert "60,000" in table["said"], table["said"]
