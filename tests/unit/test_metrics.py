# SPDX-License-Identifier: Apache-2.0
"""What is counted, under which labels, and where."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

from glance_lite import exceptions, exporting, metrics
from glance_lite.domain import task as task_domain
from tests.engine import Engine


@pytest.fixture
def meter() -> metrics.PrometheusMeter:
    return metrics.PrometheusMeter()


def value(meter: metrics.PrometheusMeter, name: str, **labels: str) -> float | None:
    found: float | None = meter.registry.get_sample_value(f'glance_lite_{name}', labels)
    return found


def test_off_nothing_is_counted(conf: cfg.ConfigOpts) -> None:
    meter = metrics.meter_for(conf)
    assert type(meter) is metrics.Meter
    meter.request('GET', None, '/x', '200', 0.1)
    meter.import_ended('glance-direct', None, 1.0, [])
    assert exporting.Exporter.from_conf(conf).listener is None
    assert metrics.DIRECTORY_VARIABLE not in os.environ


def test_a_request_counts_under_its_route(meter: metrics.PrometheusMeter) -> None:
    meter.request('GET', '/v2/images/{image_id}', '/v2/images/1', '200', 0.02)
    meter.request('GET', '/v2/images/{image_id}', '/v2/images/2', '404', 0.2)
    labels = {'method': 'GET', 'route': '/v2/images/{image_id}'}
    assert value(meter, 'http_requests_total', **labels, status='200') == 1
    assert value(meter, 'http_requests_total', **labels, status='404') == 1
    assert value(meter, 'http_request_duration_seconds_bucket', **labels, le='0.025') == 1
    assert value(meter, 'http_request_duration_seconds_count', **labels) == 2


def test_what_users_make_up_gets_no_label_of_its_own(meter: metrics.PrometheusMeter) -> None:
    for number in range(50):
        meter.request(f'GRAB{number}', None, f'/secret/{number}', '404', 0.01)
    meter.request('GET', None, '/healthcheck', '200', 0.01)
    labels = {'method': 'other', 'route': 'other', 'status': '404'}
    assert value(meter, 'http_requests_total', **labels) == 50
    (family,) = (f for f in meter.registry.collect() if f.name == 'glance_lite_http_requests')
    assert {sample.labels['route'] for sample in family.samples} == {'other', '/healthcheck'}


def test_an_import_counts_with_its_code_phases_and_plugins(meter: metrics.PrometheusMeter) -> None:
    phases = [
        {'phase': 'download', 'bytes_done': 700, 'seconds': 2.0},
        {'phase': 'run-plugin:scan', 'bytes_done': 0, 'seconds': 20.0},
        {'phase': 'copy-to-store:fast', 'bytes_done': 500, 'seconds': 0.2},
    ]
    meter.import_ended('web-download', 'store_failed', 25.0, phases)
    labels = {'method': 'web-download', 'outcome': 'failure'}
    assert value(meter, 'imports_total', **labels, code='store_failed') == 1
    assert value(meter, 'import_duration_seconds_sum', **labels) == 25.0
    assert value(meter, 'import_phase_bytes_total', phase='download') == 700
    assert value(meter, 'import_phase_duration_seconds_sum', phase='copy-to-store:fast') == 0.2
    assert value(meter, 'import_plugin_duration_seconds_bucket', plugin='scan', le='15.0') == 0
    assert value(meter, 'import_plugin_duration_seconds_bucket', plugin='scan', le='60.0') == 1


def test_conductors_count_what_ends_once(
    conf: cfg.ConfigOpts, meter: metrics.PrometheusMeter
) -> None:
    engine = Engine(conf)
    engine.services.meter = meter
    good = engine.post(engine.stage(1000))
    bad = engine.post(engine.stage(1000), stores=['nowhere'])
    engine.conductor().run_pending()
    assert engine.task(good).status == task_domain.SUCCESS
    assert engine.task(bad).status == task_domain.FAILURE
    labels = {'method': 'glance-direct'}
    assert value(meter, 'imports_total', **labels, outcome='success', code='') == 1
    assert value(meter, 'imports_total', **labels, outcome='failure', code='store_failed') == 1
    assert value(meter, 'import_phase_duration_seconds_count', phase='complete-task') == 1
    engine.db.dispose()


def test_files_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    names = [f'counter_{os.getpid()}.db', 'counter_999999999.db', 'notes.txt']
    for name in names:
        (tmp_path / name).touch()
    metrics.forget_dead(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted([names[0], 'notes.txt'])


def test_a_directory_that_cannot_be_used_stops_the_start(
    make_conf: Callable[..., cfg.ConfigOpts], tmp_path: Path
) -> None:
    (tmp_path / 'file').touch()
    conf = make_conf(f'[metrics]\nbind_port = 1\ndirectory = {tmp_path}/file/x\n')
    with pytest.raises(exceptions.ConfigError, match=r'\[metrics\] directory'):
        metrics.meter_for(conf)
