# SPDX-License-Identifier: Apache-2.0
"""The import plugin that converts disks to one format, with qemu-img.

qemu-img never guesses: it is told the format that was found here by content, after every safety
check, and to look at no other file. It runs with limits, and what it wrote is inspected again.
"""

from __future__ import annotations

import json
import os
import re
import signal

from oslo_config import cfg
from oslo_log import log

from glance_lite import exceptions, inspection
from glance_lite.image_import import limited_program
from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData, reject
from glance_lite.stores import files

LOG = log.getLogger(__name__)

GROUP = 'image_conversion'
_MIB = 1024 * 1024
#: What a format takes beside the data of the disk, at most.
_OVERHEAD_BYTES = 64 * _MIB

#: From the format of content to QEMU's name of it. Of a plain disk nothing is read but its bytes.
_QEMU_NAMES = {
    'raw': 'raw',
    'gpt': 'raw',
    'luks': 'raw',
    'qcow2': 'qcow2',
    'vmdk': 'vmdk',
    'vdi': 'vdi',
    'vhd': 'vpc',
    'vhdx': 'vhdx',
}
_PLAIN = frozenset({'raw', 'gpt', 'luks'})
#: Drivers of QEMU that know of a backing file, and are told that there is none.
_BACKED = frozenset({'qcow2', 'vmdk'})
_PROGRESS = re.compile(rb'\((\d+\.\d+)/100%\)')

OPTS = [
    cfg.StrOpt(
        'output_format',
        default='raw',
        choices=['qcow2', 'raw', 'vmdk'],
        mutable=True,
        help='Disk format that images get.',
    ),
    cfg.IntOpt(
        'memory_limit',
        default=1024,
        min=256,
        mutable=True,
        help='MiB of address space that one conversion may take.',
    ),
    cfg.IntOpt(
        'cpu_limit',
        default=3600,
        min=1,
        mutable=True,
        help='Seconds of CPU time that one conversion may take. Then the image is refused.',
    ),
    cfg.IntOpt(
        'timeout',
        default=7200,
        min=1,
        mutable=True,
        help='Seconds that one conversion may last. Then the import fails, and may be repeated.',
    ),
    cfg.IntOpt(
        'max_output_size',
        default=0,
        min=0,
        mutable=True,
        help='Bytes of the largest disk that is converted, as a guest sees it. 0: as many as '
        'image_size_cap.',
    ),
]


class ImageConversion(ImportPlugin):
    """Convert the staged disk to ``[image_conversion] output_format``."""

    name = 'image_conversion'
    transforms = True
    runs_after = ('image_decompression',)

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Look for the programs.

        :raises ValueError: one is not installed.
        """
        super().__init__(conf)
        missing = limited_program.find_missing('qemu-img')
        if missing is not None:
            package = 'qemu-utils' if missing == 'qemu-img' else 'util-linux'
            raise ValueError(f'it needs the program {missing}; on Debian: apt install {package}')

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        return [(GROUP, OPTS)]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Convert, unless the disk has the wanted format or is none that can be converted.

        :raises ImportFailed: the content is unsafe, of another format than declared, too large
            or too costly to convert.
        """
        declared = image.disk_format or ''
        if image.container_format not in ('bare', None) or declared in ('ami', 'ari', 'aki'):
            return ImageChanges(note='Not converted: the image is not a bare disk.')
        rules = inspection.FormatRules.from_conf(self.conf)
        found = inspection.inspect_file(
            staged.path, rules.inspector(declared, image.container_format)
        )
        content = _format_of(found, declared)
        target = self.conf[GROUP].output_format
        if content == 'iso':
            return ImageChanges(note='Not converted: an ISO stays one.')
        if target == content or (target == 'raw' and content in _PLAIN):
            return ImageChanges(note=f'The disk is {target} already.')
        if content not in _QEMU_NAMES:
            reject(f'A disk of the format {content} cannot be converted.')
        self._convert(staged, content, target, self._permitted_size(found))
        made = inspection.inspect_file(staged.new_path(), rules.inspector(target, 'bare'))
        if target == 'raw' and not inspection.SAME_BYTES.issuperset(made.formats):
            reject(f'The disk holds another image, of the format {made.name}.')
        return ImageChanges(
            disk_format=target,
            container_format='bare',
            virtual_size=made.virtual_size,
            file_path=staged.new_path(),
            note=f'{content} to {target}',
        )

    def _permitted_size(self, found: inspection.Finding) -> int:
        cap = self.conf[GROUP].max_output_size or self.conf.image_size_cap
        if found.virtual_size is None:
            reject('The virtual size of the disk cannot be told.')
        if found.virtual_size > cap:
            raise exceptions.ImportFailed(
                'too_large',
                f'The disk has {found.virtual_size} bytes; {cap} may be converted at most.',
            )
        return found.virtual_size

    def _convert(self, staged: StagedData, content: str, target: str, size: int) -> None:
        options = self.conf[GROUP]
        limits = limited_program.Limits(
            memory_bytes=options.memory_limit * _MIB,
            cpu_seconds=options.cpu_limit,
            wall_seconds=options.timeout,
            file_bytes=size + _OVERHEAD_BYTES,
        )
        os.close(files.create(staged.new_path()))  # private, before anybody writes to it
        command = ['qemu-img', 'convert', '-p', '-O', target]
        command += [_source(staged.path, content), staged.new_path()]
        staged.expect(size)
        progress = _Progress(staged, size)
        ending = limited_program.run(command, limits, staged.check_cancelled, progress.hear)
        if ending.status != 0 or ending.timed_out:
            LOG.warning('qemu-img ended with %s: %s', ending.status, ending.complaints)
            raise _explain(ending, options)


class _Progress:
    """Turns the percentages that qemu-img prints into bytes."""

    def __init__(self, staged: StagedData, size: int) -> None:
        self._staged, self._size = staged, size
        self._done = 0

    def hear(self, output: bytes) -> None:
        found = _PROGRESS.findall(output)
        if found:
            done = int(float(found[-1]) / 100 * self._size)
            if done > self._done:
                self._staged.progress(done - self._done)
                self._done = done


def _format_of(found: inspection.Finding, declared: str) -> str:
    """Return the one format of the content.

    :raises ImportFailed: ``format_mismatch``. Here a plain disk may not look like an image: what
        would be converted, and what the guest wrote into it, could not be told apart.
    """
    content = 'iso' if 'iso' in found.formats else found.formats[0]
    if content == declared or (declared in ('raw', 'gpt') and content in _PLAIN):
        return content
    raise exceptions.ImportFailed(
        'format_mismatch',
        f'The image is declared as {declared}, but its content is of format {found.name}, and is '
        'not converted.',
    )


def _source(path: str, content: str) -> str:
    """Return how QEMU names the input: driver, file, and no other file."""
    driver = _QEMU_NAMES[content]
    description = {'driver': driver, 'file': {'driver': 'file', 'filename': path}}
    if driver in _BACKED:
        description['backing'] = None  # type: ignore[assignment]
    return 'json:' + json.dumps(description)


def _explain(ending: limited_program.Ending, options: cfg.ConfigOpts.GroupAttr) -> Exception:
    if ending.timed_out:
        return TimeoutError(f'The conversion took more than {options.timeout} seconds.')
    if 'No space left' in ending.complaints or 'quota exceeded' in ending.complaints:
        return exceptions.ImportFailed('no_space', 'There is no space left to convert the image.')
    if ending.status == -signal.SIGXCPU:
        return exceptions.ImageRejected(
            f'The conversion took more than {options.cpu_limit} seconds of CPU time.'
        )
    if ending.status == -signal.SIGXFSZ or 'File too large' in ending.complaints:
        return exceptions.ImportFailed('too_large', 'The converted image became too large.')
    if ending.status < 0 or 'while writing' in ending.complaints:
        return RuntimeError(f'qemu-img was ended by {ending.complaints or -ending.status}')
    last = ending.complaints.splitlines()[-1:] or ['no reason given']
    return exceptions.ImageRejected(f'The disk cannot be read: {last[0]}')
