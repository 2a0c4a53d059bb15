"""Mutated files; a mutant is a function of its seed and its number."""

import io
import struct
import zipfile
import zlib

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"


def mutant(seed: bytes, number: int) -> bytes:
    """A seed after one to six accidents.

    Checksums hide from accidents what reads the content. So in half of the archives (torch's weights) and PNG pictures
    all of them fall into one member or chunk, whose checksum fits afterwards.
    """
    rng = np.random.default_rng(number)
    if rng.random() < 0.5:
        return damaged(seed, rng)
    if seed.startswith(PNG):
        return _in_chunk(seed, rng)
    return _in_member(seed, rng) if zipfile.is_zipfile(io.BytesIO(seed)) else damaged(seed, rng)


def _in_member(seed: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(seed)) as archive, zipfile.ZipFile(target := io.BytesIO(), "w") as repacked:
        names = archive.namelist()
        pickled = [name for name in names if name.endswith("data.pkl")] if rng.random() < 0.7 else []
        hit = rng.choice(pickled or names)
        for name in names:
            content = archive.read(name)
            repacked.writestr(name, damaged(content, rng) if name == hit else content)
    return target.getvalue()


def _in_chunk(seed: bytes, rng: np.random.Generator) -> bytes:
    chunks, place = [], len(PNG)
    while place + 12 <= len(seed):
        size, kind = struct.unpack_from(">I4s", seed, place)
        chunks.append((kind, seed[place + 8 : place + 8 + size]))
        place += size + 12
    if not chunks:
        return damaged(seed, rng)
    hit = int(rng.integers(len(chunks)))
    chunks[hit] = chunks[hit][0], damaged(chunks[hit][1], rng)
    if rng.random() < 0.2:
        chunks.insert(int(rng.integers(len(chunks))), chunks[hit])
    return PNG + b"".join(
        struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes after one to six accidents: flipped, cut out, repeated, filled, or cut off."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 7)):
        if not data:
            break
        start = int(rng.integers(len(data)) if rng.random() < 0.5 else rng.integers(min(len(data), 512)))
        length = int(rng.integers(1, 17))
        match rng.integers(5):
            case 0:
                data[start] ^= 1 << int(rng.integers(8))
            case 1:
                del data[start : start + length]
            case 2:
                data[start:start] = data[start : start + length]
            case 3:
                data[start : start + length] = bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * length
            case _:
                del data[int(rng.integers(len(data) // 2, len(data))) :]
    return bytes(data)
