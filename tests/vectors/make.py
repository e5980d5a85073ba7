#!/usr/bin/env python3
"""Writes keys.json: which partition a key belongs to, worked out by Python's hashlib.

The mapping from key to partition is a published contract (see README.md). These vectors come from
another language's MD5, so that no implementation of ours is its own judge. Standard library only;
the output depends on nothing but this file.

    make.py           writes keys.json beside this file
    make.py --check   fails if keys.json is not what this file writes
"""

import hashlib
import json
import pathlib
import sys

COUNTS = [1, 2, 7, 16, 64, 256, 1000, 65536]


def noise(seed: str, length: int) -> bytes:
    """Bytes of every value, the same on every machine."""
    return hashlib.shake_256(seed.encode()).digest(length)


def keys() -> list[bytes]:
    out: list[bytes] = [b""]
    # What applications use.
    out += [f"user:{n}".encode() for n in range(100)]
    out += [f"order/2024/{n * 7919}".encode() for n in range(100)]
    out += [f"{n}".encode() for n in range(50)]
    # Names that run together: the ancestor told "partition-1" + "0x" from "partition-10" + "x" by nothing.
    out += [b"partition-1", b"partition-10", b"partition-10x", b"partition-1 0x", b"0x", b"x"]
    # Text in UTF-8: composed and decomposed forms are different keys.
    words = ["é", "e\u0301", "Straße", "ключ", "鍵", "مفتاح", "🔑", "👩‍👩‍👧", "\u0000", "\ufeffkey", "a\nb", " "]
    out += [word.encode() for word in words]
    out += [f"{word}:{n}".encode() for n in range(5) for word in words]
    # Bytes that are no text: every single byte, then longer ones.
    out += [bytes([n]) for n in range(256)]
    out += [noise(f"binary-{n}", 1 + n) for n in range(64)]
    # Around the MD5 block and its padding.
    out += [b"k" * n for n in (54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129)]
    # Long.
    out += [b"L" * 10_000, noise("long", 10_000), ("ключ" * 1250).encode()]
    return list(dict.fromkeys(out))


def vector(key: bytes) -> dict:
    hashed = int.from_bytes(hashlib.md5(key).digest()[:4], "big")
    entry: dict = {"hex": key.hex()}
    try:
        text = key.decode()
        if len(key) <= 64:
            entry["text"] = text
    except UnicodeDecodeError:
        pass
    entry["hash"] = hashed
    entry["partitions"] = [hashed % count for count in COUNTS]
    return entry


def render() -> str:
    head = {
        "hash_config": {"algorithm": "md5", "encoding": "big_endian_uint32", "format": "partition-%d"},
        "partition_counts": COUNTS,
    }
    lines = ",\n".join("    " + json.dumps(vector(key), ensure_ascii=True) for key in keys())
    return json.dumps(head, indent=2)[:-2] + ',\n  "keys": [\n' + lines + "\n  ]\n}\n"


def main() -> int:
    path = pathlib.Path(__file__).with_name("keys.json")
    if sys.argv[1:] == ["--check"]:
        if path.read_text(encoding="ascii") != render():
            print(f"{path} is not what make.py writes", file=sys.stderr)
            return 1
        return 0
    path.write_text(render(), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
