# SPDX-License-Identifier: Apache-2.0
"""Guess the disk format: of a file by its content, of a URL by its extension.

A guess is a convenience for the user. The service inspects the content itself and has the word.
"""

from __future__ import annotations

import posixpath
import urllib.parse
from pathlib import Path

from oslo_utils.imageutils import format_inspector

_BY_EXTENSION = {
    '.qcow2': 'qcow2',
    '.raw': 'raw',
    '.vmdk': 'vmdk',
    '.vdi': 'vdi',
    '.vhd': 'vhd',
    '.vhdx': 'vhdx',
    '.iso': 'iso',
}

#: Every header that is looked for lies within these bytes at the start of a file.
_HEAD_BYTES = 2 * 1024 * 1024

#: A partition table alone says that the file is a plain disk.
_PLAIN_DISKS = ('raw', 'gpt')


def of_url(url: str) -> str | None:
    """Return the disk format that the extension of a URL's path names, or None."""
    path = urllib.parse.urlsplit(url).path
    return _BY_EXTENSION.get(posixpath.splitext(path)[1].lower())


def of_file(path: Path) -> str | None:
    """Return the disk format of a file's content, or None if it is not one that images have.

    What has no known header is ``raw``. An ISO that can be written to a disk as well is ``iso``;
    of any other mixture the extension decides.

    :raises OSError: if the file cannot be read.
    """
    found = _found_in(path)
    if len(found) > 1:
        return _BY_EXTENSION.get(path.suffix.lower())
    name = found.pop() if found else 'raw'
    return name if name in _BY_EXTENSION.values() else None


def _found_in(path: Path) -> set[str]:
    """Return the names of the formats whose headers the start of the file has."""
    with open(path, 'rb') as source:
        inspected = format_inspector.InspectWrapper(source)
        left = _HEAD_BYTES
        while left > 0:
            chunk = inspected.read(min(64 * 1024, left))
            if not chunk:
                break
            left -= len(chunk)
        inspected.close()
        names = {str(inspector) for inspector in inspected.formats or ()}
    return {name for name in names if name not in _PLAIN_DISKS}
