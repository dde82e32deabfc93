"""Invalid encodings in a manifest are refused."""

import pytest

import vaedge


@pytest.mark.parametrize("encoding", [{"dtype": "uint8", "scale": 256}, {"dtype": "int8", "scale": 127}])
def test_unknown_encoding_is_an_error_that_names_the_field(edit_manifest, encoding):
    folder = edit_manifest(lambda tree: tree["input"].update(encoding=encoding))
    with pytest.raises(vaedge.BundleError, match=r"input\.encoding.*expected uint8 with scale 255"):
        vaedge.load(folder)


def test_encoding_needs_the_range_0_to_1(edit_manifest):
    def change(tree):
        tree["input"].update(encoding={"dtype": "uint8", "scale": 255}, range=[0, 2])

    with pytest.raises(vaedge.BundleError, match=r"input\.range.*\[0, 1\], because the input has an encoding"):
        vaedge.load(edit_manifest(change))
