"""Plots of a model card as PNG: a scatter plot and histograms. Pillow draws the plots, without matplotlib."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_SCALE = 3  # a plot is drawn larger by this factor and then reduced, which smooths the edges
_WHITE, _BLACK, _GRAY, _FILL, _LINE = (255, 255, 255), (40, 40, 40), (200, 200, 200), (166, 196, 226), (200, 80, 30)
_COLORS = (
    *((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)),
    *((140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)),
)
_MARGIN = 34  # width in pixels of the space around a plot, for the labels of the axes
_LINE_HEIGHT = 14
_MAX_TEXT = 24  # maximum length of a text in characters
_PANEL = (200, 130)
_COLUMNS = 4
_BINS = 30
_WIDE_PANEL, _WIDE_BINS = (640, 180), 60
_MAX_TICKS = 5  # maximum number of ticks between zero and one end of an axis
_STEPS = tuple(digit * 10**power for power in range(40) for digit in (1, 2, 5))

_Array = npt.NDArray[np.float32]
_Edges = npt.NDArray[np.float64]


def scatter_png(points: _Array, labels: Sequence[str], limit: float, size: int) -> bytes:
    """Draw points in the plane with one color for each class, and a legend on the right.

    Args:
        points: (n, 2) float32, horizontal and vertical coordinates. Points outside the axes are drawn at the edge.
        labels: Name of the class of each point.
        limit: Both axes run from -limit to limit.
        size: Width and height of the plot in pixels.
    """
    names = sorted(set(labels), key=lambda name: (len(name), name) if name.isdecimal() else (math.inf, name))
    font = ImageFont.load_default()
    legend = 24 + max(math.ceil(font.getlength(_printable(name))) for name in names)
    width, height = size + 2 * _MARGIN + legend, max(size + 2 * _MARGIN, _LINE_HEIGHT * len(names) + 2 * _MARGIN)
    image = Image.new("RGB", (width * _SCALE, height * _SCALE), _WHITE)
    draw = ImageDraw.Draw(image)

    def pixel(value: float) -> float:
        return (_MARGIN + size * (value + limit) / (2 * limit)) * _SCALE

    low, high = pixel(-limit), pixel(limit)
    step = next(step for step in _STEPS if limit / step <= _MAX_TICKS)
    ticks = range(-math.floor(limit / step) * step, math.floor(limit) + 1, step)
    for tick in ticks:
        draw.line((pixel(tick), low, pixel(tick), high), _GRAY if tick else _BLACK)
        draw.line((low, pixel(tick), high, pixel(tick)), _GRAY if tick else _BLACK)
    draw.rectangle((low, low, high, high), outline=_BLACK, width=_SCALE)
    color = {name: _COLORS[index % len(_COLORS)] for index, name in enumerate(names)}
    radius = 2 * _SCALE
    for (x, y), label in zip(np.clip(points, -limit, limit), labels, strict=True):
        center = pixel(float(x)), pixel(-float(y))
        draw.ellipse((*(c - radius for c in center), *(c + radius for c in center)), color[label])
    left = size + 2 * _MARGIN
    for index, name in enumerate(names):
        top = _MARGIN + index * _LINE_HEIGHT
        draw.rectangle([side * _SCALE for side in (left, top + 2, left + 8, top + 10)], color[name])
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)  # text is drawn after the reduction, because the font has one size
    for tick in ticks:
        draw.text((pixel(tick) / _SCALE - font.getlength(str(tick)) / 2, high / _SCALE + 4), str(tick), _BLACK, font)
        text = str(tick)
        draw.text((_MARGIN - 5 - font.getlength(text), pixel(-tick) / _SCALE - 5), text, _BLACK, font)
    for index, name in enumerate(names):
        draw.text((left + 13, _MARGIN + index * _LINE_HEIGHT), _printable(name), _BLACK, font)
    return _png(image)


def histograms_png(data: _Array, samples: _Array, names: Sequence[str]) -> bytes:
    """Draw one panel for each feature: the data as filled bars, and the samples as a line over them.

    Args:
        data: (n, features) float32.
        samples: (m, features) float32.
        names: Names of the features.
    """
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    cell = _PANEL[0] + 20, _PANEL[1] + 40
    image = Image.new("RGB", (columns * cell[0] + 20, rows * cell[1] + 30), _WHITE)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    for index, (color, text) in enumerate(((_FILL, "held-out data"), (_LINE, "samples"))):
        draw.rectangle((20 + 120 * index, 8, 30 + 120 * index, 16), color)
        draw.text((36 + 120 * index, 6), text, _BLACK, font)
    for index, name in enumerate(names):
        row, column = divmod(index, columns)
        low, high = _limits(data[:, index], samples[:, index])
        panel = _panel(data[:, index], samples[:, index], np.linspace(low, high, _BINS + 1), _PANEL)
        left, top = 20 + column * cell[0], 30 + row * cell[1] + _LINE_HEIGHT
        image.paste(panel, (left, top))
        draw.text((left, top - _LINE_HEIGHT), _printable(name), _BLACK, font)
        draw.text((left, top + _PANEL[1] + 2), f"{low:.4g}", _BLACK, font)
        text = f"{high:.4g}"
        draw.text((left + _PANEL[0] - font.getlength(text), top + _PANEL[1] + 2), text, _BLACK, font)
    return _png(image)


def scores_png(calibration: _Array, evaluation: _Array, thresholds: Mapping[str, float]) -> bytes:
    """Draw histograms of anomaly scores in one panel, with a vertical line at each threshold.

    The last bin also holds all larger scores.

    Args:
        calibration: (n,) float32, scores that are drawn as filled bars.
        evaluation: (m,) float32, scores that are drawn as a line over the bars.
        thresholds: Dict from the label of each line to its score. If there are at most two lines, the labels do
            not overlap.
    """
    low, high = _limits(calibration, evaluation)
    high = max([high, *(1.05 * threshold for threshold in thresholds.values())])
    left, top = 20, 30 + _LINE_HEIGHT
    bottom = top + _WIDE_PANEL[1]
    image = Image.new("RGB", (_WIDE_PANEL[0] + 2 * left, bottom + 2 * _LINE_HEIGHT + 8), _WHITE)
    image.paste(_panel(calibration, evaluation, np.linspace(low, high, _WIDE_BINS + 1), _WIDE_PANEL), (left, top))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    for index, (color, text) in enumerate(((_FILL, "calibration examples"), (_LINE, "evaluation examples"))):
        draw.rectangle((left + 160 * index, 8, left + 160 * index + 10, 16), color)
        draw.text((left + 160 * index + 16, 6), text, _BLACK, font)

    def pixel(score: float) -> float:
        return left + _WIDE_PANEL[0] * (score - low) / (high - low)

    for index, (text, score) in enumerate(thresholds.items()):
        draw.line((pixel(score), top, pixel(score), bottom), _BLACK)
        offset = 3 if index else -3 - font.getlength(text)
        draw.text((pixel(score) + offset, top - _LINE_HEIGHT), text, _BLACK, font)
    step = round_step(high - low)
    for tick in range(math.ceil(low / step), math.floor(high / step) + 1):
        text = f"{tick * step:.6g}"
        draw.line((pixel(tick * step), bottom, pixel(tick * step), bottom + 3), _BLACK)
        draw.text((pixel(tick * step) - font.getlength(text) / 2, bottom + 4), text, _BLACK, font)
    draw.text((left + (_WIDE_PANEL[0] - font.getlength("score")) / 2, bottom + 4 + _LINE_HEIGHT), "score", _BLACK, font)
    return _png(image)


def round_step(length: float) -> float:
    """Return a step that divides an axis into at most ten parts. The step is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(power * factor for factor in (0.1, 0.2, 0.5, 1, 2) if length <= 10 * power * factor)


def _panel(data: _Array, samples: _Array, edges: _Edges, size: tuple[int, int]) -> Image.Image:
    """Draw two histograms with the same bins: the data as filled bars, and the samples as a line over them.

    Args:
        data: (n,) float32.
        samples: (m,) float32.
        edges: Edges of the bins in ascending order. Values beyond the edges count in the first or the last bin.
        size: Width and height of the panel in pixels.
    """
    width, height = (side * _SCALE for side in size)
    low, high = edges[0], edges[-1]
    heights = [np.histogram(np.clip(values, low, high), edges)[0] / len(values) for values in (data, samples)]
    highest = 1.05 * max(float(shares.max()) for shares in heights)
    image = Image.new("RGB", (width, height), _WHITE)
    draw = ImageDraw.Draw(image)
    x = np.linspace(0, width - 1, len(edges))
    filled, line = ((height - 1) * (1 - shares / highest) for shares in heights)
    for left, right, top in zip(x[:-1], x[1:], filled, strict=True):
        if top < height - 1:
            draw.rectangle((left, top, right, height - 1), _FILL)
    outline = np.stack([np.repeat(x, 2)[1:-1], np.repeat(line, 2)], 1).ravel()
    draw.line([0, height - 1, *outline.tolist(), width - 1, height - 1], _LINE, 2 * _SCALE - 1)
    draw.rectangle((0, 0, width - 1, height - 1), outline=_GRAY, width=_SCALE)
    return image.resize(size, Image.Resampling.LANCZOS)


def _limits(data: _Array, samples: _Array) -> tuple[float, float]:
    """Return the minimum and the maximum of the horizontal axis of one feature.

    The axis shows the middle 99.8 % of the data and of the samples. With the outliers, the bars would be too narrow.
    """
    both = [np.quantile(values.astype(np.float64), (0.001, 0.999)) for values in (data, samples)]
    low, high = float(min(ends[0] for ends in both)), float(max(ends[1] for ends in both))
    margin = 0.02 * (high - low) or max(abs(low), 1) / 2
    return low - margin, high + margin


def _printable(text: str) -> str:
    """Shorten a text to _MAX_TEXT characters, and replace the letters that Pillow's built-in font lacks."""
    shown = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
    return shown.encode("latin-1", "replace").decode("latin-1")


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
