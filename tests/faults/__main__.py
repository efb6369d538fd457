# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults``: strike a service with faults and audit what is left."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from pathlib import Path

from tests import services
from tests.faults import audit, matrix
from tests.faults.campaign import PLUGINS, Campaign, look_at_rest
from tests.faults.matrix import Matrix
from tests.faults.world import MANY_ATTEMPTS, World, world


def main() -> int:
    """Run what was asked for; exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog='python -m tests.faults', description=__doc__)
    parser.add_argument('--database', choices=services.KINDS, default='sqlite')
    parser.add_argument('--board', choices=['redis'], help='restarted empty now and then')
    parser.add_argument('--faults', type=int, default=None, help='how many, at random')
    parser.add_argument('--tasks', type=int, default=0, help='go on for so many, and ask for more')
    parser.add_argument('--seed', type=int, default=random.randrange(10**6))
    parser.add_argument('--attempts', type=int, default=MANY_ATTEMPTS, help='[import] max_attempts')
    parser.add_argument('--folder', type=Path, help='a new one, in which everything stays')
    parser.add_argument('--matrix', action='store_true', help='each fault of the table once')
    parser.add_argument('--write-matrix', action='store_true', help='and write it to the page')
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(f'{args.database}, board {args.board or "sql"}, seed {args.seed}', flush=True)
    with tempfile.TemporaryDirectory(prefix='faults-') as temporary:
        folder = args.folder or Path(temporary) / 'world'
        with world(folder, args.database, args.board, PLUGINS, args.attempts) as found:
            if args.matrix or args.write_matrix:
                problems = _try_each(found, args)
            else:
                faults = 1000 if args.faults is None and not args.tasks else args.faults or 0
                result = Campaign(found, faults, args.seed, print, args.tasks).run()
                print(result.summary())
                problems = [*result.problems, *result.evidence]
    for problem in problems:
        print(f'- {problem}')
    return 1 if problems else 0


def _try_each(found: World, args: argparse.Namespace) -> list[str]:
    tried = Matrix(found, args.seed)
    tried.run()
    print(matrix.render(tried.outcomes))
    if args.write_matrix:
        matrix.write(tried.outcomes)
    return (
        tried.problems
        + look_at_rest(found, tried.images)
        + audit.fencing(found.events(), args.database)
    )


if __name__ == '__main__':
    sys.exit(main())
