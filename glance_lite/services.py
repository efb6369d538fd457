# SPDX-License-Identifier: Apache-2.0
"""What handlers and the flow builder work with, built once by ``deploy.py``.

Steps of a flow get single members of this, never the whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from oslo_config import cfg

from glance_lite import quotas
from glance_lite.db.engine import Database
from glance_lite.domain.quota import Limits
from glance_lite.image_properties import ImageProperties
from glance_lite.inspection import FormatRules
from glance_lite.jobs.announcer import Announcer
from glance_lite.metrics import Meter
from glance_lite.notifications import Notifier
from glance_lite.plugin.loader import PluginSet
from glance_lite.policy import Policy
from glance_lite.property_protection import PropertyProtection
from glance_lite.receiving import Receiving
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea
from glance_lite.swift_sign_in import SwiftSignIn
from glance_lite.unified_limits import UnifiedLimits
from glance_lite.watching import TaskWatch

#: The import plugin behind which compressed data is judged.
UNPACKING_PLUGIN = 'image_decompression'


@dataclasses.dataclass(frozen=True)
class Rules:
    """A configuration, and what is built from it alone. One object, as they hold together."""

    conf: cfg.ConfigOpts
    plugins: PluginSet
    url_filter: UrlFilter
    http_options: HttpOptions
    protection: PropertyProtection | None = None
    swift: SwiftSignIn | None = None
    properties: ImageProperties = dataclasses.field(default_factory=ImageProperties)


@dataclasses.dataclass
class Services:
    """The parts of one process. All may be used by many threads at once.

    Only ``rules`` is ever replaced, as a whole, when the configuration is read again: look it up
    when it is needed, and hold what must not change on the way.
    """

    rules: Rules
    db: Database
    stores: StoreRegistry
    staging: StagingArea
    policy: Policy
    receiving: Receiving
    announcer: Announcer = dataclasses.field(default_factory=Announcer)
    meter: Meter = dataclasses.field(default_factory=Meter)
    notifier: Notifier = dataclasses.field(default_factory=Notifier)
    unified_limits: UnifiedLimits | None = None
    watch: TaskWatch = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.watch = TaskWatch(self.db)

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration in force."""
        return self.rules.conf

    @property
    def plugins(self) -> PluginSet:
        """The import plugins, with their options in force."""
        return self.rules.plugins

    def format_rules(self, plugins: Sequence[str]) -> FormatRules:
        """Return the rules for data that these import plugins will get."""
        return FormatRules.from_conf(self.conf, unpacks=UNPACKING_PLUGIN in plugins)

    @property
    def url_filter(self) -> UrlFilter:
        """What judges every URL that is fetched."""
        return self.rules.url_filter

    @property
    def http_options(self) -> HttpOptions:
        """How URLs are fetched."""
        return self.rules.http_options

    def limits_of(self, project: str | None, *wanted: str) -> Limits:
        """Return what a project may have. Keystone may be asked: no transaction is open meanwhile.

        :param wanted: the limits that are needed, as ``domain.quota`` names them.
        :raises ServiceUnavailable: Keystone has the limits, and cannot be asked.
        """
        if self.unified_limits is None:
            return quotas.configured(self.conf)
        return Limits() if project is None else self.unified_limits.of(project, wanted)
