# SPDX-License-Identifier: Apache-2.0
"""Recognise the format of image data while it passes, and what is unsafe about it.

The format inspectors are those of oslo.utils. Nothing here opens a file or runs a tool.
"""

from __future__ import annotations

import dataclasses

from oslo_utils.imageutils import format_inspector

from glance_lite import exceptions

#: Detected formats that an image of the declared format may also show.
_SAME_FORMAT = {
    'ami': {'raw', 'gpt'}, 'ari': {'raw'}, 'aki': {'raw'}, 'ploop': {'raw'},
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the content is. ``unsafe`` is a sentence naming the failed safety check, or None."""

    formats: tuple[str, ...]
    virtual_size: int | None
    unsafe: str | None


class Inspector:
    """Looks at all bytes of one image, in order. Not thread safe."""

    def __init__(self) -> None:
        self._feed = _Feed()
        self._wrapper = format_inspector.InspectWrapper(self._feed)  # type: ignore[arg-type]

    def eat(self, data: memoryview) -> None:
        """Look at the next bytes. Content that is no image of a known format is no error."""
        self._feed.chunk = bytes(data)
        self._wrapper.read(len(data))

    def finish(self) -> Finding:
        """Tell what the content was."""
        self._wrapper.close()
        matches = self._wrapper.formats or []
        names = tuple(sorted(str(match) for match in matches)) or ('raw',)
        unsafe = next((text for text in map(_unsafe, matches) if text), None)
        virtual = matches[0].virtual_size if len(matches) == 1 and names != ('raw',) else None
        return Finding(names, virtual or None, unsafe)


def check(
    formats: tuple[str, ...] | list[str],
    unsafe: str | None,
    disk_format: str,
    require_match: bool,
) -> None:
    """Refuse content that is unsafe, or another format than declared.

    Declared ``raw`` takes any content that is safe: a disk may hold anything.

    :raises ImportFailed: ``unsafe_image`` or ``format_mismatch``.
    """
    found = '+'.join(formats)
    if unsafe is not None:
        raise exceptions.ImportFailed(
            'unsafe_image', f'The content (format {found}) failed a safety check: {unsafe}.'
        )
    if len(formats) > 1 and set(formats) != {'iso', 'gpt'}:
        raise exceptions.ImportFailed(
            'unsafe_image', f'The content is of several formats at once: {", ".join(formats)}.'
        )
    if not require_match or disk_format == 'raw' or disk_format in formats:
        return
    if set(formats) & _SAME_FORMAT.get(disk_format, set()):
        return
    raise exceptions.ImportFailed(
        'format_mismatch',
        f'The image is declared as {disk_format}, but its content is of format {found}.',
    )


def _unsafe(inspector: format_inspector.FileInspector) -> str | None:
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        return ', '.join(
            f'{name} ({problem})' for name, problem in sorted(error.failures.items())
        )
    except format_inspector.ImageFormatError as error:
        return str(error)
    return None


class _Feed:
    """The file-like thing that the inspecting wrapper reads from."""

    chunk = b''

    def read(self, size: int) -> bytes:
        return self.chunk

    def close(self) -> None:
        return None
