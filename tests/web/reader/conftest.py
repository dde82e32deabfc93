"""Fixtures for tests of the JavaScript code that reads bundles."""

import json

import pytest


@pytest.fixture
def evaluate(node, tmp_path):
    """Return a function that takes a list of cases, and calls one function of the JavaScript reader for each case.

    For each case, it returns a dict with the key "result" or the key "error".
    """

    def run(function, cases):
        path = tmp_path / "cases.json"
        path.write_text(json.dumps(cases))
        return json.loads(node("reader/evaluate.mjs", function, path))

    return run
