"""Read the optional fields of a manifest: encoding and feature names of the input, and limits of log_scale."""

from collections.abc import Collection, Mapping

from vaedge.bundle.json_reader import Fields

# Dict from the integer type of `input.encoding` to the number by which integers of this type are divided.
ENCODINGS: Mapping[str, int] = {"uint8": 255}
# Dict from likelihood to the limits of log_scale in bundles of format 1. In newer bundles, the graphs limit log_scale.
LOG_SCALE_RANGES: Mapping[str, tuple[float, float]] = {"gaussian": (-6, 10), "discretized_logistic": (-8, 8)}


def may_name_features(names: Collection[str], shape: tuple[int, ...]) -> bool:
    """Return whether `names` can be the feature names of examples of shape `shape`.

    The shape must have one axis. Each element needs one name. Names must be distinct, printable and non-empty.
    """
    is_valid = all(name and name.isprintable() for name in names)
    return is_valid and shape == (len(names),) and len(set(names)) == len(names)


def read_encoding(example: Fields) -> str | None:
    """Read the optional field `input.encoding`. Return the integer type, or None if the field is missing."""
    if "encoding" not in example:
        return None
    encoding = example.fields("encoding")
    dtype, scale = encoding.text("dtype"), encoding.integer("scale")
    encoding.finish()
    if ENCODINGS.get(dtype) != scale:
        raise example.error("encoding", " or ".join(f"{name} with scale {value}" for name, value in ENCODINGS.items()))
    if example.range("range") != (0, 1):
        raise example.error("range", "[0, 1], because the input has an encoding")
    return dtype


def read_features(example: Fields) -> tuple[str, ...]:
    """Read the optional field `input.features`. Return the names, or () if the field is missing."""
    if "features" not in example:
        return ()
    names, shape = example.texts("features"), example.shape("shape")
    if not may_name_features(names, shape):
        raise example.error(
            "features", "distinct, non-empty names: one for each element of x, which must have one axis"
        )
    return names


def read_log_scale_range(likelihood: Fields, version: int) -> tuple[float, float] | None:
    """Read the optional field `likelihood.log_scale_range`. Return None if the runtime does not clip log_scale.

    Bundles of format 1 do not have this field. For them, this function returns the range that belongs to the name of
    the likelihood. In format 2, a missing field means None.
    """
    if version == 1:
        return LOG_SCALE_RANGES.get(likelihood.text("name"))
    if "log_scale_range" not in likelihood:
        return None
    limits = likelihood.range("log_scale_range")
    if limits is None or likelihood.texts("parameters")[1:] != ("log_scale",):
        raise likelihood.error(
            "log_scale_range",
            "[minimum, maximum]; the likelihood must have two parameters, and the second must be log_scale",
        )
    return limits
