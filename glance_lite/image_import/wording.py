# SPDX-License-Identifier: Apache-2.0
"""How the words of plugins and libraries are made fit for the owner of an image."""

from __future__ import annotations

import os
import re

from glance_lite.remote.urls import mask_url

_URL = re.compile(r'https?://[^\s\'"<>]+')
_PATH = re.compile(r'(?<![\w.:/])(?:file://)?/(?:[\w.@+~-]+/)+[\w.@+~-]*')
#: Characters of a plugin's message that are shown at most.
_MESSAGE_LENGTH = 500


def safe(text: str) -> str:
    """Return a message without host paths and URL credentials, on one line, not too long."""
    text = _URL.sub(lambda match: mask_url(match.group()), ' '.join(text.split()))
    text = _PATH.sub(lambda match: os.path.basename(match.group().rstrip('/')) or 'a file', text)
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 3] + '...'
