"""TensorBoard's page with a few lines of JavaScript of ours, for what no setting of TensorBoard's changes."""

import io
import zipfile
from pathlib import Path
from typing import IO

from tensorboard import assets

SCRIPT = Path(__file__).with_name("page.js")
END = b"</body>"


def files() -> IO[bytes]:
    """The zip file of all that the page is made of, with page.js, which the page asks for as its last file."""
    ours = io.BytesIO()
    provider = assets.get_default_assets_zip_provider()
    with provider() as given, zipfile.ZipFile(given) as before, zipfile.ZipFile(ours, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "index.html":
                content = content.replace(END, f'<script src="{SCRIPT.name}"></script>'.encode() + END)
            after.writestr(name, content)
        after.writestr(SCRIPT.name, SCRIPT.read_bytes())
    ours.seek(0)
    return ours
