# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-api`` with the fault points of the API in it."""

import sys

from glance_lite.cmd import api
from tests.faults import hooks

if __name__ == '__main__':
    hooks.shorten()
    hooks.install('api')
    sys.exit(api.main())
