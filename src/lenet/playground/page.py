"""The page as one text that asks for nothing more: style, scripts and the weights of the nets are within it."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

FOLDER = Path(__file__).parent
SCRIPTS = ("net.js", "picture.js", "page.js")


def page(nets: Sequence[dict[str, Any]], server: bool = False) -> str:
    """HTML.

    Args:
        nets: what `lenet.playground.describe` says of one net, or of several to compare.
        server: it may ask the server that it is from to read a picture.
    """
    style = _read("page.css")
    script = "\n".join(_read(name) for name in SCRIPTS)
    content = json.dumps({"nets": nets, "server": server})
    # A browser runs nothing and fetches nothing that is not named here, whatever a net's texts may hold.
    policy = [
        "default-src 'none'",
        f"script-src '{_digest(script)}'",
        f"style-src '{_digest(style)}'",
        "img-src data:",
        "connect-src 'self'" if server else "connect-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return Template(_read("page.html")).substitute(
        policy="; ".join(policy),
        style=style,
        script=script,
        nets=content.replace("<", "\\u003c"),  # so that no text of a net's can end the element
    )


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls a script or a style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
