"""Hostile calibration files. Functions create them from the 32 bytes of the model's SHA-256."""

import struct

from hostile.archives import ARCHIVES, archive, npy

_NAN, _INF = float("nan"), float("inf")


def _floats(*values, shape=None):
    return npy(shape=shape or f"({len(values)},)", data=struct.pack(f"<{len(values)}f", *values))


def _integers(*values):
    return npy("'<i8'", f"({len(values)},)", struct.pack(f"<{len(values)}q", *values))


def _calibration(**changes):
    """Return a function that makes a calibration file. `changes` replaces arrays; None removes an array."""

    def make(model):
        arrays = {
            "points": _floats(1, 2, 3, 5, shape="(2, 2)"),
            "scores": _floats(1, 2),
            "evaluation": _floats(1, 2),
            "map_range": _floats(0, 1),
            "model": _integers(*model),
            **changes,
        }
        return archive(**{name: part for name, part in arrays.items() if part is not None})

    return make


CALIBRATIONS = {
    **{name: lambda model, content=content: content for name, content in ARCHIVES.items()},
    "calibration without scores": _calibration(scores=None),
    "calibration without points": _calibration(points=None),
    "calibration without evaluation scores": _calibration(evaluation=None),
    "calibration that names no model": _calibration(model=None),
    "calibration with an unknown array": _calibration(hook=npy()),
    "calibration of another model": _calibration(model=_integers(*range(32))),
    "model of 31 bytes": _calibration(model=_integers(*range(31))),
    "model of numbers above 255": _calibration(model=_integers(*[2**40] * 32)),
    "model of floats": _calibration(model=_floats(*range(32))),
    "no scores": _calibration(scores=_floats()),
    "scores of NaN": _calibration(scores=_floats(1, _NAN)),
    "negative scores": _calibration(scores=_floats(-1, 2)),
    "descending scores": _calibration(scores=_floats(2, 1)),
    "scores of integers": _calibration(scores=_integers(1, 2)),
    "scores with two axes": _calibration(scores=_floats(1, 2, shape="(1, 2)")),
    "scores without an axis": _calibration(scores=_floats(1, shape="()")),
    "evaluation scores of NaN": _calibration(evaluation=_floats(_NAN)),
    "map range of NaN": _calibration(map_range=_floats(0, _NAN)),
    "reversed map range": _calibration(map_range=_floats(1, 0)),
    "map range of three numbers": _calibration(map_range=_floats(0, 1, 2)),
    "calibration without a map range": _calibration(map_range=None),
    "one point": _calibration(points=_floats(1, 2, shape="(1, 2)")),
    "no points": _calibration(points=_floats(shape="(0, 2)")),
    "too many points": _calibration(points=_floats(*[1] * 2002, shape="(1001, 2)")),
    "points with three columns": _calibration(points=_floats(*range(6), shape="(2, 3)")),
    "points without an axis": _calibration(points=_floats(1, shape="()")),
    "points of NaN": _calibration(points=_floats(1, 2, _NAN, 5, shape="(2, 2)")),
    "points of infinity": _calibration(points=_floats(1, 2, _INF, 5, shape="(2, 2)")),
    "points of integers": _calibration(points=npy("'<i8'", "(2, 2)", bytes(32))),
}
