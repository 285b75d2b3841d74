"""The Xet store of the Hub for tests: a folder that the client writes and reads. 测试用 Xet 存储。

hf_xet takes `local:///folder` for the address of a store (CAS) and then needs no server. What the
server has to know is which Xet hash stands for which SHA-256; the client leaves that in shards.
Source of their layout: https://huggingface.co/docs/xet/shard
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HEADER_BYTES = 48
RECORD_BYTES = 48  # of every record in the file section
HASH_BYTES = 32
END_OF_FILES = b"\xff" * HASH_BYTES
HAS_CHECKSUMS, HAS_SHA256 = 1 << 31, 1 << 30  # flags: one record per segment, one per file
TOKEN_SECONDS = 3600


def hash_text(raw: bytes) -> str:
    """A hash as Xet writes it: four little-endian 64-bit words in hexadecimal. 哈希文本。"""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def files_in_shard(shard: bytes) -> Iterator[tuple[str, str]]:
    """SHA-256 and Xet hash of each file that a shard describes. 分片中的文件。"""
    place = HEADER_BYTES
    while (file_hash := shard[place : place + HASH_BYTES]) != END_OF_FILES:
        flags, n_segments = struct.unpack_from("<2I", shard, place + HASH_BYTES)
        n_records = 1 + n_segments * (2 if flags & HAS_CHECKSUMS else 1)
        place += n_records * RECORD_BYTES
        if flags & HAS_SHA256:
            yield hash_text(shard[place : place + HASH_BYTES]), hash_text(file_hash)
            place += RECORD_BYTES


class XetStore:
    """What clients have put into a folder by Xet. Xet 存储。"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hashes: dict[str, str] = {}  # SHA-256 -> Xet hash of what has been committed

    def headers(self) -> dict[str, str]:
        """What a client needs to know to use the store. 访问信息。"""
        return {
            "X-Xet-Cas-Url": f"local://{self.folder}",
            "X-Xet-Access-Token": "xet-token",
            "X-Xet-Token-Expiration": str(int(time.time()) + TOKEN_SECONDS),
        }

    def take(self, sha256: str, n_bytes: int) -> bytes | None:
        """The bytes that a client has stored, or None; from now on the hash is known. 取出文件。"""
        for path in self.folder.rglob("shards/*.mdb"):
            file_hash = dict(files_in_shard(path.read_bytes())).get(sha256)
            if file_hash is not None:
                content = self._read(file_hash, n_bytes)
                assert hashlib.sha256(content).hexdigest() == sha256, "the store is broken"
                self.hashes[sha256] = file_hash
                return content
        return None

    def _read(self, file_hash: str, n_bytes: int) -> bytes:
        """Read from a copy: the client may still hold the lock of the store's index."""
        import hf_xet  # only here, so that the server runs without it

        with tempfile.TemporaryDirectory() as folder:
            store, target = Path(folder) / "store", Path(folder) / "file"
            shutil.copytree(self.folder, store)
            with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{store}") as group:
                group.start_download_file(hf_xet.XetFileInfo(file_hash, n_bytes), str(target))
            return target.read_bytes()
