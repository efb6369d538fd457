# SPDX-License-Identifier: Apache-2.0
"""The author's reference has every method with its exact signature, and every field."""

import dataclasses
import inspect
from pathlib import Path

import pytest
from taskflow import task

from glance_lite.image_import import surface
from glance_lite.plugin import base
from glance_lite.plugin.loader import PluginSet
from tests.engine import Engine

DOC = Path(__file__).resolve().parents[3] / 'doc' / 'source' / 'plugins'
REFERENCE = (DOC / 'reference.rst').read_text()
#: Made by the service, so its constructor is nobody's business.
NOT_FOR_AUTHORS = {('StagedData', '__init__')}


def signatures():
    for owner in (base.ImportPlugin, base.StagedData):
        for name, member in vars(owner).items():
            if name.startswith('_') and name != '__init__':
                continue
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, '__func__', function)
            if inspect.isfunction(function) and (owner.__name__, name) not in NOT_FOR_AUTHORS:
                yield name + str(inspect.signature(function)).replace("'", '')
    yield 'reject' + str(inspect.signature(base.reject)).replace("'", '')


@pytest.mark.parametrize('signature', signatures())
def test_each_method_has_a_heading_with_its_signature(signature):
    heading = f'``{signature}``'
    assert f"\n{heading}\n{'-' * len(heading)}\n" in REFERENCE


@pytest.mark.parametrize('kind', [base.ImageSnapshot, base.ImageChanges, base.Importer])
def test_each_field_is_described(kind):
    for field in dataclasses.fields(kind):
        assert f'``{field.name}``' in REFERENCE, field.name


def test_each_action_of_the_field_is_described():
    text = (DOC / 'glance.rst').read_text()
    for owner in (surface.ActionWrapper, surface.ImportAction):
        for name, member in vars(owner).items():
            if inspect.isfunction(member) and not name.startswith('_'):
                assert f'``{name}``' in text or name == 'wanted_properties', name


def test_each_keyword_of_get_flow_is_described(conf):
    seen = set()

    def get_flow(**kwargs):
        seen.update(kwargs)
        return task.FunctorTask(lambda: None, name='any')

    engine = Engine(conf, PluginSet({'p': get_flow}))
    engine.post(engine.stage())
    engine.conductor().run_pending()
    text = (DOC / 'glance.rst').read_text()
    assert 'action_wrapper' in seen
    assert [name for name in sorted(seen) if f'``{name}``' not in text] == []
