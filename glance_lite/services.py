# SPDX-License-Identifier: Apache-2.0
"""What handlers and the flow builder work with, built once by ``deploy.py``.

Steps of a flow get single members of this, never the whole.
"""

from __future__ import annotations

import dataclasses

from oslo_config import cfg

from glance_lite.db.engine import Database
from glance_lite.jobs.announcer import Announcer
from glance_lite.plugin.loader import PluginSet
from glance_lite.policy import Policy
from glance_lite.receiving import Receiving
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea


@dataclasses.dataclass(frozen=True)
class Services:
    """The parts of one process. All may be used by many threads at once."""

    conf: cfg.ConfigOpts
    db: Database
    stores: StoreRegistry
    staging: StagingArea
    plugins: PluginSet
    policy: Policy
    url_filter: UrlFilter
    http_options: HttpOptions
    receiving: Receiving
    announcer: Announcer = dataclasses.field(default_factory=Announcer)
