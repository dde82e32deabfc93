"""Hostile archives of arrays, to stand in a bundle for the constants of its prior."""

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


def lying(content):
    """An archive whose directory says that its first member is small."""
    at = content.rindex(b"PK\x01\x02")
    return content[: at + 24] + struct.pack("<I", 100) + content[at + 28 :]


def encrypted(content):
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        content = content[:at] + b"\x01" + content[at + 1 :]
    return content


ONES = struct.pack("<40f", *[1] * 40)


def mixture(mean=bytes(160), std=ONES, cumulative=(2**52, 2**53), kinds=("'<f4'", "'<i8'")):
    """A prior of two components over 20 latents, as format 2 stores it."""
    return archive(
        mean=npy(kinds[0], "(2, 20)", mean),
        std=npy(kinds[0], "(2, 20)", std),
        cumulative=npy(kinds[1], f"({len(cumulative)},)", struct.pack(f"<{len(cumulative)}q", *cumulative)),
    )


ARCHIVES = {
    "no archive": b"nothing",
    "an archive cut short": archive(log_weights=npy())[:-30],
    "an array of objects": archive(log_weights=npy("'|O'", "(1,)", b"cos\nsystem\n(S'true'\ntR.")),
    "an array of records": archive(log_weights=npy("[('a', '<f4')]")),
    "a header that is code": archive(log_weights=npy("__import__('os').system('true')")),
    "a header nested deeply": archive(log_weights=npy("(" * 3000 + ")" * 3000)),
    "a header that never ends": archive(log_weights=npy()[:8] + b"\xff\xff" + npy()[10:]),
    "an array that says it is a petabyte": archive(log_weights=npy(shape="(2**50,)".replace("2**50", str(2**50)))),
    "an array whose size overflows": archive(log_weights=npy(shape=f"({2**62}, 4)")),
    "a size below zero": archive(log_weights=npy(shape="(-2,)")),
    "a size that is text": archive(log_weights=npy(shape="('2',)")),
    "an array in another order": archive(log_weights=npy(shape="(2, 1)", order="True")),
    "another version of the format": archive(log_weights=npy(version=b"\x09\x00")),
    "twice the allowed bytes, of zeros": archive(log_weights=npy(shape=f"({2**25},)", data=bytes(2**27))),
    "twice the allowed bytes, which say that they are few": lying(archive(log_weights=npy(data=bytes(2**27)))),
    "a thousand arrays": archive(**{f"a{index}": npy() for index in range(1000)}),
    "a secret": encrypted(archive(log_weights=npy())),
    "arrays of other names": archive(weights=npy()),
    "an array of whole numbers": archive(log_weights=npy("'<i8'", "(1,)"), mean=npy(), log_var=npy()),
    "no components": archive(
        log_weights=npy(shape="(0,)", data=b""),
        mean=npy(shape="(0, 20)", data=b""),
        log_var=npy(shape="(0, 20)", data=b""),
    ),
    "not a number": archive(
        log_weights=npy(shape="(1,)", data=struct.pack("<f", float("nan"))),
        mean=npy(shape="(1, 20)", data=bytes(80)),
        log_var=npy(shape="(1, 20)", data=bytes(80)),
    ),
    "cumulative weights that fall": mixture(cumulative=(2**53, 2**52)),
    "cumulative weights below zero": mixture(cumulative=(-1, 2**53)),
    "cumulative weights whose differences overflow": mixture(cumulative=(2**63 - 1, -(2**63))),
    "cumulative weights that end too early": mixture(cumulative=(0, 2**53 - 1)),
    "cumulative weights beyond the end": mixture(cumulative=(2**60, 2**53)),
    "more cumulative weights than components": mixture(cumulative=(0, 1, 2**53)),
    "cumulative weights of floating type": mixture(kinds=("'<f4'", "'<f4'"), cumulative=(2**53,)),
    "standard deviations of zero": mixture(std=bytes(160)),
    "standard deviations below zero": mixture(std=struct.pack("<40f", *[-1] * 40)),
    "standard deviations beyond all bounds": mixture(std=struct.pack("<40f", *[1e38] * 40)),
    "standard deviations that are not numbers": mixture(std=struct.pack("<40f", *[float("nan")] * 40)),
    "means beyond all bounds": mixture(mean=struct.pack("<40f", *[1e38] * 40)),
    "a mixture without standard deviations": archive(mean=npy(shape="(1, 20)", data=bytes(80))),
    "variances beyond float32": archive(
        log_weights=npy(shape="(1,)", data=bytes(4)),
        mean=npy(shape="(1, 20)", data=bytes(80)),
        log_var=npy(shape="(1, 20)", data=struct.pack("<20f", *[1e30] * 20)),
    ),
}
