# SPDX-License-Identifier: Apache-2.0
"""The plugin keeps the contract, and lets no image pass without a verdict on all its bytes.

Against a stand-in for clamd that answers as its manual says.
"""

import itertools
import socket
import struct
import threading

import pytest
from glance_lite_clamav import clamd, plugin

from glance_lite import exceptions
from glance_lite.testing.plugins import ImportPluginContract
from glance_lite.testing.trial import Trial

MIB = 1024 * 1024
BAD = b'a sentence that no image may have'


class Scanner:
    """A clamd with one signature. ``answer``, when set, is what it says instead of a verdict."""

    def __init__(self, limit=1024 * MIB):
        self.limit = limit
        self.answer = None
        self.streams = []
        self._socket = socket.create_server(('127.0.0.1', 0))
        self.address = f'tcp://127.0.0.1:{self._socket.getsockname()[1]}'
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._socket.close()

    def _serve(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection, connection.makefile('rwb') as file:
                try:
                    self._answer(file)
                except OSError:
                    pass

    def _answer(self, file):
        command = b''
        while not command.endswith(b'\0'):
            command += file.read(1)
        if command == b'zVERSION\0':
            file.write(b'ClamAV 1.0/1/today\0')
            return
        assert command == b'zINSTREAM\0'
        data = b''
        while (count := struct.unpack('>I', file.read(4))[0]) > 0:
            data += file.read(count)
            if len(data) > self.limit:
                file.write(b'INSTREAM size limit exceeded. ERROR\0')
                return
        self.streams.append(data)
        verdict = b'stream: Test.Bad FOUND' if BAD in data else b'stream: OK'
        file.write(self.answer if self.answer is not None else verdict + b'\0')


@pytest.fixture
def scanner():
    found = Scanner()
    yield found
    found.close()


class TestClamAV(ImportPluginContract):
    plugin_name = 'clamav'

    @pytest.fixture
    def plugin_options(self, scanner):
        return {'clamav': {'address': scanner.address, 'piece_size': 2, 'timeout': 2}}

    def test_a_clean_image_is_scanned_whole_and_the_receipt_says_by_what(
        self, trial, source, scanner
    ):
        outcome = trial.import_file(source)
        [receipt] = outcome.task.receipts
        assert receipt['note'] == 'ClamAV 1.0/1/today found nothing'
        assert b''.join(scanner.streams) == source.read_bytes()

    def test_an_infected_image_is_refused_with_the_name_of_the_signature(self, trial, tmp_path):
        path = tmp_path / 'disk'
        path.write_bytes(bytes(4096) + BAD + bytes(4096))
        outcome = trial.import_file(path, disk_format='raw')
        assert (outcome.code, outcome.image.status) == ('plugin_rejected', 'queued')
        assert 'Test.Bad' in outcome.task.message
        assert trial.staged_files() == []

    @pytest.mark.parametrize('place', [0, 2 * MIB - 10, 3 * MIB - 5, 5 * MIB])
    def test_what_lies_on_the_edge_of_two_pieces_is_found(self, trial, tmp_path, place, scanner):
        path = tmp_path / 'disk'
        path.write_bytes(bytes(place) + BAD + bytes(6 * MIB - place))
        assert trial.import_file(path, disk_format='raw').code == 'plugin_rejected'
        assert all(len(data) <= 2 * MIB for data in scanner.streams)

    @pytest.mark.parametrize(
        'answer',
        [
            b'',
            b'\0',
            b'stream: Error. ERROR\0',
            b'stream: OKAY\0',
            b'Command read timed out\0',
            b'x' * 9000,
        ],
    )
    def test_anything_but_a_verdict_fails_and_can_be_repeated(self, trial, source, scanner, answer):
        scanner.answer = answer
        image_id = trial.stage(source)
        outcome = trial.import_staged(image_id)
        assert (outcome.code, outcome.image.status) == ('plugin_failed', 'uploading')
        assert outcome.task.error['retryable']
        scanner.answer = None
        assert trial.import_staged(image_id).image.status == 'active'

    def test_a_scanner_that_takes_less_is_named_with_its_option(self, trial, source, scanner):
        scanner.limit = 1000
        outcome = trial.import_file(source)
        assert outcome.code == 'plugin_failed' and 'StreamMaxLength' in outcome.task.message

    def test_a_scanner_that_is_away_fails_the_import(self, trial, source, scanner):
        scanner.close()
        outcome = trial.import_file(source)
        assert (outcome.code, outcome.image.status) == ('plugin_failed', 'uploading')
        assert 'The virus scanner cannot be reached.' in outcome.task.message


@pytest.mark.parametrize(
    'wrong', ['clamd', 'tcp://host', 'tcp://host:port', 'unix://host/x', 'tcp://h:1/x', '']
)
def test_a_wrong_address_stops_the_start(tmp_path, wrong):
    with pytest.raises(exceptions.ConfigError, match=r"'clamav': \[clamav\] address: .*tcp://host"):
        Trial(tmp_path, ['clamav'], {'clamav': {'address': wrong}})


def test_the_addresses_that_are_understood():
    assert clamd.parse_address('/run/x') == clamd.Address(path='/run/x')
    assert clamd.parse_address('unix:///run/x') == clamd.Address(path='/run/x')
    assert clamd.parse_address('tcp://[::1]:3310') == clamd.Address(host='::1', port=3310)


def test_a_silent_scanner_is_waited_for_while_the_import_may_go_on(scanner, monkeypatch):
    monkeypatch.setattr(clamd, 'TICK_SECONDS', 0.01)
    silent = socket.create_server(('127.0.0.1', 0))

    def cancelled():
        raise exceptions.ImportCancelled('The import was cancelled.')

    address = clamd.Address(host='127.0.0.1', port=silent.getsockname()[1])
    with pytest.raises(exceptions.ImportCancelled):
        clamd.Clamd(address, 60, cancelled).scan([b'x'])
    with pytest.raises(clamd.ScannerUnavailable, match='in time'):
        clamd.Clamd(address, 0.1).scan([b'x'])
    silent.close()


def test_pieces_cover_all_bytes_and_overlap():
    assert plugin.pieces(0, 2 * MIB) == [(0, 0)]
    assert plugin.pieces(2 * MIB, 2 * MIB) == [(0, 2 * MIB)]
    found = plugin.pieces(5 * MIB + 1, 2 * MIB)
    assert found[0][0] == 0 and found[-1][1] == 5 * MIB + 1
    for before, after in itertools.pairwise(found):
        assert before[1] - after[0] == MIB and after[1] - after[0] <= 2 * MIB
