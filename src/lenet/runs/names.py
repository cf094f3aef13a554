"""Names of folders that every system takes: a run that was made on one can be copied to another.

Nothing here imports torch.
"""

import hashlib
import re
import unicodedata

# What stands for a device on Windows, whatever follows after a dot.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³")}

LONGEST = 255  # bytes of one name, in most file systems


def trouble(name: str, longest: int) -> str:
    """Why some system cannot have a folder of this name, of at most `longest` characters; "" if all can."""
    if not (re.fullmatch(r"[\w.+=,-]+", name) and name.strip(".") and len(name) <= longest) or _bytes(name) > LONGEST:
        return f"give up to {longest} letters ({LONGEST} bytes), digits and . _ + = , -"
    if name.endswith("."):
        return "Windows drops a dot at the end; give one without"
    if name.partition(".")[0].casefold() in DEVICES:
        return "on Windows it stands for a device; give another"
    return ""


def _bytes(name: str) -> int:
    return len(name.encode())


def made_safe(name: str, longest: int, told_by: str | None = None) -> str:
    """A name that every system takes.

    Args:
        longest: characters; a longer name is cut off.
        told_by: where the name cannot be kept as it is, a digest of this at the end tells it from others that would be
            the same; by default of the name.
    """
    safe = re.sub(r"[^\w.=,+-]", "_", name)
    if safe.partition(".")[0].casefold() in DEVICES:
        safe = f"_{safe}"
    if safe.endswith("."):
        safe = f"{safe[:-1]}_"
    if safe == name and len(name) <= longest and _bytes(name) <= LONGEST:
        return name
    digest = hashlib.sha256((name if told_by is None else told_by).encode()).hexdigest()[:8]
    cut = safe[:longest].encode()[: LONGEST - 1 - len(digest)].decode(errors="ignore")
    return f"{cut}-{digest}"


def seen_as(name: str) -> str:
    """What a system sees that knows no difference of case, nor whether an accent is a character of its own."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
