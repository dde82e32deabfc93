"""Read the code blocks of Markdown files.

A comment in the line above a block may change how the tests treat it:

<!-- not run: REASON -->             Python code is compiled, and commands are parsed, but the block does not run
<!-- quick: COMMAND FLAGS; ... -->   the flags are added to every `vaedge COMMAND` of the block, to make it fast
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(ROOT.glob("docs/**/*.md"))
LANGUAGES = {"python", "sh", "text", "json", "toml", "js"}

_BLOCK = re.compile(r"(?:^ *<!-- (?P<comment>.*?) -->\n)?^ *```(?P<language>\w*)\n(?P<code>.*?)^ *```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One code block of a Markdown file.

    Attributes:
        language: Language that the opening fence names, for example "python".
        code: Text of the block.
        line: Number of the first line of the code in the file.
        reason: Reason why the block does not run. None if it runs.
        quick: Dict from a command to the flags that the tests add to it.
    """

    language: str
    code: str
    line: int
    reason: str | None
    quick: dict[str, list[str]]

    def commands(self) -> list[str]:
        """Return the commands of a shell block, without comments. A backslash at the end of a line joins two lines."""
        joined = self.code.replace("\\\n", " ")
        lines = (re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def read_blocks(page: Path) -> list[Block]:
    """Return the code blocks of a Markdown file in the order of the file."""
    text = page.read_text("utf-8")
    return [_block(text, match) for match in _BLOCK.finditer(text)]


def _block(text: str, match: re.Match[str]) -> Block:
    kind, _, value = (match["comment"] or "").partition(": ")
    quick = {}
    if kind == "quick":
        for part in value.split("; "):
            command, *flags = part.split()
            quick[command] = flags
    line = text.count("\n", 0, match.start("code")) + 1
    return Block(match["language"], match["code"], line, value if kind == "not run" else None, quick)
