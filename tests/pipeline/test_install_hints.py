"""Messages and documents recommend installations from a clone only, because vaedge is not on PyPI."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SOURCES = [*ROOT.glob("*/vaedge*/**/*.py"), *ROOT.glob("examples/*.py"), *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_no_text_recommends_to_install_vaedge_by_name():
    for path in SOURCES:
        assert not re.search(r"pip install ['\"]?vaedge\b", path.read_text()), path
        assert "vaedge[" not in path.read_text().replace("'vaedge['", ""), path


def test_recommended_extras_exist():
    named = {extra for path in SOURCES for extra in re.findall(r"install_hint\([\"'](\w+)[\"']\)", path.read_text())}
    assert named
    assert named <= EXTRAS.keys()
    for path in SOURCES:
        for extras in re.findall(r"'\.\[([\w,]+)\]'", path.read_text()):
            assert set(extras.split(",")) <= EXTRAS.keys(), path
