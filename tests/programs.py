# SPDX-License-Identifier: Apache-2.0
"""Programs of Debian packages that tests start."""

import os
import shutil

import pytest


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Mark tests to be skipped where a program is not installed, unless services are required."""
    required = os.environ.get('GLANCE_LITE_REQUIRE_SERVICES') == '1'
    missing = shutil.which(program) is None and not required
    return pytest.mark.skipif(missing, reason=f'no {program} here; apt install {package}')


QEMU_IMG = needs('qemu-img', 'qemu-utils')
