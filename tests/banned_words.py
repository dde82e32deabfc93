"""Find words that the glossary in CONTRIBUTING.md replaces. `make lint` runs `python tests/banned_words.py`.

The script searches the text and the names of files. It also finds parts of identifiers: `picture` is found in
`read_picture` and in `PictureFolder`. Models, test data, and the files that list the words are not searched.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEARCHED = (".py", ".md", ".toml", ".jinja", ".yml", ".yaml", "Makefile", ".ci/run")
NOT_SEARCHED = ("models/", "tests/data/", "tests/banned_words.py", "CONTRIBUTING.md")

# Dict from the regular expression of a banned word to its replacement. Case is ignored.
BANNED = {
    r"told": "conditions",
    r"pictures?": "image",
    r"items?": "example, sample or input",
    r"processors?": "CPU",
    r"gate": "graph checks",
    r"wires?": "protobuf",
    r"peers?|contestants?": "baseline",
    r"figures": "metrics",
    r"riddles?": "plain words",
    r"greatest": "largest or maximum",
    r"whoever": "a plain subject",
    r"so many": "a number",
    r"how many": "number of",
    r"shall": "must or will",
    r"(is|are|was|were|be) (?-i:none)": "None, or the reason",
    r"of (its|their) own[.,;:]": "its own, before the noun",
    r"go on|goes on|gone on|went on": "continue, resume or restart",
    r"that there (is|are|was|were)": "a plain noun",
    r"lies|lay": "is in",
    r"(binar|minim|normal|optim|quant|serial|standard)is(e|ed|er|es|ing|ation)s?": "the American spelling with z",
    r"colour(s|ed|ing|ful)?|grey|behaviours?|licences?|labelled|modelled|cancelled": "the American spelling",
}
BANNED_PREFIXES = {"LEAST_": "MIN_", "MOST_": "MAX_"}

# Correct uses of the words, which are removed before the search.
CORRECT = (
    r"\.items?\(|from_items|itemsize|__\w+item__",  # methods of Python, numpy and Ray
    r"wire[ _](type|format)s?",  # terms of Protocol Buffers
    r"CancelledError",  # a class of Python
    r"\(R\) Processor",  # names of CPUs
    r"--items|\"items\"|\"processor\"",  # a flag, and keys of JSON files, which keep their names
)


def searched_files() -> list[str]:
    """Return the paths of the files to search, relative to the checkout: those that git tracks or would add."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return [name for name in names if name.endswith(SEARCHED) and not name.startswith(NOT_SEARCHED)]


def find(text: str) -> Iterator[str]:
    """Yield a message for each banned word in a line of text."""
    for prefix, better in BANNED_PREFIXES.items():
        if re.search(rf"\b_?{prefix}", text):
            yield f"{prefix!r}: write {better!r}"
    text = re.sub("|".join(CORRECT), "", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)
    for word, better in BANNED.items():
        for match in re.finditer(rf"\b({word})(?!\w)", text, re.IGNORECASE):
            yield f"{match[0]!r}: write {better}"


def main() -> int:
    """Print the file and the line of each banned word; return 1 if a banned word was found."""
    found = []
    for name in searched_files():
        lines = [name, *(ROOT / name).read_text("utf-8").splitlines()] if (ROOT / name).is_file() else []
        found += [f"{name}:{number}: {complaint}" for number, line in enumerate(lines) for complaint in find(line)]
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
