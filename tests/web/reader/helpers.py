"""Functions that several tests of the JavaScript reader share."""

import base64
import dataclasses
import json
import re

import vaedge


def encoded(content):
    return base64.b64encode(content).decode()


def outcome(function, *arguments, **options):
    """Call a Python function, and return {"result": ...} or {"error": ...}, as the fixture `evaluate` does."""
    try:
        return {"result": function(*arguments, **options)}
    except vaedge.VaedgeError as error:
        return {"error": str(error)}


def camel(name):
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def manifest_tree(manifest):
    """Convert a Python manifest to a dict with the names and values of the JavaScript manifest."""
    tree = {camel(name): value for name, value in dataclasses.asdict(manifest).items()}
    tree["conditions"] = [{"name": name, **condition} for name, condition in tree["conditions"].items()]
    for name, variant in tree["variants"].items():
        tree["variants"][name] = {camel(key): value for key, value in variant.items()}
    return json.loads(json.dumps(tree))
