"""Fixtures of the tests of the JavaScript reader."""

import json

import pytest


@pytest.fixture
def evaluate(node, tmp_path):
    """Return a function that calls a function of the reader for each case, and returns the results and errors."""

    def run(function, cases):
        path = tmp_path / "cases.json"
        path.write_text(json.dumps(cases))
        return json.loads(node("reader/evaluate.mjs", function, path))

    return run
