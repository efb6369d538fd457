# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-conductor`` with the fault points of the conductor in it, started again at once.

The parent has everything imported and only forks, so that a killed conductor is back in no time.
"""

import ctypes
import os
import signal
import sys

from glance_lite import deploy  # noqa: F401 - imported before the fork
from glance_lite.cmd import conductor
from glance_lite.supervisor import EX_CONFIG
from tests.faults import hooks

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run one conductor after another until one says that none can work."""
    hooks.shorten()
    hooks.install('conductor')
    while True:
        child = os.fork()
        if not child:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            hooks.note('process', program='conductor')
            os._exit(conductor.main())
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        hooks.note('ended', child=child, code=code)
        if code in (os.EX_OK, EX_CONFIG):
            return code


if __name__ == '__main__':
    sys.exit(main())
