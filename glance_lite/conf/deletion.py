# SPDX-License-Identifier: Apache-2.0
"""Options of deleting images later than asked for, and of ``glance-lite-scrubber``."""

from __future__ import annotations

from oslo_config import cfg

OPTS = [
    cfg.BoolOpt(
        'delayed_delete',
        default=False,
        help='Keep the data of deleted images until glance-lite-scrubber removes it, so that an '
        'image can be restored meanwhile. To users it is gone at once.',
    ),
    cfg.IntOpt(
        'scrub_time',
        default=0,
        min=0,
        help='Seconds for which the data of a deleted image is kept at least.',
    ),
    cfg.IntOpt(
        'scrub_pool_size', default=1, min=1, max=64, help='Images that are scrubbed at once.'
    ),
    cfg.IntOpt(
        'wakeup_time',
        default=300,
        min=1,
        help='Seconds between two rounds of glance-lite-scrubber --daemon.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options on ``conf``."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for the sample generator."""
    return [('DEFAULT', OPTS)]
