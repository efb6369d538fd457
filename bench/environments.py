# SPDX-License-Identifier: Apache-2.0
"""Make the Python environments that the benchmark runs its two services in.

Each is a plain virtual environment filled by pip; a stamp file remembers what was asked for, so
that a second run starts at once. Nothing here knows what the services are or how they start.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def make(folder: Path, requirements: list[str], sources: tuple[Path, ...] = ()) -> Path:
    """Make the virtual environment ``folder`` with ``requirements``, unless it is there already.

    :param requirements: arguments of ``pip install``; another list than last time is installed
        into the same environment.
    :param sources: files whose change means installing again.
    :returns: the environment's ``bin`` folder.
    :raises subprocess.CalledProcessError: when venv or pip fails (their output is shown).
    """
    stamp = folder / 'bench-requirements.txt'
    wanted = '\n'.join([*requirements, *(path.read_text() for path in sources)])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f'making {folder} with {" ".join(requirements)}', flush=True)
        if not (folder / 'bin' / 'python').exists():
            subprocess.run([sys.executable, '-m', 'venv', str(folder)], check=True)
        pip = [str(folder / 'bin' / 'python'), '-m', 'pip', 'install', '--quiet']
        subprocess.run([*pip, *requirements], check=True)
        stamp.write_text(wanted)
    return folder / 'bin'
