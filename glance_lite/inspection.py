# SPDX-License-Identifier: Apache-2.0
"""Recognise the format of image data while it passes, and what is unsafe about it.

The format inspectors are those of oslo.utils. Nothing here opens a file or runs a tool.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from oslo_log import log
from oslo_utils.imageutils import format_inspector

from glance_lite import exceptions

LOG = log.getLogger(__name__)

#: Every signature that is looked for lies within so many bytes at the start.
HEAD_BYTES = 64 * 1024
#: What follows is looked at in blocks of so many bytes, whatever pieces it comes in, as inspectors
#: may find something else in other pieces: small ones up to a place, so that they answer soon, and
#: large ones from there, as each costs them the same.
_BLOCK_BYTES = HEAD_BYTES
_LARGE_BLOCKS_FROM = 1 << 20
_LARGE_BLOCK_BYTES = 1 << 18
_SECTOR_BYTES = 512
#: The largest virtual size that a record can hold.
_LARGEST_SIZE = (1 << 63) - 1

#: Detected formats that an image of the declared format may also show.
_SAME_FORMAT = {
    'ami': {'raw', 'gpt'},
    'ari': {'raw'},
    'aki': {'raw'},
    'ploop': {'raw'},
}
#: Formats in which the bytes are those of the disk, and their count its size.
_PLAIN = frozenset({'gpt', 'luks'})
#: Formats that change nothing about the bytes, whoever reads them.
SAME_BYTES = _PLAIN | {'raw', 'iso'}
#: Containers that wrap a disk: no signature of the disk is at their start.
_WRAPPERS = frozenset({'ova', 'ovf', 'docker', 'compressed'})

#: Compressed data that an import can unpack.
ARCHIVES = frozenset({'gzip', 'bzip2', 'xz', 'zstd', 'zip'})
#: Signatures of what is no disk image, by their offset: for messages, and to find what is packed.
_SIGNATURES = (
    (0, b'\x1f\x8b', 'gzip'),
    (0, b'BZh', 'bzip2'),
    (0, b'\xfd7zXZ\x00', 'xz'),
    (0, b'\x28\xb5\x2f\xfd', 'zstd'),
    (0, b'PK\x03\x04', 'zip'),
    (0, b'PK\x05\x06', 'zip'),
    (0, b'\x04\x22\x4d\x18', 'lz4'),
    (0, b'7z\xbc\xaf\x27\x1c', '7z'),
    (0, b'LZIP', 'lzip'),
    (0, b'\x5d\x00\x00', 'lzma'),
    (0, b'Rar!\x1a\x07', 'rar'),
    (2, b'-lh', 'lha'),
    (257, b'ustar', 'tar'),
    (0, b'\xff\xd8\xff', 'JPEG'),
    (0, b'\x89PNG\r\n', 'PNG'),
    (0, b'%PDF-', 'PDF'),
    (0, b'\x7fELF', 'ELF'),
)
_MARKUP = re.compile(rb'\s*<(!doctype html|html|\?xml)', re.IGNORECASE)
#: Kinds whose bytes are not those of a disk, so that nothing is known of a virtual size.
PACKED = ARCHIVES | {'lz4', '7z', 'lzip', 'lzma', 'rar', 'lha', 'tar'}

#: How QEMU's ``block/vmdk.c`` (``vmdk_probe``) recognises a descriptor without a header: comments
#: and blank lines, then the version.
_VMDK_TEXT = re.compile(rb'(?:(?:#[^\n]*| *\r?)\n)*version=[1-4]\r?\n', re.IGNORECASE)
_VMDK_TYPE = re.compile(rb'createtype="([^"\n]{0,63})"', re.IGNORECASE)
#: Where a disk's type is, and those that need another file: VHD's footer copy ("Virtual Hard Disk
#: Image Format Specification", disk type 4), VirtualBox's header (undo and differencing).
_DIFFERENCING = {
    'vhd': (slice(60, 64), (b'\x00\x00\x00\x04',)),
    'vdi': (slice(0x4C, 0x50), (b'\x03\x00\x00\x00', b'\x04\x00\x00\x00')),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the content is; plain values, as they are kept with staged data.

    ``failures`` lists ``[format, check, problem]`` of each safety check that failed;
    ``vmdk_type`` is the create type that a VMDK descriptor names; ``kind`` says what content of no
    known image format begins like.
    """

    formats: list[str]
    virtual_size: int | None = None
    failures: list[list[str]] = dataclasses.field(default_factory=list)
    vmdk_type: str | None = None
    kind: str | None = None

    @property
    def name(self) -> str:
        """The formats, for a message."""
        return '+'.join(self.formats) + (f' (it begins like {self.kind})' if self.kind else '')


class Inspector:
    """Looks at all bytes of one image, in order. Not thread safe.

    What it finds does not depend on the pieces that the bytes come in.
    """

    def __init__(self, judge: Callable[[Finding], None] | None = None) -> None:
        """Have ``judge`` refuse the content, by raising, as soon as something is known of it."""
        self._judge = judge or (lambda finding: None)
        self._block = bytearray()
        self._size = 0
        self._looked_at = 0
        self._matches: list[_Match] = []
        self._watched: list[_Match] = []
        self._kind: str | None = None
        self._begun = False

    @property
    def is_decided(self) -> bool:
        """Whether all is known but how long the content is."""
        return self._begun and not self._watched

    def skip(self, count: int) -> None:
        """Count bytes that were not given, once :attr:`is_decided`."""
        self._size += count

    def eat(self, data: memoryview) -> None:
        """Look at the next bytes. Content that is no image of a known format is no error.

        :raises Exception: what the judge raises.
        """
        self._size += len(data)
        while len(data) and (self._watched or not self._begun):
            length = _BLOCK_BYTES if self._looked_at < _LARGE_BLOCKS_FROM else _LARGE_BLOCK_BYTES
            taken = data[: length - len(self._block)]
            data = data[len(taken) :]
            if len(taken) == length:
                self._look(bytes(taken))
                continue
            self._block += taken
            if len(self._block) == length:
                self._look(self._take_block())

    def finish(self) -> Finding:
        """Tell what the content was.

        :raises Exception: what the judge raises.
        """
        if self._block or not self._begun:
            # as tools see a file that ends within a sector
            self._block += bytes(-len(self._block) % _SECTOR_BYTES)
            self._look(self._take_block())
        for match in self._matches:
            match.finish()
        self._watched = []
        finding = self._finding()
        self._judge(finding)
        return finding

    def _take_block(self) -> bytes:
        block, self._block = bytes(self._block), bytearray()
        return block

    def _look(self, block: bytes) -> None:
        self._looked_at += len(block)
        if not self._begun:
            self._begun = True
            self._matches = _recognise(block)
            self._kind = None if self._matches else _kind(block)
            undecided = self._matches
        else:
            undecided = self._watched
            for match in undecided:
                match.eat(block)
        self._watched = [match for match in undecided if not match.is_decided]
        if len(self._watched) < len(undecided) or not self._matches:
            self._judge(self._finding())

    def _finding(self) -> Finding:
        """Return what is known by now; nothing is said of checks that are not decided yet."""
        names = sorted(match.name for match in self._matches) or ['raw']
        decided = [match for match in self._matches if match not in self._watched]
        failures = [failure for match in decided for failure in match.failures()]
        size = self._virtual_size(decided)
        if size is not None and size > _LARGEST_SIZE:
            failures.append([names[0], 'virtual_size', 'The disk is larger than possible'])
            size = None
        types = [match.vmdk_type for match in self._matches if match.vmdk_type is not None]
        return Finding(names, size, failures, types[0] if types else None, self._kind)

    def _virtual_size(self, decided: list[_Match]) -> int | None:
        known = [match for match in decided if match.name not in _PLAIN]
        if len(known) == 1:
            return known[0].virtual_size
        if known or self._kind in PACKED:
            return None
        return self._size  # the bytes of a plain disk are the disk


class _Match:
    """A format whose signature the content has."""

    def __init__(self, name: str, head: bytes) -> None:
        self.name = name
        self._head = head[:_SECTOR_BYTES]

    @property
    def is_decided(self) -> bool:
        return True

    @property
    def vmdk_type(self) -> str | None:
        return None

    @property
    def virtual_size(self) -> int | None:
        return None

    def eat(self, block: bytes) -> None:
        return None

    def finish(self) -> None:
        return None

    def failures(self) -> list[list[str]]:
        raise NotImplementedError


class _Inspected(_Match):
    """One that an inspector of oslo.utils recognised. Its errors are failures, never ours."""

    def __init__(self, inspector: format_inspector.FileInspector, head: bytes) -> None:
        super().__init__(str(inspector), head)
        self._inspector = inspector
        self._is_broken = False

    @classmethod
    def recognise(
        cls, kind: type[format_inspector.FileInspector], head: bytes
    ) -> _Inspected | None:
        inspector = kind()
        match = cls(inspector, head)
        match.eat(head)
        return match if match._ask(lambda: inspector.format_match) else None

    def eat(self, block: bytes) -> None:
        try:
            self._inspector.eat_chunk(block)
        except Exception as error:  # it parses what strangers wrote
            LOG.debug('The inspector of %s gave up: %s', self.name, error)
            self._is_broken = True

    def finish(self) -> None:
        self._inspector.finish()

    @property
    def is_decided(self) -> bool:
        return self._is_broken or self._inspector.complete

    @property
    def vmdk_type(self) -> str | None:
        found: str | None = getattr(self._inspector, 'vmdktype', None)
        return found

    @property
    def virtual_size(self) -> int | None:
        return self._ask(lambda: self._inspector.virtual_size) or None

    def failures(self) -> list[list[str]]:
        if self._is_broken or self._ask(lambda: self._inspector.virtual_size) is None:
            return [[self.name, 'format', 'The header is damaged']]
        found = []
        where, types = _DIFFERENCING.get(self.name, (slice(0), ()))
        if self._head[where] in types:
            found.append([self.name, 'differencing', 'The disk needs another file'])
        try:
            self._inspector.safety_check()
        except format_inspector.SafetyCheckFailed as error:
            found += [
                [self.name, name, str(problem)] for name, problem in sorted(error.failures.items())
            ]
        except Exception as error:
            found.append([self.name, 'format', str(error)])
        return found

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            LOG.debug('The inspector of %s has no answer: %s', self.name, error)
            return None


class _VmdkText(_Match):
    """A VMDK that is a text alone: the data is in other files, which it names."""

    @property
    def vmdk_type(self) -> str | None:
        found = _VMDK_TYPE.search(self._head)
        return found[1].decode('ascii', 'replace') if found else None

    def failures(self) -> list[list[str]]:
        return [['vmdk', 'descriptor', 'A descriptor without data names other files']]


def _recognise(head: bytes) -> list[_Match]:
    kinds = [kind for name, kind in format_inspector.ALL_FORMATS.items() if name != 'raw']
    found: list[_Match] = [
        match for kind in kinds if (match := _Inspected.recognise(kind, head)) is not None
    ]
    if _VMDK_TEXT.match(head):
        found = [match for match in found if match.name != 'vmdk'] + [_VmdkText('vmdk', head)]
    return found


def _kind(head: bytes) -> str | None:
    for offset, signature, kind in _SIGNATURES:
        if head.startswith(signature, offset):
            return kind
    return 'HTML or XML' if _MARKUP.match(head) else None


def kind_of(head: bytes) -> str | None:
    """Return what content begins like, such as ``gzip``, if it is no disk image."""
    return _kind(head)


def undeclared(formats: list[str], disk_format: str | None) -> str | None:
    """Return the format to note with an image: of content that tools take for another disk.

    None where the bytes are the disk, or of the declared format.
    """
    if disk_format in formats:
        return None
    return '+'.join(name for name in formats if name not in SAME_BYTES) or None


def inspect_file(path: str, inspector: Inspector) -> Finding:
    """Look at as much of a file as is needed, and tell what it is.

    :raises Exception: what the judge of the inspector raises.
    """
    with open(path, 'rb', buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left and not inspector.is_decided:
            piece = file.read(_BLOCK_BYTES)
            if not piece:
                break
            inspector.eat(memoryview(piece))
            left -= len(piece)
    inspector.skip(left)
    return inspector.finish()


@dataclasses.dataclass(frozen=True)
class FormatRules:
    """What ``[image_format]`` accepts. VMDK types compare without case.

    ``unpacks`` tells that an import plugin unpacks what is compressed: it may be staged, and what
    was in it is judged after that.
    """

    require_match: bool = True
    vmdk_types: frozenset[str] = frozenset()
    nonfatal_gpt_checks: frozenset[str] = frozenset()
    unpacks: bool = False

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, unpacks: bool = False) -> FormatRules:
        """Read the options."""
        group = conf.image_format
        return cls(
            group.require_image_format_match,
            frozenset(name.lower() for name in group.vmdk_allowed_types),
            frozenset(group.gpt_safety_checks_nonfatal),
            unpacks,
        )

    def inspector(self, disk_format: str | None, container_format: str | None) -> Inspector:
        """Return an inspector that refuses content of an image as :meth:`check` does, early."""
        return Inspector(lambda found: self.check(found, disk_format, container_format))

    def check(
        self, found: Finding, disk_format: str | None, container_format: str | None = None
    ) -> None:
        """Refuse content that is unsafe, or another format than declared.

        Declared ``raw``, or nothing yet, takes any content that is safe: a disk may hold anything.
        A container that wraps a disk takes what has no signature, too.

        :raises ImportFailed: ``unsafe_image`` or ``format_mismatch``.
        """
        declared = f'declared as {disk_format}' if disk_format else 'no format declared'
        content = f'The content (format {found.name}, {declared})'
        fatal = [failure for failure in found.failures if not self._only_warns(failure)]
        if fatal:
            checks = ', '.join(f'{check} ({problem})' for _, check, problem in fatal)
            raise exceptions.ImportFailed(
                'unsafe_image', f'{content} failed a safety check: {checks}.'
            )
        if found.vmdk_type is not None and found.vmdk_type.lower() not in self.vmdk_types:
            raise exceptions.ImportFailed(
                'unsafe_image',
                f'{content} failed a safety check: create_type ({found.vmdk_type} is not accepted '
                'here).',
            )
        if len(found.formats) > 1 and set(found.formats) != {'iso', 'gpt'}:
            raise exceptions.ImportFailed(
                'unsafe_image',
                f'{content} failed a safety check: several formats at once.',
            )
        if self._matches(found, disk_format, container_format):
            return
        raise exceptions.ImportFailed(
            'format_mismatch',
            f'The image is declared as {disk_format}, but its content is of format {found.name}. '
            'Failed check: format match.',
        )

    def _only_warns(self, failure: list[str]) -> bool:
        kind, check, problem = failure
        if kind != 'gpt' or check not in self.nonfatal_gpt_checks:
            return False
        LOG.warning('A GPT safety check failed, which only warns here: %s (%s)', check, problem)
        return True

    def _matches(
        self, found: Finding, disk_format: str | None, container_format: str | None
    ) -> bool:
        if not self.require_match or disk_format in (None, 'raw', *found.formats):
            return True
        if found.formats == ['raw']:
            is_packed = self.unpacks and found.kind in ARCHIVES
            if container_format in _WRAPPERS or is_packed:
                return True
        return bool(set(found.formats) & _SAME_FORMAT.get(disk_format or '', set()))
