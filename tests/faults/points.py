# SPDX-License-Identifier: Apache-2.0
"""The table: at which points of the service which faults may strike.

A fault that nothing real could bring about at a point is not in its row: behind the commit of
``activate-image``, say, there is no code that could fail.
"""

from __future__ import annotations

import dataclasses

#: What a fault does -> what it stands for.
ACTIONS = {
    'raise': 'a bug: an exception that nobody expects',
    'kill': '``kill -9`` of the process',
    'stop': 'SIGSTOP for longer than the lease, or than a silent upload is waited for',
    'drop': 'the database closes every connection of the process, or the answer to a commit is '
    'lost; on SQLite another process holds the write lock for longer than the lease',
    'full': 'no space left on the disk',
    'fail': 'the disk, or the store on it, fails',
    'cut': 'the network is cut',
}

#: Where the bytes come from -> how images get their data in the runs.
DIRECT, WEB, UPLOAD, DELETE = 'glance-direct', 'web-download', 'PUT file', 'DELETE'
#: More stores get the data of an image that is active.
COPY = 'copy-image'
METHODS = (DIRECT, WEB, UPLOAD, DELETE)
IMPORTS = (DIRECT, WEB)

#: The steps of an import, names of stores and plugins left out.
STEPS = (
    'confirm-claim',
    'use-staged',
    'download',
    'fetch-copy',
    'verify-staged',
    'run-plugin',
    'keep-path',
    'measure-data',
    'copy-to-store',
    'activate-image',
    'add-locations',
    'delete-staged',
    'complete-task',
)
#: The steps of no return.
_PUBLISHING = ('activate-image', 'add-locations')
#: After the point of no return steps care for their own failures, and nothing is undone.
_PUBLISHED = ('delete-staged', 'complete-task')
_METHODS = {
    'use-staged': (DIRECT,),
    'download': (WEB,),
    'fetch-copy': (COPY,),
    'copy-to-store': (*IMPORTS, COPY),
    'add-locations': (COPY,),
}
_ANYWHERE = ('kill', 'stop', 'drop')


@dataclasses.dataclass(frozen=True)
class Point:
    """A place where a fault can strike: in the conductor or in the API, for these methods."""

    name: str
    program: str
    what: str
    actions: tuple[str, ...] = _ANYWHERE
    methods: tuple[str, ...] = IMPORTS


def _steps() -> list[Point]:
    found = []
    for step in STEPS:
        methods = _METHODS.get(step, IMPORTS)
        begin = _ANYWHERE if step in _PUBLISHED else ('raise', *_ANYWHERE)
        if step == 'run-plugin':
            begin = ('full', *begin)
        end = _ANYWHERE if step in _PUBLISHING else begin
        found += [
            Point(f'begin:{step}', 'conductor', 'the step begins', begin, methods),
            Point(f'end:{step}', 'conductor', 'its work is done, nobody was told', end, methods),
        ]
        if step not in _PUBLISHED:
            # the steps promise not to raise when they are undone; a plugin promises nothing
            revert = ('raise', *_ANYWHERE) if step == 'run-plugin' else _ANYWHERE
            found.append(Point(f'revert:{step}', 'conductor', 'it is undone', revert, methods))
    return found


_LIST = [
    *_steps(),
    Point('claim', 'conductor', 'an import was claimed'),
    Point('attempt', 'conductor', 'an attempt was counted, and not yet committed'),
    Point('record', 'conductor', 'a step failed, and the reason is not yet written'),
    Point(
        'settle',
        'conductor',
        'the outcome was written, and not yet committed',
        methods=(*IMPORTS, COPY),
    ),
    Point('settled', 'conductor', 'the outcome was committed'),
    Point('consume', 'conductor', 'the job is to be removed'),
    Point('consumed', 'conductor', 'the job was removed'),
    Point('commit', 'conductor', 'a transaction of an import is to be committed'),
    Point('committed', 'conductor', 'a transaction of an import was committed'),
    Point('heartbeat', 'conductor', 'the leases are to be renewed', ('raise', *_ANYWHERE)),
    Point('janitor', 'conductor', 'the janitor goes round', ('kill', 'stop', 'drop')),
    Point('source-read', 'conductor', 'bytes come from the source', ('cut', *_ANYWHERE), (WEB,)),
    Point(
        'staging-write',
        'conductor',
        'they are written to staging',
        ('full', 'fail', *_ANYWHERE),
        (WEB,),
    ),
    Point('store-copy', 'conductor', 'a store takes the data', ('full', 'fail', *_ANYWHERE)),
    Point('store-publish', 'conductor', 'and gives it its name', ('fail', *_ANYWHERE)),
    Point('body-read', 'api', 'bytes come from the client', ('cut', *_ANYWHERE), (DIRECT, UPLOAD)),
    Point(
        'body-write',
        'api',
        'they are written',
        ('full', 'fail', *_ANYWHERE),
        (DIRECT, UPLOAD),
    ),
    Point('stage-entered', 'api', 'the image is ``uploading``', _ANYWHERE, (DIRECT,)),
    Point('stage-written', 'api', 'all bytes are in staging', ('raise', *_ANYWHERE), (DIRECT,)),
    Point('stage-recorded', 'api', 'the staged data was committed', _ANYWHERE, (DIRECT,)),
    Point('upload-entered', 'api', 'the image is ``saving``', _ANYWHERE, (UPLOAD,)),
    Point('upload-publish', 'api', 'a store names the data', ('fail', *_ANYWHERE), (UPLOAD,)),
    Point('upload-written', 'api', 'all bytes are stored', _ANYWHERE, (UPLOAD,)),
    Point('upload-recorded', 'api', 'the active image was committed', _ANYWHERE, (UPLOAD,)),
    Point('import-committed', 'api', 'an import was posted, not answered', _ANYWHERE),
    Point('delete-committed', 'api', 'an image is deleted, its bytes not', _ANYWHERE, (DELETE,)),
    Point('api-commit', 'api', 'a transaction is to be committed', _ANYWHERE, METHODS),
    Point('api-committed', 'api', 'a transaction was committed', _ANYWHERE, METHODS),
]

POINTS = {point.name: point for point in _LIST}
