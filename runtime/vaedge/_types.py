"""Types that several parts of the runtime share."""

import json
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
Nats: TypeAlias = npt.NDArray[np.float64]
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """An additional input of the encoder and the decoder of a conditional model.

    Attributes:
        dtype: "int64" for the index of a class, "float32" for any other value.
        shape: Shape of the value of one example. () means a single number.
        classes: Names of the classes 0, 1, ... if `dtype` is "int64"; otherwise empty.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def class_list(self) -> str:
        """The names of the classes as text, separated by commas.

        A name that contains a character other than a letter or a digit is quoted.
        """
        return ", ".join(name if name.isalnum() else json.dumps(name, ensure_ascii=False) for name in self.classes)
