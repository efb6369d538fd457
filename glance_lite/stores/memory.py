# SPDX-License-Identifier: Apache-2.0
"""A store in the memory of one process, for tests and for trying plugins."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.stores import base


class MemoryStore(base.Store):
    """Image data in a dictionary; gone with the process."""

    def __init__(self, store_id: str, conf: cfg.ConfigOpts, group: str) -> None:
        super().__init__(store_id, conf, group)
        self._capacity = conf[group].memory_store_capacity
        self._lock = threading.Lock()
        self.data: dict[str, bytes] = {}
        self._since: dict[str, float] = {}

    @classmethod
    def list_opts(cls) -> list[cfg.Opt]:
        """Return the options."""
        return [
            cfg.IntOpt(
                'memory_store_capacity', default=1 << 28, min=0, help='Bytes that fit in at most.'
            ),
            cfg.StrOpt('store_description', help='What the users see of the store beside its id.'),
            cfg.IntOpt('weight', default=0, help='Stores of more weight are read from first.'),
        ]

    def open_writer(self, image_id: str, attempt: str, size: int | None = None) -> base.StoreWriter:
        if size is not None:
            self._require_space(size)
        return _MemoryWriter(self, f'memory://{self.store_id}/{image_id}.{attempt}')

    def open_reader(self, url: str, offset: int = 0, length: int | None = None) -> base.StoreReader:
        data = self._find(url)[offset:]
        return _MemoryReader(data if length is None else data[:length])

    def size(self, url: str) -> int:
        return len(self._find(url))

    def delete(self, url: str) -> None:
        self._find(url)
        with self._lock:
            self.data.pop(url, None)
            self._since.pop(url, None)

    def list_data(self, image_id: str | None = None) -> Iterator[base.StoredData]:
        start = f'memory://{self.store_id}/'
        with self._lock:
            found = [(url, len(data), self._since[url]) for url, data in self.data.items()]
        for url, size, since in found:
            owner = url.removeprefix(start).partition('.')[0]
            if image_id in (None, owner):
                yield base.StoredData(url, owner, size, time.monotonic() - since)

    def keep(self, url: str, data: bytes) -> base.Stored:
        """Take complete data."""
        self._require_space(len(data))
        with self._lock:
            self._since[url] = time.monotonic()
            self.data[url] = data
        return base.Stored(url=url, size=len(data))

    def _require_space(self, size: int) -> None:
        with self._lock:
            if sum(map(len, self.data.values())) + size > self._capacity:
                raise exceptions.StoreFull('There is no space left for the image data.')

    def _find(self, url: str) -> bytes:
        with self._lock:
            if url not in self.data:
                raise exceptions.StoreDataNotFound('The store has no data for this image.')
            return self.data[url]


class _MemoryWriter(base.StoreWriter):
    def __init__(self, store: MemoryStore, url: str) -> None:
        self._store = store
        self._url = url
        self._data = bytearray()

    def write(self, data: memoryview) -> None:
        self._data += data

    def commit(self) -> base.Stored:
        return self._store.keep(self._url, bytes(self._data))

    def abort(self) -> None:
        self._data.clear()


class _MemoryReader(base.StoreReader):
    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.length = len(data)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        count = min(len(buffer), len(self._data))
        memoryview(buffer)[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def close(self) -> None:
        self._data = memoryview(b'')
