# SPDX-License-Identifier: Apache-2.0
"""Put the parts together: the services of a process, and its conductor.

Whatever cannot work stops here, with a sentence that names the option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_config import cfg

from glance_lite.db import schema
from glance_lite.db.engine import Database
from glance_lite.plugin import loader
from glance_lite.policy import Policy
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.services import Services
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea

if TYPE_CHECKING:
    from glance_lite.conductor.conductor import ImportConductor


def build_services(conf: cfg.ConfigOpts) -> Services:
    """Build what handlers and steps work with.

    :raises ConfigError: a part cannot be built; the message names the option.
    """
    db = Database.from_conf(conf)
    schema.require_current(db)
    return Services(
        conf=conf,
        db=db,
        stores=StoreRegistry.from_conf(conf),
        staging=StagingArea.from_conf(conf),
        plugins=loader.load_plugins(conf),
        policy=Policy.from_conf(conf),
        url_filter=UrlFilter.from_conf(conf),
        http_options=HttpOptions.from_conf(conf),
    )


def load_conductor(conf: cfg.ConfigOpts, services: Services | None = None) -> ImportConductor:
    """Return a conductor that is ready to run imports.

    :raises ConfigError: a part cannot be built; the message names the option.
    """
    from glance_lite.conductor.conductor import ImportConductor  # TaskFlow is slow to import

    return ImportConductor(services or build_services(conf))
