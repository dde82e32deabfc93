"""MkDocs hooks that insert the contents of other files and the help texts of the commands into the pages.

`{{ help COMMAND }}` becomes the output of `vaedge COMMAND --help`, `{{ file PATH }}` the content of a Markdown file
without its title, and `{{ html PATH }}` a block with the content of an HTML file. Images of `models/` are copied into
the site.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

from mkdocs.structure.files import File

from vaedge.cli.main import main

ROOT = Path(__file__).parents[1]
_HELP = re.compile(r"\{\{ help (\w+) \}\}")
_FILE = re.compile(r"\{\{ file ([\w./-]+) \}\}")
_HTML = re.compile(r"\{\{ html ([\w./-]+) \}\}")
_IMAGE = re.compile(r"\.\./(models/[\w./-]+\.png)")
_COLUMNS = "100"  # width of the help texts


def on_files(files: Any, config: Any) -> Any:
    """Add the images of the shipped bundles to the site."""
    for path in sorted(ROOT.glob("models/*/*.png")):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the placeholders of one page, and the paths of images."""
    markdown = _HELP.sub(lambda match: f"```text\n{help_text(match[1])}```", markdown)
    markdown = _FILE.sub(lambda match: (ROOT / match[1]).read_text("utf-8").partition("\n")[2].strip(), markdown)
    markdown = _HTML.sub(lambda match: f"```html\n{(ROOT / match[1]).read_text('utf-8')}```", markdown)
    return _IMAGE.sub(lambda match: match[1], markdown)


def help_text(command: str) -> str:
    """Return the help of a command, or of `vaedge` itself."""
    arguments = ["--help"] if command == "vaedge" else [command, "--help"]
    printed = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS=_COLUMNS), contextlib.redirect_stdout(printed):
        try:
            status = main(arguments)
        except SystemExit as stop:  # argparse ends with it
            status = stop.code
    if status:
        raise RuntimeError(f"vaedge {' '.join(arguments)} failed with status {status}")
    return printed.getvalue()
