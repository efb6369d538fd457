# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a configuration, beyond what stops a start: parts that defeat each other.

The checks of the parts by themselves are in ``checks.py``.
"""

from __future__ import annotations

import shutil

from oslo_config import cfg

from glance_lite import image_properties, property_protection
from glance_lite.context import RequestContext
from glance_lite.domain import image as image_domain
from glance_lite.image_import.plugins import inject_image_metadata
from glance_lite.image_properties import ImageProperties
from glance_lite.maintenance.checks import DOUBTFUL, GOOD, Finding
from glance_lite.plugin import loader
from glance_lite.policy import Policy, target_of
from glance_lite.property_protection import PropertyProtection
from glance_lite.remote import resolver
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.stores.staging import StagingArea
from glance_lite.unified_limits import UnifiedLimits

#: Bytes that a staging area should have free.
ENOUGH_BYTES = 10 * 1024**3
#: A rule that members pass, rules of which they need one too, and what they could else not do.
_PAIRS = (
    (
        'add_image',
        ('modify_image', 'upload_image'),
        'may create images (add_image), but neither import nor upload their data (modify_image, '
        'upload_image)',
    ),
    ('get_images', ('get_image',), 'may list images (get_images), but see none (get_image)'),
    (
        'modify_image',
        ('get_image',),
        'may change their images (modify_image), but not see them (get_image)',
    ),
    (
        'upload_image',
        ('get_image',),
        'may upload (upload_image), but not see what became of it (get_image)',
    ),
    (
        'download_image',
        ('get_image',),
        'may download images (download_image), but not see them (get_image)',
    ),
)


def check_space(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the staging area has room."""
    directory = StagingArea.from_conf(conf).directory
    free = shutil.disk_usage(directory).free
    if free < ENOUGH_BYTES:
        return Finding(DOUBTFUL, f'{directory} has {_size(free)} free.')
    return Finding(GOOD, f'{directory} has {_size(free)} free.')


def check_plugins(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the plugins can be loaded, and are in a fit order."""
    found = loader.load_plugins(conf)
    conflicts = loader.find_conflicts(found)
    if conflicts:
        return Finding(DOUBTFUL, ' '.join(conflicts))
    return Finding(GOOD, f'Plugins in order: {", ".join(found.names) or "none"}.')


def check_filter(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the filter can be used, and its names have addresses."""
    rules = UrlFilter.from_conf(conf)
    HttpOptions.from_conf(conf)
    group = conf.import_filtering_opts
    sentences = [
        f'allowed_{what} and disallowed_{what} both have {entry}, which is refused.'
        for what in ('schemes', 'hosts', 'ports')
        for entry in group[f'allowed_{what}']
        if entry in group[f'disallowed_{what}']
    ]
    for option in ('allowed_hosts', 'disallowed_hosts'):
        for name in sorted(getattr(rules, option).names):
            try:
                rules.resolve(name, rules.resolve_timeout_seconds, lambda: None)
            except resolver.NameNotResolved:
                sentences.append(f'{option}: {name} has no address here.')
    if sentences:
        return Finding(DOUBTFUL, ' '.join(sentences))
    return Finding(GOOD, 'The rules of [import_filtering_opts] can be used.')


def check_protection(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether users can forge the properties that imports inject."""
    protection = PropertyProtection.from_conf(conf)
    plugin = inject_image_metadata.InjectImageMetadata.name
    if plugin not in conf.image_import_opts.image_import_plugins:
        return Finding(GOOD, 'Imports inject no properties.')
    loader.load_plugins(conf)
    injected = inject_image_metadata.injected(conf)
    unprotected = property_protection.find_unprotected(protection, injected)
    if unprotected:
        return Finding(
            DOUBTFUL,
            f'Users may set and change properties that imports inject: {", ".join(unprotected)}. '
            'Protect them by property_protection_file.',
        )
    return Finding(GOOD, 'The properties that imports inject are protected.')


def check_properties(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether the description of custom properties can be used, and is kept by imports."""
    described = ImageProperties.from_conf(conf)
    if not described.schemas:
        return Finding(GOOD, 'No custom properties are described.')
    plugin = inject_image_metadata.InjectImageMetadata.name
    if plugin in conf.image_import_opts.image_import_plugins:
        loader.load_plugins(conf)
        misfits = described.misfits(inject_image_metadata.injected(conf))
        if misfits:
            return Finding(
                DOUBTFUL,
                f'Imports inject values that {image_properties.FILE} does not permit: '
                f'{", ".join(misfits)}.',
            )
    return Finding(GOOD, f'Described are: {", ".join(sorted(described.schemas))}.')


def check_limits(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether Keystone can be asked for limits, and whether others are set in vain."""
    if UnifiedLimits.from_conf(conf) is None:
        return Finding(GOOD, 'Keystone is not asked what a project may have.')
    idle = [
        name
        for name, most in (
            ('user_storage_quota', conf.user_storage_quota or -1),
            ('project_image_quota', conf.project_image_quota),
        )
        if most >= 0
    ]
    if idle:
        return Finding(
            DOUBTFUL,
            f'Of no account beside use_keystone_limits: {", ".join(idle)}. Register the limits '
            'in Keystone instead.',
        )
    return Finding(GOOD, 'Keystone says what a project may have.')


def check_rules(conf: cfg.ConfigOpts) -> Finding:
    """Tell whether rules defeat each other, or let images past the plugins."""
    policy = Policy.from_conf(conf)
    member = RequestContext(
        user_id='user', project_id='project', roles=['member', 'reader'], overwrite=False
    )
    image = image_domain.Image('00000000-0000-0000-0000-000000000000', owner='project')
    target = target_of(member, image)

    def passes(rule: str) -> bool:
        return policy.allows(member, rule, target)

    sentences = [
        f'Members {sentence}.'
        for rule, needed, sentence in _PAIRS
        if passes(rule) and not any(passes(other) for other in needed)
    ]
    enabled = conf.image_import_opts.image_import_plugins
    if enabled and passes('upload_image') and not conf['import'].require_import:
        sentences.append(
            'Members may upload past all import plugins (upload_image); [import] require_import '
            'closes that.'
        )
    if sentences:
        return Finding(DOUBTFUL, ' '.join(sentences))
    return Finding(GOOD, 'No rule defeats another.')


def _size(count_bytes: int) -> str:
    return f'{count_bytes / 1024**3:.1f} GiB'
