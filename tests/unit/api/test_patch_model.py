# SPDX-License-Identifier: Apache-2.0
"""Patches of random operations against a small model of an image, in both media types."""

from __future__ import annotations

from typing import Any

import hypothesis
from hypothesis import strategies as st

from glance_lite.domain import json_patch

from .conftest import Api

BASE = {'name': None, 'min_ram': 0, 'tags': []}
NAMES = st.sampled_from(['name', 'min_ram', 'tags', 'a', 'b/c', 'd~e', '~1', 'f~0/g'])
VALUES = st.one_of(
    st.sampled_from(['', 'x', 'Ü']), st.integers(-1, 3), st.none(), st.lists(st.sampled_from('xy'))
)
CHANGES = st.tuples(st.sampled_from(json_patch.OPS), NAMES, VALUES)
PATCHES = st.tuples(st.booleans(), st.lists(CHANGES, min_size=1, max_size=4))


def expected(image: dict[str, Any], old: bool, changes: Any) -> tuple[int, dict[str, Any]]:
    """Return the status, and the image as it then is: the first wrong operation undoes all."""
    found = dict(image)
    for op, name, value in changes:
        if op == 'remove' and name in BASE:
            return 403, image
        if (op != 'add' and name not in found) or (op == 'add' and old and name in found):
            return 409, image
        if op == 'remove':
            del found[name]
            continue
        fits = {
            'name': value is None or isinstance(value, str),
            'min_ram': isinstance(value, int) and value >= 0,
            'tags': isinstance(value, list),
        }.get(name, isinstance(value, str))
        if not fits:
            return 400, image
        found[name] = sorted(set(value)) if name == 'tags' else value
    return 200, found


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(st.lists(PATCHES, min_size=1, max_size=4))
def test_patches_do_what_the_model_does(api: Api, patches: Any) -> None:
    path, image = api.create(), dict(BASE)
    for old, changes in patches:
        body = []
        for op, name, value in changes:
            pointer = '/' + name.replace('~', '~0').replace('/', '~1')
            told = {op: pointer} if old else {'op': op, 'path': pointer}
            body.append(told if op == 'remove' else {**told, 'value': value})
        media_type = json_patch.TYPE_2_0 if old else json_patch.TYPE_2_1
        answer = api.call('PATCH', path, body, headers={'Content-Type': media_type})
        status, image = expected(image, old, changes)
        assert answer.status_int == status, (answer.text, body)
        shown = api.get(path).json
        assert {name: shown.get(name) for name in image} == image
        assert not [
            each
            for each in ('a', 'b/c', 'd~e', '~1', 'f~0/g')
            if each in shown and each not in image
        ]
