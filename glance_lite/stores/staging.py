# SPDX-License-Identifier: Apache-2.0
"""The staging area: a private directory with an id, where data waits between coming and storing.

Hosts that see the same directory read the same id from it, so the job board knows which conductor
can reach which staged file. Each file belongs to one attempt: ``<image id>.<attempt>``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import uuid
from collections.abc import Callable

from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.stores import files

_ID_FILE = '.area-id'
_ID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')
_NAME = re.compile(r'[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)+')


@dataclasses.dataclass(frozen=True)
class StagedFile:
    """A staged file as it is found: bytes, and seconds since it was last touched."""

    name: str
    size: int
    age_seconds: float

    @property
    def image_id(self) -> str:
        """The image that it was named after."""
        return self.name.partition('.')[0]


class StagingArea:
    """A directory for staged files."""

    def __init__(self, directory: str, option: str = 'node_staging_uri') -> None:
        """Make the directory if need be and read, or give, its id.

        :raises ConfigError: the directory cannot be used.
        """
        self.directory = files.private_directory(directory, option)
        self.area_id = self._read_or_make_id()

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> StagingArea:
        """Open the area that the configuration names."""
        directory = conf.os_glance_staging_store.filesystem_store_datadir
        if directory:
            option = '[os_glance_staging_store] filesystem_store_datadir'
            return cls(os.path.normpath(directory), option)
        option = '[DEFAULT] node_staging_uri'
        return cls(files.path_of(conf.node_staging_uri, option), option)

    def path(self, file_name: str) -> str:
        """Return the path of a staged file; the name is checked, the file need not exist."""
        if not _NAME.fullmatch(file_name):
            raise exceptions.StoreDataNotFound('The staged data has no such name.')
        return os.path.join(self.directory, file_name)

    def create(self, file_name: str) -> int:
        """Create a staged file, in place of an older one of this name; return its descriptor.

        :raises StoreFull: there is no space left.
        """
        path = self.path(file_name)
        try:
            files.remove(path)
            return files.create(path)
        except OSError as error:
            raise files.as_store_error(error) from error

    def remove(self, file_name: str) -> bool:
        """Remove a staged file, or a directory that a plugin left; False if there was none."""
        path = self.path(file_name)
        try:
            return files.remove(path)
        except IsADirectoryError:
            shutil.rmtree(path)
            return True

    def remove_all(self, image_id: str, confirm: Callable[[], object] | None = None) -> None:
        """Remove every staged file of an image, of whichever attempt.

        :param confirm: called when it is known what will be removed, and nothing is yet; raises
            if the caller has no right to remove it any more. Files that others make since stay,
            however long the caller was held up.
        """
        names = self.list_files(image_id)
        if confirm is not None:
            confirm()
        for name in names:
            self.remove(name)

    def list_files(self, image_id: str | None = None) -> list[str]:
        """Return the names of staged files, of one image or of all."""
        with os.scandir(self.directory) as entries:
            names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        return [name for name in names if image_id is None or name.startswith(image_id + '.')]

    def look(self) -> list[StagedFile]:
        """Return all staged files with their sizes and ages, by the clock of the file system."""
        now = files.now(self.directory)
        found = []
        for name in self.list_files():
            try:
                info = os.stat(self.path(name), follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append(StagedFile(name, info.st_size, max(0.0, now - info.st_ctime)))
        return found

    def contains(self, path: str) -> bool:
        """Tell whether a path, its links resolved, lies in this area."""
        return os.path.dirname(os.path.realpath(path)) == os.path.realpath(self.directory)

    def _read_or_make_id(self) -> str:
        path = os.path.join(self.directory, _ID_FILE)
        try:
            if not os.path.exists(path):
                self._make_id(path)
            with open(path, encoding='ascii') as file:
                area_id = file.read(64).strip()
        except OSError as error:
            raise exceptions.ConfigError(
                f'The staging directory {self.directory} cannot be used: {error.strerror}.'
            ) from error
        if not _ID.fullmatch(area_id):
            raise exceptions.ConfigError(f'{path} does not hold an id; remove it.')
        return area_id

    @staticmethod
    def _make_id(path: str) -> None:
        mine = f'{path}.{uuid.uuid4()}'
        fd = files.create(mine)
        try:
            os.write(fd, str(uuid.uuid4()).encode())
            os.link(mine, path)  # the first of several starting hosts wins
        except FileExistsError:
            pass
        finally:
            os.close(fd)
            files.remove(mine)


def seal(fd: int) -> int:
    """Give a complete staged file a time that tells later whether it was written to since.

    A whole second, as file systems differ in what else they keep. Returns it in nanoseconds.
    """
    mtime_ns = os.fstat(fd).st_mtime_ns // 1_000_000_000 * 1_000_000_000
    os.utime(fd, ns=(mtime_ns, mtime_ns))
    return mtime_ns


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register ``[os_glance_staging_store]`` on ``conf``."""
    conf.register_opts(OPTS, group='os_glance_staging_store')


OPTS = [
    cfg.StrOpt(
        'filesystem_store_datadir',
        help='Directory of staged data. Set, it comes before node_staging_uri.',
    ),
]
