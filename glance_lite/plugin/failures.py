# SPDX-License-Identifier: Apache-2.0
"""Say what a failing plugin means, in a sentence that is safe to show to the image's owner.

A plugin's own message is shown, as its author wrote it for that; paths of the host and secrets in
URLs are taken out.
"""

from __future__ import annotations

import errno
import re
from typing import Any

from glance_lite import exceptions

#: Characters of a plugin's message that are kept.
MESSAGE_LENGTH = 1000

_USER_INFO = re.compile(r'(?<=://)[^\s/?#@]+@')
_QUERY = re.compile(r'(\w+://[^\s?#]*)[?#][^\s\'")>\]]*')
_FILE_URI = re.compile(r'file:/*[^\s\'",;)\]]*')
_PATH = re.compile(r'(?<![\w/:.<~])/(?:[\w.+~@=-]+/)*[\w.+~@=-]+/?')
_CONTROL = re.compile(r'[\x00-\x1f\x7f\s]+')


def from_exception(plugin: str, error: BaseException) -> exceptions.GlanceLiteError:
    """Return what an exception of a plugin means.

    A cancellation stays one; every other error becomes :class:`ImportFailed` naming the plugin.
    """
    if isinstance(error, exceptions.ImportCancelled):
        return error
    if isinstance(error, exceptions.ImageRejected):
        return _rejected(plugin, error.message)
    if isinstance(error, exceptions.StoreFull) or (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    ):
        return exceptions.ImportFailed(
            'no_space', f"Import plugin '{plugin}' found no space left for its data."
        )
    if isinstance(error, OSError) and error.strerror:
        # str() of it holds the path
        return _failed(plugin, error.strerror)
    return _failed(plugin, str(error) or type(error).__name__)


def from_failure(plugin: str, failure: Any) -> exceptions.GlanceLiteError:
    """Return what a TaskFlow ``Failure`` of a plugin's step means.

    The exception itself is gone when the failure was read back from the database; its class names
    and text are then used.
    """
    if failure.exception is not None:
        return from_exception(plugin, failure.exception)
    names = {str(name).rpartition('.')[2] for name in failure}
    if 'ImportCancelled' in names:
        return exceptions.ImportCancelled(failure.exception_str)
    if 'ImageRejected' in names:
        return _rejected(plugin, failure.exception_str)
    return _failed(plugin, failure.exception_str or next(iter(failure), 'unknown'))


def clean_message(text: str) -> str:
    """Make one line of a text and take out what an owner must not see."""
    text = _CONTROL.sub(' ', text).strip()
    text = _USER_INFO.sub('', text)
    text = _FILE_URI.sub('(file)', text)
    text = _QUERY.sub(r'\1', text)
    text = _PATH.sub('(file)', text)
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + '…'


def _rejected(plugin: str, message: str) -> exceptions.ImageRejected:
    return exceptions.ImageRejected(
        f"Import plugin '{plugin}' refused the image: {clean_message(message)}"
    )


def _failed(plugin: str, message: str) -> exceptions.ImportFailed:
    return exceptions.ImportFailed(
        'plugin_failed', f"Import plugin '{plugin}' failed: {clean_message(message)}"
    )
