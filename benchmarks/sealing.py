"""How fast sealed files are written and opened, behind the derivation of the key, against the cipher alone.

    python benchmarks/sealing.py [--megabytes 256] [--rounds 7]

Processor time of one thread, ways in turn. "to nothing" drops what is sealed, "from memory" opens bytes that are there.
`openssl speed` is a program of its own; it is left out where it is missing.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from timing import in_turn, machine, table

from taolite.artifacts.bundle import Bundle, read_bundle, write_bundle
from taolite.artifacts.container import CHUNK_SIZE, KdfCost, seal, unseal
from taolite.artifacts.keys import Key
from taolite.preprocessing import Preprocessing

KEY, CHEAP = Key("tlt_encode"), KdfCost(8, 1, 1)  # the key is derived in no time


class Nothing(io.BytesIO):
    def write(self, data: object, /) -> int:
        return len(memoryview(data))  # type: ignore[arg-type]


def openssl() -> str:
    """What `openssl speed` says of AES-256-GCM in blocks of a chunk's size."""
    program = shutil.which("openssl")
    if program is None:
        return "skipped: openssl is not installed"
    command = [program, "speed", "-evp", "aes-256-gcm", "-bytes", str(CHUNK_SIZE), "-seconds", "2"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rates = re.findall(r"AES-256-GCM\s+([\d.]+)k", text)
    return f"{float(rates[-1]) * 1e3 / 1e9:.1f}" if rates else "skipped: openssl said nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    size = options.megabytes << 20
    payload, cipher, nonce = os.urandom(1 << 20) * options.megabytes, AESGCM(bytes(32)), bytes(12)
    view, kept = memoryview(payload), bytearray(CHUNK_SIZE + 16)
    opened = io.BytesIO()
    seal(opened, payload, kind="bundle", key=KEY, cost=CHEAP)
    sealed = opened.getvalue()
    chunk = cipher.encrypt(nonce, payload[:CHUNK_SIZE], None)
    weights = {f"w{at}": values for at, values in enumerate(np.split(np.frombuffer(payload, np.float32), 8))}
    bundle = Bundle("detectnet", {}, ("cat",), Preprocessing((32, 32)), weights)
    with TemporaryDirectory() as folder:
        path, plain = Path(folder) / "a", Path(folder) / "b"

        def to_file() -> None:
            with path.open("wb") as stream:
                seal(stream, payload, kind="bundle", key=KEY, cost=CHEAP)

        def plain_file() -> None:
            with plain.open("wb") as stream:
                for start in range(0, size, CHUNK_SIZE):
                    stream.write(view[start : start + CHUNK_SIZE])

        def from_file() -> None:
            with path.open("rb") as stream:
                unseal(stream, key=KEY, where="a")

        def into_kept() -> None:
            for start in range(0, size, CHUNK_SIZE):
                cipher.encrypt_into(nonce, view[start : start + CHUNK_SIZE], None, kept)

        def from_kept() -> None:
            for _ in range(0, size, CHUNK_SIZE):
                cipher.decrypt_into(nonce, chunk, None, memoryview(kept)[:CHUNK_SIZE])

        ways: dict[str, Callable[[], object]] = {
            "seal, to nothing": lambda: seal(Nothing(), payload, kind="bundle", key=KEY, cost=CHEAP),
            "seal, to a file": to_file,
            "the same bytes unsealed, to a file": plain_file,
            "open, from memory": lambda: unseal(sealed, key=KEY, where="a"),
            "open, from a file": from_file,
            "a whole model written (`write_bundle`, with the flush to the disk)": lambda: write_bundle(
                Path(folder) / "m.tlt", bundle, key=KEY, cost=CHEAP
            ),
            "a whole model read (`read_bundle`)": lambda: read_bundle(Path(folder) / "m.tlt", key=KEY),
        }
        rows = []
        if hasattr(cipher, "encrypt_into"):
            ways["`AESGCM.encrypt_into` a kept buffer"] = into_kept
            ways["`AESGCM.decrypt_into` a kept buffer"] = from_kept
        else:
            rows = [["`AESGCM.encrypt_into` a kept buffer", "skipped: of cryptography 47"]]
        taken = in_turn(ways, options.rounds, clock=time.process_time)
    print(f"{machine('cryptography', 'safetensors')}\n")
    rows = [*([name, f"{size / median(taken[name]) / 1e9:.1f}"] for name in ways), *rows]
    print(
        table([f"{options.megabytes} MiB, GB a second of processor time", ""], [*rows, ["`openssl speed`", openssl()]])
    )


if __name__ == "__main__":
    main()
