"""How texts and counts are written on one line, and what somebody may have meant by a word."""

import difflib
import re
from collections.abc import Iterable

# Line breaks and other controls; what turns the direction of writing or has no width; halves of characters.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text with its line breaks and other control characters written out, as the terminal should not obey them."""
    return UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def first_line(text: str) -> str:
    """The first line that says something, written out likewise."""
    return next((one_line(line.strip()) for line in text.splitlines() if line.strip()), "")


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "es" if thing.endswith("tch") else "s")


def are(number: int) -> str:
    return "is" if number == 1 else "are"


def shortened(text: str, most: int = 60) -> str:
    """For a place where there is no room for all of it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


# Choices under the names that other programs have for them, where the letters do not tell.
ELSEWHERE = {
    "ddp_spawn": "ddp", "ddp_fork": "ddp", "ddp_notebook": "ddp", "dp": "ddp", "deepspeed": "fsdp",
    "average": "avg", "mean": "avg", "strided": "conv",
    "bn": "batch", "batchnorm": "batch", "swish": "silu",
    "ce": "cross_entropy", "nll": "cross_entropy", "l2": "mse",
    "fmnist": "fashion_mnist", "fashion": "fashion_mnist", "images": "folder", "imagefolder": "folder",
}  # fmt: skip


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The question whether a known word is meant, spelled much alike or called otherwise elsewhere; "" if none is."""
    known = list(known)
    if (other := ELSEWHERE.get(word.lower())) in known:
        return f"did you mean {other}? "
    plain = {one.lower().replace("-", "_"): one for one in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), list(plain), 1, 0.7)
    return f"did you mean {plain[close[0]]}? " if close else ""
