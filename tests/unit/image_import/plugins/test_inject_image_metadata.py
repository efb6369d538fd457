# SPDX-License-Identifier: Apache-2.0
"""The operator's properties on imported images: how they are written, and for whom."""

import pytest

from glance_lite import exceptions
from glance_lite.image_import.plugins.inject_image_metadata import parse_pairs
from glance_lite.testing import images
from glance_lite.testing.trial import Trial

NAME, GROUP = 'inject_image_metadata', 'inject_metadata_properties'


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a service with options of the plugin."""
    started = []

    def start(plugins=(NAME,), **options):
        started.append(Trial(tmp_path, plugins, {GROUP: options}))
        return started[-1]

    yield start
    for trial in started:
        trial.close()


@pytest.fixture
def source(tmp_path):
    return images.write_qcow2(tmp_path / 'source')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('', {}),
        ('  ', {}),
        ('{}', {}),
        ('a:b', {'a': 'b'}),
        ('a:b,c:d', {'a': 'b', 'c': 'd'}),
        (' a : b , c : d ', {'a': 'b', 'c': 'd'}),
        ('{a:b, c:d}', {'a': 'b', 'c': 'd'}),
        ('a:b,', {'a': 'b'}),
        ('a:b,\nc:d', {'a': 'b', 'c': 'd'}),
        ('"a":"b","c":"d"', {'a': 'b', 'c': 'd'}),
        ('a":"b","c":"d', {'a': 'b', 'c': 'd'}),
        ('a":"b', {'a': 'b'}),
        ("'a':'b','c':'d'", {'a': 'b', 'c': 'd'}),
        ("a':'b','c':'d", {'a': 'b', 'c': 'd'}),
        ('"a":b,c:"d"', {'a': 'b', 'c': 'd'}),
        ('a:x:y:z', {'a': 'x:y:z'}),
        ('url:https://example.org:8080/p', {'url': 'https://example.org:8080/p'}),
        ('trait:"x, y: z"', {'trait': 'x, y: z'}),
        ('a":"x, y","c:d":"e', {'a': 'x, y', 'c:d': 'e'}),
        ('"trait:HW":required', {'trait:HW': 'required'}),
        (r'a:"say \"no\" \\ \n"', {'a': r'say "no" \ \n'}),
        ("a:it's fine", {'a': "it's fine"}),
        ('a:', {'a': ''}),
        ('"a":""', {'a': ''}),
        ('a:two words', {'a': 'two words'}),
        ('ä:ö', {'ä': 'ö'}),
    ],
)
def test_both_ways_of_writing_are_read(text, expected):
    assert parse_pairs(text) == expected


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('a', "'a' has no value"),
        ('a,b:c', "'a' has no value"),
        ('a:b,c', "'c' has no value"),
        (':b', 'a name is empty'),
        ('a:b,a:c', "'a' is there twice"),
        ('a:"b', 'a quote is not closed'),
        ('"a":"b" c', 'follows a closing quote'),
        ('a:b"c', 'a quote stands within'),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_pairs(text)


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('a', "'a' has no value"),
        ('os_glance_x:1', "'os_glance_x' belongs to the service"),
        ('status:active', "'status' is an attribute of every image"),
        ('n' * 256 + ':1', 'a property name must be a string of 1 to 255 characters'),
    ],
)
def test_what_cannot_be_injected_stops_the_start(start, text, sentence):
    with pytest.raises(exceptions.ConfigError) as caught:
        start(inject=text)
    assert sentence in str(caught.value)
    assert f"Import plugin '{NAME}': [{GROUP}] inject:" in str(caught.value)


@pytest.mark.parametrize(
    'written',
    ['"property1":"value1","property2":"a, b: c"', 'property1:value1,property2:"a, b: c"'],
)
def test_an_imported_image_has_the_properties(start, source, written):
    image = start(inject=written).import_file(source).image
    assert image.properties == {'property1': 'value1', 'property2': 'a, b: c'}


def test_they_come_before_what_the_user_has_set(start, source):
    trial = start(inject='tier:bronze')
    image = trial.import_file(source, properties={'tier': 'gold', 'mine': '1'}).image
    assert image.properties == {'tier': 'bronze', 'mine': '1'}


@pytest.mark.parametrize(
    ('ignored', 'roles', 'injected'),
    [
        ('admin', ['member'], True),
        ('admin', ['member', 'admin'], False),
        ('admin', ['Admin'], False),
        ('Admin, Reader', ['READER'], False),
        ('[reader, "auditor"]', ['auditor'], False),
        ('reader', ['admin'], True),
        ('', ['admin'], True),
        ('administrator', ['admin'], True),
    ],
)
def test_users_with_an_ignored_role_get_none(start, source, ignored, roles, injected):
    trial = start(inject='a:b', ignore_user_roles=ignored)
    image = trial.import_file(source, roles=roles).image
    assert image.properties == ({'a': 'b'} if injected else {})


def test_by_default_only_admins_are_ignored(start, source):
    trial = start(inject='a:b')
    assert trial.import_file(source, roles=['admin']).image.properties == {}
    assert trial.import_file(source, roles=['member']).image.properties == {'a': 'b'}


def test_nothing_is_injected_unless_the_plugin_is_listed(start, source):
    assert start(plugins=['no_op'], inject='a:b').import_file(source).image.properties == {}


def test_nothing_is_injected_before_the_import(start, source):
    trial = start(inject='a:b')
    assert trial.image(trial.stage(source)).properties == {}


def test_they_stay_when_a_later_step_fails(start, source):
    trial = start(inject='a:b')
    outcome = trial.import_file(source, store='full')
    assert outcome.image.status == 'uploading'
    assert outcome.image.properties['a'] == 'b'


def test_no_properties_change_nothing(start, source):
    assert start().import_file(source).image.properties == {}
