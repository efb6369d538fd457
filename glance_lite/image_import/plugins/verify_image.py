# SPDX-License-Identifier: Apache-2.0
"""The import plugin that asks of images what the operator wrote down: no code is needed for it."""

from __future__ import annotations

from oslo_config import cfg

from glance_lite import inspection
from glance_lite.conf import types
from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData, reject

GROUP = 'verify_image'
_GIB = 1024**3


def _bound(name: str, help: str) -> cfg.IntOpt:
    return cfg.IntOpt(name, default=0, min=0, mutable=True, help=f'{help} 0: no limit.')


OPTS = [
    cfg.Opt(
        'disk_formats',
        type=types.LooseList(),
        default=[],
        mutable=True,
        help='Disk formats that imported images may have. Empty: any.',
    ),
    cfg.Opt(
        'container_formats',
        type=types.LooseList(),
        default=[],
        mutable=True,
        help='Container formats that imported images may have. Empty: any.',
    ),
    _bound('min_size', 'Bytes that the data must have at least.'),
    _bound('max_size', 'Bytes that the data may have at most.'),
    _bound('min_virtual_size', 'Bytes that the disk must have at least, as a guest sees it.'),
    _bound('max_virtual_size', 'Bytes that the disk may have at most, as a guest sees it.'),
    cfg.Opt(
        'required_properties',
        type=types.LooseList(),
        default=[],
        sample_default='os_distro, hw_disk_bus:virtio|scsi',
        mutable=True,
        help='Custom properties that an image must have: a name, or a name with the values that '
        'are accepted, as name:value|value.',
    ),
    cfg.BoolOpt(
        'set_min_disk',
        default=False,
        mutable=True,
        help='Raise min_disk to the GB that the disk needs.',
    ),
    cfg.IntOpt(
        'min_ram',
        default=0,
        min=0,
        mutable=True,
        help='MB to which min_ram is raised where it is less.',
    ),
]


class VerifyImage(ImportPlugin):
    """Refuse images that break a rule of ``[verify_image]``; set what they need to run."""

    name = 'verify_image'

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """Read the rules.

        :raises ValueError: a rule cannot be kept.
        """
        super().__init__(conf)
        self._rules = conf[GROUP]
        self._properties = dict(map(_read_property, self._rules.required_properties))
        for name in ('size', 'virtual_size'):
            low, high = self._rules[f'min_{name}'], self._rules[f'max_{name}']
            if high and low > high:
                raise ValueError(f'[{GROUP}] min_{name} is more than max_{name}')

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        return [(GROUP, OPTS)]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Refuse with every rule that is broken, in one sentence each."""
        # the record has no virtual size yet, or that of before another plugin
        found = inspection.inspect_file(staged.path, inspection.Inspector())
        broken = [
            *self._check_format('disk_format', image.disk_format),
            *self._check_format('container_format', image.container_format),
            *self._check_bytes('size', staged.size),
            *self._check_bytes('virtual_size', found.virtual_size),
            *self._check_properties(image),
        ]
        if broken:
            reject(' '.join(broken))
        return self._requirements(image, found.virtual_size)

    def _check_format(self, name: str, value: str | None) -> list[str]:
        accepted = self._rules[f'{name}s']
        if not accepted or value in accepted:
            return []
        return [f'The {name} is {value}; accepted are {", ".join(accepted)}.']

    def _check_bytes(self, name: str, value: int | None) -> list[str]:
        low, high = self._rules[f'min_{name}'], self._rules[f'max_{name}']
        if not low and not high:
            return []
        if value is None:
            return [f'The {name} cannot be told.']
        if value < low:
            return [f'The {name} is {value} bytes; {low} are needed.']
        return [f'The {name} is {value} bytes; {high} are permitted.'] if 0 < high < value else []

    def _check_properties(self, image: ImageSnapshot) -> list[str]:
        broken = []
        for name, accepted in self._properties.items():
            value = image.properties.get(name)
            if value is None:
                broken.append(f'The property {name} is missing.')
            elif accepted and value not in accepted:
                broken.append(f'The property {name} must be one of {", ".join(accepted)}.')
        return broken

    def _requirements(self, image: ImageSnapshot, virtual_size: int | None) -> ImageChanges | None:
        disk, ram = None, None
        if self._rules.set_min_disk and virtual_size is not None:
            needed = -(-virtual_size // _GIB)
            disk = needed if needed > image.min_disk else None
        if self._rules.min_ram > image.min_ram:
            ram = self._rules.min_ram
        if disk is None and ram is None:
            return None
        return ImageChanges(min_disk=disk, min_ram=ram)


def _read_property(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, values = text.partition(':')
    accepted = tuple(value.strip() for value in values.split('|')) if values else ()
    if not name.strip() or '' in accepted:
        raise ValueError(f'[{GROUP}] required_properties: {text!r} is not name or name:value|value')
    return name.strip(), accepted
