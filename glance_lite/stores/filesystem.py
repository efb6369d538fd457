# SPDX-License-Identifier: Apache-2.0
"""A store of files in a directory: one file for each attempt, ``<image id>.<attempt>``."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.stores import base, files

_PART = '.part'
#: Image id and attempt, with :data:`_PART` while it is being written.
_NAME = re.compile(r'([^.]+)\.[^.]+(\.part)?')


class FileStore(base.Store):
    """Image data in files below ``filesystem_store_datadir``."""

    def __init__(self, store_id: str, conf: cfg.ConfigOpts, group: str) -> None:
        super().__init__(store_id, conf, group)
        self.directory = files.private_directory(
            os.path.normpath(conf[group].filesystem_store_datadir),
            f'[{group}] filesystem_store_datadir',
        )
        self._file_mode = conf[group].filesystem_store_file_perm

    @classmethod
    def list_opts(cls) -> list[cfg.Opt]:
        """Return the options, named as in Glance's file store."""
        return [
            cfg.StrOpt(
                'filesystem_store_datadir',
                default='/var/lib/glance-lite/images',
                help='Directory of the image files. Made if missing, readable for this user only.',
            ),
            cfg.IntOpt(
                'filesystem_store_file_perm',
                default=0,
                help='Permission bits of image files, as a decimal number; 0 keeps them private.',
            ),
            cfg.StrOpt('store_description', help='What the users see of the store beside its id.'),
            cfg.IntOpt('weight', default=0, help='Stores of more weight are read from first.'),
        ]

    def properties(self) -> dict[str, Any]:
        return {
            'data_dir': self.directory,
            'chunk_size': base.CHUNK_BYTES,
            'thin_provisioning': False,
        }

    def open_writer(self, image_id: str, attempt: str, size: int | None = None) -> base.StoreWriter:
        if size is not None:
            self._require_space(size)
        return _FileWriter(self, os.path.join(self.directory, f'{image_id}.{attempt}'))

    def open_reader(self, url: str, offset: int = 0, length: int | None = None) -> base.StoreReader:
        return _FileReader(self._path(url), offset, length)

    def put_file(
        self, path: str, image_id: str, attempt: str, advance: Callable[[int], None]
    ) -> base.Stored:
        """Link the file, or copy it when it is on another file system."""
        target = os.path.join(self.directory, f'{image_id}.{attempt}')
        part = target + _PART
        try:
            files.remove(target)
            files.remove(part)
            size = files.copy_or_link(path, part, advance)
            return self.publish(part, target, size)
        except OSError as error:
            raise files.as_store_error(error) from error

    def publish(self, part: str, target: str, size: int) -> base.Stored:
        """Give a complete file its name."""
        if self._file_mode:
            os.chmod(part, self._file_mode)
        os.rename(part, target)
        return base.Stored(url=_url(target), size=size)

    def size(self, url: str) -> int:
        try:
            return os.stat(self._path(url)).st_size
        except FileNotFoundError as error:
            raise _missing() from error
        except OSError as error:
            raise files.as_store_error(error) from error

    def delete(self, url: str) -> None:
        try:
            if files.remove(self._path(url)):
                return
            os.stat(self.directory)  # a store that is away has not lost its data
        except OSError as error:
            raise files.as_store_error(error) from error
        raise _missing()

    def list_data(self, image_id: str | None = None) -> Iterator[base.StoredData]:
        try:
            now = files.now(self.directory)
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if image_id is not None and not entry.name.startswith(image_id + '.'):
                        continue
                    found = _NAME.fullmatch(entry.name)
                    owner = found[1] if found else None
                    if image_id not in (None, owner):
                        continue
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(info.st_mode):
                        yield base.StoredData(
                            _url(entry.path), owner, info.st_size, max(0.0, now - info.st_ctime)
                        )
        except OSError as error:
            raise files.as_store_error(error) from error

    def _path(self, url: str) -> str:
        parts = urllib.parse.urlsplit(url)
        path = os.path.normpath(urllib.parse.unquote(parts.path))
        # a location is data of the database: never let one lead out of the directory
        if parts.scheme != 'file' or os.path.dirname(path) != self.directory:
            raise _missing()
        return path

    def _require_space(self, size: int) -> None:
        try:
            usage = os.statvfs(self.directory)
        except OSError as error:
            raise files.as_store_error(error) from error
        if usage.f_bavail * usage.f_frsize < size:
            raise exceptions.StoreFull('There is no space left for the image data.')


def _url(path: str) -> str:
    return 'file://' + urllib.parse.quote(path)


def _missing() -> exceptions.StoreDataNotFound:
    return exceptions.StoreDataNotFound('The store has no data for this image.')


class _FileWriter(base.StoreWriter):
    def __init__(self, store: FileStore, target: str) -> None:
        self._store = store
        self._target = target
        self._part = target + _PART
        self._size = 0
        try:
            files.remove(self._part)
            self._fd = files.create(self._part)
        except OSError as error:
            raise files.as_store_error(error) from error

    def write(self, data: memoryview) -> None:
        files.write_all(self._fd, data)
        self._size += len(data)

    def commit(self) -> base.Stored:
        try:
            os.close(self._fd)
            return self._store.publish(self._part, self._target, self._size)
        except OSError as error:
            with contextlib.suppress(OSError):
                files.remove(self._part)
            raise files.as_store_error(error) from error

    def abort(self) -> None:
        for end in (lambda: os.close(self._fd), lambda: files.remove(self._part)):
            try:
                end()
            except OSError:
                pass


class _FileReader(base.StoreReader):
    def __init__(self, path: str, offset: int, length: int | None) -> None:
        try:
            self._file = open(path, 'rb', buffering=0)  # noqa: SIM115 - open until close()
        except FileNotFoundError as error:
            raise _missing() from error
        except OSError as error:
            raise files.as_store_error(error) from error
        rest = max(0, os.fstat(self._file.fileno()).st_size - offset)
        self.length = rest if length is None else min(length, rest)
        self._left = self.length
        self._file.seek(offset)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        view = memoryview(buffer)[: self._left]
        count = self._file.readinto(view) or 0
        self._left -= count
        return count

    def open_file(self) -> BinaryIO | None:
        return self._file if isinstance(self._file, io.FileIO) else None

    def close(self) -> None:
        self._file.close()
