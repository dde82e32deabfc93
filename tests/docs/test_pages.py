"""README.md and docs/ mention every command, public name and manifest field, and only existing ones."""

import json
import re
import tomllib

import pytest

import vaedge
import vaedge_export
import vaedge_train
from docs.blocks import PAGES, ROOT
from vaedge.cli.main import COMMANDS

README = (ROOT / "README.md").read_text("utf-8")
FORMAT = (ROOT / "docs" / "bundle-format.md").read_text("utf-8")
# Names with a slash that are no files of the checkout: paths that the pages create, and a column of `vaedge bench`.
NOT_FILES = {
    f"models/{name}" for name in ("digits", "first", "labels", "mine", "theirs", "measured", "conditional", "table")
}
NOT_FILES |= {"models/digits/README.md", "examples/s"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


def slug(heading):
    """Return the anchor that MkDocs and GitHub create for a heading."""
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


def test_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_command_line_page_shows_the_help_of_every_command():
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    assert re.findall(r"\{\{ help (\w+) \}\}", page) == ["vaedge", *COMMANDS]


@pytest.mark.parametrize("package", [vaedge, vaedge_train, vaedge_export], ids=lambda package: package.__name__)
def test_reference_page_documents_every_public_name(package):
    page = ROOT / "docs" / "reference" / f"{package.__name__.replace('_', '-')}.md"
    documented = re.findall(rf"^::: {package.__name__}\.(\w+)$", page.read_text("utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(set(package.__all__) - {"__version__"})


def test_bundle_format_describes_every_field_of_the_manifest():
    schema = json.loads((ROOT / "docs" / "manifest.schema.json").read_text("utf-8"))
    rows = " ".join(re.findall(r"^\| `.*?\|", FORMAT, re.MULTILINE))
    for name, field in schema["properties"].items():
        assert re.search(rf"`{name}\b", rows), name
        for inner in field.get("properties", {}):
            assert re.search(rf"[`.]{inner}`", rows), f"{name}.{inner}"


def test_relative_links_lead_to_files_and_headings():
    for page in (page for page in PAGES if page.exists()):
        text = page.read_text("utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), f"{page}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
                assert anchor in map(slug, headings), f"{page}: {target}"


def test_named_files_exist():
    folders = "tests|benchmarks|examples|docs|models|runtime|train|export"
    for page in (page for page in PAGES if page.exists()):
        for name in re.findall(rf"(?<!v2/)\b(?:{folders})/[\w./-]*\w", page.read_text("utf-8")):
            assert (ROOT / name).exists() or name in NOT_FILES or "NAME" in name, f"{page}: {name}"


def test_named_extras_exist():
    for page in (page for page in PAGES if page.exists()):
        for names in re.findall(r"'\.\[([\w,]+)\]'", page.read_text("utf-8")):
            assert set(names.split(",")) <= EXTRAS.keys(), page


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test" in README
    assert "make lint test" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_site_loads_nothing_from_the_network():
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in settings
    assert "://" not in settings
