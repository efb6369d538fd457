# SPDX-License-Identifier: Apache-2.0
"""A real conductor that stands still in one step, so that a test can kill it there.

``PAUSE_STEP`` names the step, ``PAUSE_FILE`` is made when the step is reached. The step's work is
done by then, but nobody has been told: the worst moment to die.
"""

import os
import sys
import threading
from pathlib import Path

from taskflow import task

from glance_lite.cmd import conductor

_notify = task.Task.post_execute


def post_execute(self: task.Task) -> None:
    """Stand still for ever after the work of the named step."""
    if self.name == os.environ['PAUSE_STEP']:
        Path(os.environ['PAUSE_FILE']).touch()
        threading.Event().wait()
    _notify(self)


task.Task.post_execute = post_execute

if __name__ == '__main__':
    sys.exit(conductor.main())
