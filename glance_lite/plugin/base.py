# SPDX-License-Identifier: Apache-2.0
"""What the author of an import plugin subclasses, and what is handed to it.

How plugins are found, ordered and checked is ``loader.py``; the TaskFlow step around a subclass is
``step.py``.
"""

from __future__ import annotations

import dataclasses
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, ClassVar, NoReturn

from oslo_config import cfg
from oslo_utils.imageutils import format_inspector

from glance_lite import exceptions

#: Bytes that :meth:`StagedData.chunks` gives at once.
CHUNK_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Importer:
    """Who asked for the import. Roles are lower-cased."""

    user_id: str | None
    project_id: str | None
    roles: tuple[str, ...]
    is_admin: bool


@dataclasses.dataclass(frozen=True)
class ImageSnapshot:
    """The image as it is when the plugin runs; it cannot be changed.

    ``size`` and ``virtual_size`` are bytes, ``min_disk`` GB, ``min_ram`` MB. ``properties`` holds
    the custom properties without those of the service (``os_glance*``).
    """

    image_id: str
    name: str | None
    owner: str | None
    visibility: str
    size: int | None
    virtual_size: int | None
    disk_format: str | None
    container_format: str | None
    min_disk: int
    min_ram: int
    tags: tuple[str, ...]
    properties: Mapping[str, str]
    importer: Importer


@dataclasses.dataclass(frozen=True)
class ImageChanges:
    """What a plugin wants changed. What is None, or not named, stays.

    :param properties: custom properties to set; a value of None removes one. The service's own
        names (``os_glance*``) are dropped with a line in the log.
    :param virtual_size: bytes.
    :param min_disk: GB. :param min_ram: MB.
    :param file_path: path of new data, in place of the staged data, made at
        :meth:`StagedData.new_path`. Only for a plugin that has ``transforms = True``. The image's
        size follows by itself.
    :param note: a sentence for the receipt of the plugin, which the owner of the image reads.
    """

    properties: Mapping[str, str | None] = dataclasses.field(
        default_factory=lambda: types.MappingProxyType({})
    )
    disk_format: str | None = None
    container_format: str | None = None
    virtual_size: int | None = None
    min_disk: int | None = None
    min_ram: int | None = None
    file_path: str | None = None
    note: str | None = None


class StagedData:
    """The staged bytes of the image that is being imported."""

    def __init__(
        self,
        path: str,
        new_path: str,
        advance: Callable[[int], None],
        expect: Callable[[int], None] = lambda total: None,
    ) -> None:
        self._path = path
        self._new_path = new_path
        self._advance = advance
        self._expect = expect

    @property
    def path(self) -> str:
        """Path of the file. Read it; do not write to it, move or remove it."""
        return self._path

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return os.stat(self._path).st_size

    def open(self) -> BinaryIO:
        """Open the file for reading."""
        return open(self._path, 'rb')

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Give the bytes in order, reporting progress and minding a cancellation.

        :raises ImportCancelled: the import was cancelled.
        """
        with self.open() as file:
            while chunk := file.read(chunk_bytes):
                yield chunk
                self.progress(len(chunk))

    def detect_format(self) -> str:
        """Return the format that the content shows, ``raw`` when it shows none.

        :raises ImageRejected: the content is of several formats at once.
        """
        try:
            found = format_inspector.detect_file_format(self._path)
        except format_inspector.ImageFormatError as error:
            raise exceptions.ImageRejected('The content is of several formats at once.') from error
        return 'raw' if found is None else str(found)

    def new_path(self) -> str:
        """Return where a plugin that transforms writes its new data.

        The name belongs to this plugin and this import. A file there is removed when the import
        fails, and before the plugin runs.
        """
        return self._new_path

    def expect(self, total: int) -> None:
        """Tell how many bytes :meth:`progress` will report; the owner then sees a percentage."""
        self._expect(total)

    def progress(self, count: int) -> None:
        """Report ``count`` more bytes as done; the owner sees the sum.

        :raises ImportCancelled: the import was cancelled.
        """
        self._advance(count)

    def check_cancelled(self) -> None:
        """Stop a long piece of work when nobody wants it any more.

        :raises ImportCancelled: the import was cancelled.
        """
        self._advance(0)


class ImportPlugin:
    """Base of an import plugin. The entry point is ``package.module:MyPlugin.get_flow``.

    Each import gets an object of its own, made in the process that runs it. After a crash another
    process goes on with a new one, which may run ``execute`` again: whatever ``execute`` does
    outside the image must bear repetition, and ``revert`` cannot rely on what ``execute`` left on
    ``self``.
    """

    #: Name of the plugin, that of its entry point.
    name: ClassVar[str] = ''
    #: Whether the plugin may put new data in place of the staged data.
    transforms: ClassVar[bool] = False
    #: Names of plugins that must run before this one where they are enabled too.
    runs_after: ClassVar[tuple[str, ...]] = ()

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Keep the configuration, as ``self.conf``.

        A subclass that checks its options here and raises ``ValueError`` or ``ConfigError`` stops
        the start of the service with that sentence.
        """
        self.conf = conf

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options as ``(group, options)``; they are registered before the start."""
        return []

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Look at the image and its staged data; return the changes it wants, if any.

        :raises ImageRejected: through :func:`reject`: the content is refused and removed. Any other
            exception fails the import too, but keeps the data for another try.
        """
        raise NotImplementedError(f'{type(self).__name__}.execute')

    def revert(self, image: ImageSnapshot, staged: StagedData) -> None:
        """Undo what ``execute`` did outside the image, after it or a later step failed.

        It may be called twice, or after an ``execute`` that failed or was cut short. The service
        itself removes new data and sets the image to its state after a failure.
        """
        return None

    @classmethod
    def get_flow(cls, **kwargs: Any) -> Any:
        """Return the TaskFlow flow around this plugin, as the service asks for it.

        ``conf`` and the keywords that plugins written for Glance get are used; do not override.
        """
        from glance_lite.plugin import step

        return step.make_flow(cls, **kwargs)


def reject(sentence: str) -> NoReturn:
    """Refuse the image; ``sentence`` tells its owner why."""
    raise exceptions.ImageRejected(sentence)
