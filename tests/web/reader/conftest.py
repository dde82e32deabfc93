"""Fixtures for tests of the JavaScript code that reads bundles."""

import json

import pytest


@pytest.fixture
def evaluate(node, tmp_path):
    """Return a function that calls one function of the JavaScript reader for each case in a list.

    It returns a dict with the key "result" or "error" for each case.
    """

    def run(function, cases):
        path = tmp_path / "cases.json"
        path.write_text(json.dumps(cases))
        return json.loads(node("reader/evaluate.mjs", function, path))

    return run
