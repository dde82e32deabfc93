"""Everything that training raises on purpose: one base, and beside it the builtin that a caller expects."""


class TrainError(Exception):
    """Base of every error that vaedge_train raises on purpose."""


class ConfigError(TrainError, ValueError):
    """A field of the configuration cannot be used."""


class DataError(TrainError, ValueError):
    """A data set is unknown, missing, damaged, or does not fit the likelihood."""


class RunError(TrainError, ValueError):
    """A run folder is in the way, incomplete or damaged."""
