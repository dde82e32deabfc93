"""Hostile .npz files, which replace the file of the prior in a bundle."""

import io
import struct
import zipfile


def archive(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in members.items():
            file.writestr(f"{name}.npy", part)
    return content.getvalue()


def npy(descr="'<f4'", shape="(2,)", data=bytes(8), order="False", version=b"\x01\x00"):
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data


def with_false_size(content):
    """Return a .npz file whose ZIP directory states the false size of 100 bytes for its first array."""
    at = content.rindex(b"PK\x01\x02")
    return content[: at + 24] + struct.pack("<I", 100) + content[at + 28 :]


def encrypted(content):
    """Return a .npz file whose first array is marked as encrypted."""
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        content = content[:at] + b"\x01" + content[at + 1 :]
    return content


ONES = struct.pack("<40f", *[1] * 40)


def mixture(mean=bytes(160), std=ONES, cumulative=(2**52, 2**53), kinds=("'<f4'", "'<i8'")):
    """Return the .npz file of a mixture prior with two components and 20 latents, in bundle format 2."""
    return archive(
        mean=npy(kinds[0], "(2, 20)", mean),
        std=npy(kinds[0], "(2, 20)", std),
        cumulative=npy(kinds[1], f"({len(cumulative)},)", struct.pack(f"<{len(cumulative)}q", *cumulative)),
    )


ARCHIVES = {
    "no archive": b"nothing",
    "truncated archive": archive(log_weights=npy())[:-30],
    "array of objects": archive(log_weights=npy("'|O'", "(1,)", b"cos\nsystem\n(S'true'\ntR.")),
    "array of records": archive(log_weights=npy("[('a', '<f4')]")),
    "header with code": archive(log_weights=npy("__import__('os').system('true')")),
    "deeply nested header": archive(log_weights=npy("(" * 3000 + ")" * 3000)),
    "header longer than the file": archive(log_weights=npy()[:8] + b"\xff\xff" + npy()[10:]),
    "array of a petabyte": archive(log_weights=npy(shape="(2**50,)".replace("2**50", str(2**50)))),
    "array whose size overflows": archive(log_weights=npy(shape=f"({2**62}, 4)")),
    "negative size": archive(log_weights=npy(shape="(-2,)")),
    "size that is a string": archive(log_weights=npy(shape="('2',)")),
    "Fortran order": archive(log_weights=npy(shape="(2, 1)", order="True")),
    "unknown version of the .npy format": archive(log_weights=npy(version=b"\x09\x00")),
    "twice the allowed bytes, compressed": archive(log_weights=npy(shape=f"({2**25},)", data=bytes(2**27))),
    "twice the allowed bytes with a false size": with_false_size(archive(log_weights=npy(data=bytes(2**27)))),
    "a thousand arrays": archive(**{f"a{index}": npy() for index in range(1000)}),
    "encrypted archive": encrypted(archive(log_weights=npy())),
    "arrays of unknown names": archive(weights=npy()),
    "log_weights of integers": archive(log_weights=npy("'<i8'", "(1,)"), mean=npy(), log_var=npy()),
    "no components": archive(
        log_weights=npy(shape="(0,)", data=b""),
        mean=npy(shape="(0, 20)", data=b""),
        log_var=npy(shape="(0, 20)", data=b""),
    ),
    "NaN": archive(
        log_weights=npy(shape="(1,)", data=struct.pack("<f", float("nan"))),
        mean=npy(shape="(1, 20)", data=bytes(80)),
        log_var=npy(shape="(1, 20)", data=bytes(80)),
    ),
    "decreasing cumulative weights": mixture(cumulative=(2**53, 2**52)),
    "negative cumulative weights": mixture(cumulative=(-1, 2**53)),
    "cumulative weights whose differences overflow": mixture(cumulative=(2**63 - 1, -(2**63))),
    "cumulative weights with too small a sum": mixture(cumulative=(0, 2**53 - 1)),
    "cumulative weights with too large a value": mixture(cumulative=(2**60, 2**53)),
    "more cumulative weights than components": mixture(cumulative=(0, 1, 2**53)),
    "cumulative weights of floating-point type": mixture(kinds=("'<f4'", "'<f4'"), cumulative=(2**53,)),
    "standard deviations of zero": mixture(std=bytes(160)),
    "negative standard deviations": mixture(std=struct.pack("<40f", *[-1] * 40)),
    "standard deviations that are too large": mixture(std=struct.pack("<40f", *[1e38] * 40)),
    "standard deviations of NaN": mixture(std=struct.pack("<40f", *[float("nan")] * 40)),
    "means that are too large": mixture(mean=struct.pack("<40f", *[1e38] * 40)),
    "mixture without standard deviations": archive(mean=npy(shape="(1, 20)", data=bytes(80))),
    "variances that are too large": archive(
        log_weights=npy(shape="(1,)", data=bytes(4)),
        mean=npy(shape="(1, 20)", data=bytes(80)),
        log_var=npy(shape="(1, 20)", data=struct.pack("<20f", *[1e30] * 20)),
    ),
}
