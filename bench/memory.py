# SPDX-License-Identifier: Apache-2.0
"""Measure the memory of all processes of a service during one large import of each method.

Apart from the measurements of speed, since reading smaps_rollup ten times a second costs time.
"""

from __future__ import annotations

import import_bench
from measurement import Service, Setting
from processes import PeakMemory


def peak(service: Service, setting: Setting) -> dict[str, float]:
    """Sample the sum of PSS at 10 Hz through stage + glance-direct and through web-download."""
    with PeakMemory(service.processes) as direct:
        import_bench.glance_direct(service, setting)
    with PeakMemory(service.processes) as web:
        import_bench.web_download(service, setting)
    return {
        'memory_idle_mib': direct.before_mib,
        'memory_direct_mib': direct.peak_mib,
        'memory_web_mib': web.peak_mib,
    }
