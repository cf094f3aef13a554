"""What may follow on a command line, for a shell that asks at each press of a key.

`scripts/train.py -sc install=bash` prints what a shell needs. From then on it calls this file, which imports nothing
that takes time: neither Hydra nor torch.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from pathlib import Path

from lenet.config import choices, schema

PROJECT = Path(__file__).parents[3]
COMPOSED = ("train", "summary", "initial")  # scripts that take keys; the others take a run
LAUNCHERS = ("basic", "joblib", "processes", "slurm")
OPTIONS = ("--multirun", "--cfg", "--extend", "--config-dir", "--help")
PLACES = ("resume", "init_from", "data.root", "hydra.run.dir", "hydra.sweep.dir")

# Keys of Hydra's, with what they may be.
HYDRA = {
    "hydra/launcher": LAUNCHERS,
    "hydra.launcher.n_jobs": (),
    "hydra.run.dir": (),
    "hydra.sweep.dir": (),
    "hydra.sweeper.design": ("grid", "one_at_a_time", "paired"),
    "hydra.sweeper.seeds": (),
    "hydra.sweeper.plan": ("true", "false"),
    "hydra.sweeper.fail_fast": ("true", "false"),
}


def candidates(line: str) -> list[str]:
    """The words that may stand in the place of the last one of `line`, which is a command line up to the cursor."""
    if not (found := re.search(r"(?:^|[\s/])(\w+)\.py\s+(?:.*\s)?(\S*)$", line)):
        return []
    script, word = found.groups()
    if not (PROJECT / "scripts" / f"{script}.py").is_file():
        return []
    if word.startswith("-"):
        return [option for option in _options(script) if option.startswith(word)]
    if script not in COMPOSED:
        return _paths(word)
    key, is_set, value = word.lstrip("+").partition("=")
    plus = word[: len(word) - len(word.lstrip("+"))]
    if not is_set:
        return [plus + one for one in _keys() if one.startswith(key)] if "." in key or key else _first()
    if key in PLACES:
        return [f"{plus}{key}={path}" for path in _paths(value)]
    before, comma, last = value.rpartition(",")
    return [f"{plus}{key}={before}{comma}{one}" for one in _values(key) if one.startswith(last)]


def _groups() -> dict[str, list[str]]:
    """The folders of conf/ that a word chooses a file of, and the files."""
    folders = [path for path in (PROJECT / "conf").iterdir() if path.is_dir() and path.name != "hydra"]
    return {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in sorted(folders)}


def _keys() -> list[str]:
    leaves = [f"{key}=" for key, kind in schema().items() if not is_dataclass(kind)]
    return [*(f"{group}=" for group in _groups()), *leaves, *(f"{key}=" for key in HYDRA)]


def _first() -> list[str]:
    """Where nothing is typed yet: groups and keys by their first part, as all keys would fill the screen."""
    return list(dict.fromkeys(re.sub(r"\..*", ".", key) for key in _keys()))


def _values(key: str) -> Sequence[str]:
    kind = schema().get(key)
    if key in (groups := _groups()):
        return groups[key]
    if key in HYDRA:
        return HYDRA[key]
    return ("true", "false") if kind is bool else choices().get(key, ())


def _options(script: str) -> Iterable[str]:
    """Of a script with arguments of its own those that its text names."""
    if script in COMPOSED:
        return OPTIONS
    text = (PROJECT / "scripts" / f"{script}.py").read_text(encoding="utf-8")
    return dict.fromkeys([*re.findall(r'"(--[a-z-]+)"', text), "--help"])


def _paths(start: str) -> list[str]:
    """Folders, which may be runs, and files of weights or checkpoints."""
    folder, _, name = start.rpartition("/")
    place = Path(folder or ("/" if start.startswith("/") else "."))
    if not place.is_dir():
        return []
    prefix = start[: len(start) - len(name)]
    found = []
    for path in sorted(place.iterdir()):
        if path.name.startswith(name) and (name or not path.name.startswith(".")):
            if path.is_dir():
                found.append(f"{prefix}{path.name}/")
            elif path.suffix in (".safetensors", ".ckpt", ".png"):
                found.append(prefix + path.name)
    return found


BASH = r"""_lenet_complete() {
    local line="${COMP_LINE:0:$COMP_POINT}" IFS=$'\n' word
    if [[ $line != *.py\ * ]]; then
        COMPREPLY=()
        [[ $1 == uv && -n $_LENET_UV ]] && "$_LENET_UV" "$@"
        return
    fi
    COMPREPLY=($(ASK "$line"))
    word="${line##* }"
    if [[ ${COMP_WORDBREAKS-} == *=* && $word == *=* ]]; then  # bash takes what follows a = for a word of its own
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
}
_lenet_before=$(complete -p uv 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
[[ $_lenet_before != _lenet_complete ]] && _LENET_UV=$_lenet_before  # given twice, this is ours already
complete -o nospace -o default -F _lenet_complete python python3 uv NAMES
"""

ZSH = """whence compdef > /dev/null || { autoload -U compinit && compinit -u -D; }
autoload -U bashcompinit && bashcompinit
"""

FISH = r"""function _lenet_complete
    ASK (commandline -cp)
end
function _lenet_asked
    string match -qr '\.py ' -- (commandline -cp)
end
for name in python python3 uv NAMES
    complete -c $name -n _lenet_asked -f -a '(_lenet_complete)'
end
"""

REMOVAL = {
    "bash": "complete -r python python3 uv NAMES; unset -f _lenet_complete\n",
    "zsh": "compdef -d python python3 uv NAMES; unset -f _lenet_complete\n",
    "fish": "for name in python python3 uv NAMES\n    complete -e -c $name\nend\n",
}


def shell_code(words: Sequence[str]) -> str | None:
    """What a shell is to run for `install=bash`, or another shell; None where the words ask for something else."""
    do, _, shell = words[0].partition("=") if len(words) == 1 else ("", "", "")
    if do not in ("install", "uninstall") or shell not in REMOVAL:
        return None
    code = REMOVAL[shell] if do == "uninstall" else FISH if shell == "fish" else BASH
    if shell == "zsh" and do == "install":
        code = ZSH + code
    ask = " ".join(shlex.quote(word) for word in (sys.executable, "-P", str(Path(__file__).resolve())))
    names = " ".join(sorted(path.name for path in (PROJECT / "scripts").glob("*.py")))
    return code.replace("ASK", ask).replace("NAMES", names)


if __name__ == "__main__":
    print("\n".join(candidates(sys.argv[1] if len(sys.argv) > 1 else "")))
