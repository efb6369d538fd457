# SPDX-License-Identifier: Apache-2.0
"""Recognise the format of image data while it passes, and what is unsafe about it.

The format inspectors are those of oslo.utils. Nothing here opens a file or runs a tool.
"""

from __future__ import annotations

import dataclasses

from oslo_config import cfg
from oslo_log import log
from oslo_utils.imageutils import format_inspector

from glance_lite import exceptions

LOG = log.getLogger(__name__)

#: Detected formats that an image of the declared format may also show.
_SAME_FORMAT = {
    'ami': {'raw', 'gpt'},
    'ari': {'raw'},
    'aki': {'raw'},
    'ploop': {'raw'},
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the content is; plain values, as they are kept with staged data.

    ``failures`` lists ``[format, check, problem]`` of each safety check that failed;
    ``vmdk_type`` is the create type that a VMDK descriptor names.
    """

    formats: list[str]
    virtual_size: int | None = None
    failures: list[list[str]] = dataclasses.field(default_factory=list)
    vmdk_type: str | None = None


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
        names = sorted(str(match) for match in matches) or ['raw']
        virtual = matches[0].virtual_size if len(matches) == 1 and names != ['raw'] else None
        failures = [failure for match in matches for failure in _failures(match)]
        types = [match.vmdktype for match in matches if hasattr(match, 'vmdktype')]
        return Finding(names, virtual or None, failures, types[0] if types else None)


@dataclasses.dataclass(frozen=True)
class FormatRules:
    """What ``[image_format]`` accepts. VMDK types compare without case."""

    require_match: bool = True
    vmdk_types: frozenset[str] = frozenset()
    nonfatal_gpt_checks: frozenset[str] = frozenset()

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> FormatRules:
        """Read the options."""
        group = conf.image_format
        return cls(
            group.require_image_format_match,
            frozenset(name.lower() for name in group.vmdk_allowed_types),
            frozenset(group.gpt_safety_checks_nonfatal),
        )

    def check(self, found: Finding, disk_format: str) -> None:
        """Refuse content that is unsafe, or another format than declared.

        Declared ``raw`` takes any content that is safe: a disk may hold anything.

        :raises ImportFailed: ``unsafe_image`` or ``format_mismatch``.
        """
        names = '+'.join(found.formats)
        fatal = [failure for failure in found.failures if not self._only_warns(failure)]
        if fatal:
            checks = ', '.join(f'{check} ({problem})' for _, check, problem in fatal)
            raise exceptions.ImportFailed(
                'unsafe_image', f'The content (format {names}) failed a safety check: {checks}.'
            )
        if found.vmdk_type is not None and found.vmdk_type.lower() not in self.vmdk_types:
            raise exceptions.ImportFailed(
                'unsafe_image',
                f'The content is a VMDK of the type {found.vmdk_type}, which is not accepted here.',
            )
        if len(found.formats) > 1 and set(found.formats) != {'iso', 'gpt'}:
            raise exceptions.ImportFailed(
                'unsafe_image',
                f'The content is of several formats at once: {", ".join(found.formats)}.',
            )
        if self._matches(found.formats, disk_format):
            return
        raise exceptions.ImportFailed(
            'format_mismatch',
            f'The image is declared as {disk_format}, but its content is of format {names}.',
        )

    def _only_warns(self, failure: list[str]) -> bool:
        kind, check, problem = failure
        if kind != 'gpt' or check not in self.nonfatal_gpt_checks:
            return False
        LOG.warning('A GPT safety check failed, which only warns here: %s (%s)', check, problem)
        return True

    def _matches(self, formats: list[str], disk_format: str) -> bool:
        if not self.require_match or disk_format == 'raw' or disk_format in formats:
            return True
        return bool(set(formats) & _SAME_FORMAT.get(disk_format, set()))


def _failures(inspector: format_inspector.FileInspector) -> list[list[str]]:
    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        return [
            [str(inspector), name, str(problem)] for name, problem in sorted(error.failures.items())
        ]
    except format_inspector.ImageFormatError as error:
        return [[str(inspector), 'format', str(error)]]
    return []


class _Feed:
    """The file-like thing that the inspecting wrapper reads from."""

    chunk = b''

    def read(self, size: int) -> bytes:
        return self.chunk

    def close(self) -> None:
        return None
