# SPDX-License-Identifier: Apache-2.0
"""``web-download``: the service fetches the bytes from a URL that the user named."""

from __future__ import annotations

from collections.abc import Callable

from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.image_import.steps.download import Download
from glance_lite.remote.http_source import HttpSource
from glance_lite.remote.swift_source import SwiftSource
from glance_lite.services import Services


def stage(services: Services, run: ImportRun, allowance: Allowance) -> Step:
    """Return the step that downloads the bytes."""
    conf = services.conf
    uri: str = run.task.plan['uri']

    given: str = run.task.plan.get('source') or uri

    def open_source(should_stop: Callable[[], None]) -> HttpSource | SwiftSource:
        headers = {}
        if given != uri and services.rules.swift is not None:
            headers = services.rules.swift.headers(given, uri, run.task.owner)
        source = HttpSource(
            services.url_filter,
            services.http_options,
            uri,
            max_bytes=conf.image_size_cap,
            headers=headers,
            should_stop=should_stop,
        )
        if given != uri:
            return SwiftSource(source, uri, given).open()
        return source.open()

    return Download(
        run,
        services.staging,
        open_source,
        services.format_rules(run.task.plan['plugins']),
        conf.hashing_algorithm,
        conf.image_size_cap,
        allowance,
    )
