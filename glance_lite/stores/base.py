# SPDX-License-Identifier: Apache-2.0
"""The contract of a store. A store moves bytes; it neither hashes nor inspects them.

The bytes of each attempt to store an image lie under a URL of their own, so that an attempt that
was left behind can never touch the data of a later one. What the contract leaves undefined: the
form of URLs and metadata, and whether bytes written but never committed can be seen from outside.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from oslo_config import cfg

from glance_lite import exceptions

#: Bytes moved at once where nothing else decides.
CHUNK_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where committed data rests."""

    url: str
    size: int
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class StoredData:
    """Data as a store lists it. ``age_seconds`` since it was last touched, by the store's clock.

    ``image_id`` is None for what this type of store did not name.
    """

    url: str
    image_id: str | None
    size: int
    age_seconds: float


class StoreWriter(abc.ABC):
    """Receives the bytes of one image in order. Exactly one of commit and abort ends it."""

    @abc.abstractmethod
    def write(self, data: memoryview) -> None:
        """Take the next bytes; the buffer may be reused after the call.

        :raises StoreFull: there is no space left.
        :raises StoreError: anything else went wrong.
        """

    @abc.abstractmethod
    def commit(self) -> Stored:
        """Keep what was written and tell where.

        :raises StoreError: it could not be kept, and was dropped.
        """

    @abc.abstractmethod
    def abort(self) -> None:
        """Drop what was written. Never raises."""


class StoreReader(abc.ABC):
    """Gives the bytes of a stored image, or of a range of it, in order."""

    #: Bytes that the reader will give in all.
    length: int
    #: Bytes of the whole data, where others may have changed it; None where only the store writes.
    total: int | None = None

    @abc.abstractmethod
    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the buffer from its start; return how many bytes, 0 at the end."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of what the reader holds. May be called twice."""

    def open_file(self) -> BinaryIO | None:
        """Return an ordinary file, positioned at the first byte, for ``sendfile``; None if none."""
        return None


class Store(abc.ABC):
    """One configured store. Methods may be called by many threads at once."""

    #: Whether :meth:`open_reader` takes an offset other than 0.
    can_seek: bool = True
    #: Whether data can only be read.
    read_only: bool = False
    #: Schemes of the URLs that callers may give for data which this store did not write.
    external_schemes: frozenset[str] = frozenset()

    def __init__(self, store_id: str, conf: cfg.ConfigOpts, group: str) -> None:
        """Read the options of ``group``, registered before from :meth:`list_opts`.

        :raises ConfigError: an option is missing or cannot be used.
        """
        self.store_id = store_id
        self.description: str = getattr(conf[group], 'store_description', None) or ''
        self.weight: int = getattr(conf[group], 'weight', None) or 0

    @classmethod
    @abc.abstractmethod
    def list_opts(cls) -> list[cfg.Opt]:
        """Return the options of this type of store, registered once for each store."""

    def check_url(self, url: str) -> None:
        """Raise unless data under a URL of :attr:`external_schemes` may be registered here.

        :raises InvalidRequest: saying why not.
        :raises ImportFailed: ``filtered_uri``.
        """
        raise exceptions.InvalidRequest(
            f'The store {self.store_id} takes no URLs of data that it did not write.'
        )

    def properties(self) -> dict[str, Any]:
        """Return what administrators see of the store in ``/v2/info/stores/detail``."""
        return {}

    def reconfigure(self, conf: cfg.ConfigOpts) -> None:  # noqa: B027 - most have nothing to do
        """Take what concerns the store of a configuration that was read again, if anything does."""

    @abc.abstractmethod
    def open_writer(self, image_id: str, attempt: str, size: int | None = None) -> StoreWriter:
        """Begin to store an image.

        :param attempt: a word that no other attempt for this image has.
        :param size: bytes to come, None if unknown.
        :raises StoreFull: there is no space for it.
        """

    @abc.abstractmethod
    def open_reader(self, url: str, offset: int = 0, length: int | None = None) -> StoreReader:
        """Open stored data from ``offset`` on, all of the rest or ``length`` bytes.

        :raises StoreDataNotFound: there is none under the URL.
        """

    @abc.abstractmethod
    def size(self, url: str) -> int:
        """Return the bytes stored under the URL.

        :raises StoreDataNotFound: there are none.
        """

    @abc.abstractmethod
    def delete(self, url: str) -> None:
        """Remove stored data.

        :raises StoreDataNotFound: there is none.
        """

    def list_data(self, image_id: str | None = None) -> Iterable[StoredData] | None:
        """Return all data in the store, or what attempts at one image left, committed or not.

        Each can be removed by :meth:`delete`. Data that comes or goes meanwhile may be missing.
        None means that the store cannot list: it then overrides :meth:`discard_attempts`, and what
        was forgotten in it is found by nobody.

        :raises StoreError: the store cannot be reached.
        """
        return None

    def discard_attempts(
        self, image_id: str, keep: str | None = None, confirm: Callable[[], object] | None = None
    ) -> None:
        """Remove whatever attempts at this image left, committed or not, but the URL ``keep``.

        :param confirm: called when it is known what will be removed, and nothing is yet; raises
            if the caller has no right to remove it any more. Data that others began to store since
            stays, however long the caller was held up.
        :raises StoreError: the store cannot be reached.
        """
        listed = self.list_data(image_id)
        if listed is None:
            raise NotImplementedError(f'{type(self).__name__} lists nothing and discards nothing')
        found = [data.url for data in listed if data.url != keep]
        if confirm is not None:
            confirm()
        for url in found:
            try:
                self.delete(url)
            except exceptions.StoreDataNotFound:
                pass

    def put_file(
        self,
        path: str,
        image_id: str,
        attempt: str,
        advance: Callable[[int], None],
    ) -> Stored:
        """Store a local file; ``advance`` is told the bytes done and may raise to stop.

        A store on the same file system links the file instead of copying it.
        """
        with open(path, 'rb', buffering=0) as source:
            writer = self.open_writer(image_id, attempt)
            buffer = memoryview(bytearray(CHUNK_BYTES))
            try:
                while count := source.readinto(buffer):
                    writer.write(buffer[:count])
                    advance(count)
                return writer.commit()
            except BaseException:
                writer.abort()
                raise
