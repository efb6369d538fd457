# SPDX-License-Identifier: Apache-2.0
"""Options of notifications that are ours; those of ``[oslo_messaging_notifications]`` are
oslo.messaging's."""

from __future__ import annotations

from oslo_config import cfg

from glance_lite.conf import types

OPTS = [
    cfg.StrOpt(
        'default_publisher_id',
        default='image.localhost',
        help='Who sends, in each notification: a name of this service and host.',
    ),
    cfg.Opt(
        'disabled_notifications',
        type=types.LooseList(),
        default=[],
        sample_default='image.send, task',
        help='Events that are not sent, one by one (image.send) or by group (task).',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options on ``conf``."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for the sample generator."""
    return [('DEFAULT', OPTS)]
