# SPDX-License-Identifier: Apache-2.0
"""Measure PUT file and GET file of one large image."""

from __future__ import annotations

import os
import statistics

from measurement import Meter, Service, Setting, WrongData, same_digest

DOWNLOADS = 3


def upload(service: Service, setting: Setting) -> dict[str, float]:
    """PUT the payload to ``file``; the image must then have its SHA-512."""
    client = service.client()
    image_id = client.create_image('bench upload')
    with Meter(service) as meter:
        client.upload(image_id, 'file', setting.payload.path)
    image = client.call('GET', f'/v2/images/{image_id}')
    same_digest(service, 'an uploaded image', setting.payload.sha512, image['os_hash_value'])
    gib = setting.payload.mib / 1024
    return {
        'upload_mib_s': setting.payload.mib / meter.seconds,
        'upload_cpu_s_gib': meter.cpu_seconds / gib,
    }


def download(service: Service, setting: Setting) -> dict[str, float]:
    """GET the payload three times by the clock, then once more to compare its SHA-512."""
    client = service.client()
    image_id = client.create_image('bench download')
    client.upload(image_id, 'file', setting.payload.path)
    os.sync()
    seconds, cpu_seconds = [], []
    for _ in range(DOWNLOADS):
        with Meter(service) as meter:
            received, _ = client.download(image_id)
        if received != setting.payload.size:
            raise WrongData(f'{service.name}: {received} bytes of {setting.payload.size}')
        seconds.append(meter.seconds)
        cpu_seconds.append(meter.cpu_seconds)
    _, digest = client.download(image_id, digest=True)
    same_digest(service, 'a downloaded body', setting.payload.sha512, digest)
    return {
        'download_mib_s': setting.payload.mib / statistics.median(seconds),
        'download_cpu_s_gib': statistics.median(cpu_seconds) * 1024 / setting.payload.mib,
    }
