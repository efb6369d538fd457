# SPDX-License-Identifier: Apache-2.0
"""Which board a conductor looks at, by ``[conductor] job_board``."""

from __future__ import annotations

from collections.abc import Callable

from oslo_config import cfg

from glance_lite.db.engine import Database
from glance_lite.jobs.address import BoardAddress
from glance_lite.jobs.sql_board import SQLJobBoard

#: Claims on entries outlive leases by this factor, so that who sees one end finds the import free.
_CLAIM_LEASES = 1.5


def load_board(
    conf: cfg.ConfigOpts,
    db: Database,
    areas: list[str],
    who: str,
    most_of_project: Callable[[], int] = lambda: 0,
) -> SQLJobBoard:
    """Return the board for the conductor ``who``, which sees the staging areas ``areas``.

    :param most_of_project: see :class:`SQLJobBoard`; may change while the conductor runs.

    :raises ConfigError: ``[conductor] board_url`` cannot be used.
    """
    lease = conf.conductor.lease
    address = BoardAddress.from_conf(conf)
    if address is None:
        return SQLJobBoard('imports', db, lease, areas, most_of_project)
    from glance_lite.jobs.doorbell import Doorbell
    from glance_lite.jobs.hinted_board import HintedBoard

    return HintedBoard(
        'imports',
        db,
        lease,
        areas,
        who,
        Doorbell(address, lease * _CLAIM_LEASES),
        conf.conductor.reconcile_interval,
        most_of_project,
    )
