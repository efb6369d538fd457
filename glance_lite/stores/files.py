# SPDX-License-Identifier: Apache-2.0
"""Files and directories as stores and staging use them: private, never followed, never shared.

Which file holds what is decided by the callers.
"""

from __future__ import annotations

import errno
import os
import stat
import urllib.parse
from collections.abc import Callable

from glance_lite import exceptions

#: Errors of the system that mean "no space".
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def path_of(uri: str, option: str) -> str:
    """Return the path of a ``file://`` URI of the configuration.

    :param option: the option's name, for the message.
    :raises ConfigError: it is not an absolute ``file://`` URI of this host.
    """
    parts = urllib.parse.urlsplit(uri)
    path = urllib.parse.unquote(parts.path)
    if parts.scheme != 'file' or parts.netloc not in ('', 'localhost') or len(path) < 2:
        raise exceptions.ConfigError(f'{option} must be a URI like file:///srv/x, not {uri!r}.')
    return os.path.normpath(path)


def private_directory(path: str, option: str) -> str:
    """Make sure that a directory exists that no other user can write to or redirect.

    :raises ConfigError: it cannot be made, or is a link, or others may write to it.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise exceptions.ConfigError(
            f'{option}: the directory {path} cannot be made: {error.strerror}.'
        ) from error
    if stat.S_ISLNK(found.st_mode):
        raise exceptions.ConfigError(f'{option}: {path} is a symbolic link; name its target.')
    if found.st_mode & stat.S_IWOTH:
        raise exceptions.ConfigError(
            f'{option}: any user may write to {path}; make it private (chmod 0700).'
        )
    if not os.access(path, os.W_OK | os.X_OK):
        raise exceptions.ConfigError(f'{option}: {path} is not writable for this user.')
    return path


def create(path: str) -> int:
    """Create a new file that only this user can read; return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def write_all(fd: int, data: memoryview) -> None:
    """Write all bytes.

    :raises StoreFull: the disk or a quota is full.
    :raises StoreError: the disk failed.
    """
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        raise as_store_error(error) from error


def as_store_error(error: OSError) -> exceptions.StoreError:
    """Turn an error of the system into ours, without the path in it."""
    if error.errno in NO_SPACE:
        return exceptions.StoreFull('There is no space left for the image data.')
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return exceptions.StoreError(f'The image data could not be reached or written: {reason}.')


def copy_or_link(source: str, target: str, advance: Callable[[int], None]) -> int:
    """Make ``target`` the data of ``source``: by a link, else by a copy inside the kernel.

    ``target`` must not exist; after an error it does not. Returns the size in bytes.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOENT):
            raise
    else:
        size = os.stat(target).st_size
        advance(size)
        return size
    return copy(source, target, advance)


def now(directory: str) -> float:
    """Return the time of a directory's file system, in seconds since 1970.

    A shared file system goes by its server's clock, which need not be that of this host.
    """
    os.utime(directory)
    return os.stat(directory).st_ctime


def remove(path: str) -> bool:
    """Remove a file; False if there was none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def copy(source: str, target: str, advance: Callable[[int], None]) -> int:
    """Make ``target``, a new file, a copy of ``source`` inside the kernel; return the size.

    After an error ``target`` does not exist.

    :raises StoreFull: there is no space left.
    """
    step = 64 * 1024 * 1024
    done = 0
    with open(source, 'rb', buffering=0) as src:
        size = os.fstat(src.fileno()).st_size
        fd = create(target)
        try:
            while done < size:
                try:
                    count = os.copy_file_range(src.fileno(), fd, min(step, size - done))
                except OSError as error:
                    if error.errno not in (
                        errno.EXDEV,
                        errno.EINVAL,
                        errno.EOPNOTSUPP,
                        errno.ENOSYS,
                    ):
                        raise as_store_error(error) from error
                    count = os.sendfile(fd, src.fileno(), None, min(step, size - done))
                if count == 0:
                    raise exceptions.StoreError('The staged data became shorter while copied.')
                done += count
                advance(count)
        except BaseException:
            os.close(fd)
            remove(target)
            raise
        os.close(fd)
    return size
