# SPDX-License-Identifier: Apache-2.0
"""Which URLs the service may fetch: the rules, and the tricks that must not get round them."""

import ipaddress
import logging

import pytest
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.conf import import_filtering
from glance_lite.remote import UrlFilter, UrlRefused, mask_url, resolver
from glance_lite.remote.urls import is_masked

PUBLIC = '93.184.216.34'


@pytest.fixture
def build(names, tmp_path):
    """Return a function that makes a filter from the lines of a configuration file."""

    def make(lines=''):
        path = tmp_path / 'filter.conf'
        path.write_text(f'[import_filtering_opts]\n{lines}\n')
        conf = cfg.ConfigOpts()
        import_filtering.register_opts(conf)
        conf(['--config-file', str(path)])
        return UrlFilter.from_conf(conf, resolve=names)

    return make


def refusal(url_filter, url):
    with pytest.raises(UrlRefused) as caught:
        url_filter.check_resolved(url)
    assert caught.value.code == 'filtered_uri'
    assert str(caught.value) == f'The URI {mask_url(url)} is refused: {caught.value.reason}.'
    return caught.value.reason


def test_a_public_url_passes(build, names):
    names.add('images.example.org', [PUBLIC])
    checked = build().check_resolved('HTTPS://Images.Example.ORG./a/b.img?x=1#part')
    assert (checked.scheme, checked.host, checked.port) == ('https', 'images.example.org', 443)
    assert checked.target == '/a/b.img?x=1'
    assert checked.netloc == 'images.example.org'


def test_a_path_with_letters_beyond_ascii_is_encoded(build):
    checked = build().check_url('http://example.org/ä b'.replace(' ', '%20'))
    assert checked.target == '/%C3%A4%20b'


@pytest.mark.parametrize(
    ('url', 'range_name', 'network'),
    [
        ('http://127.0.0.1/', 'loopback', '127.0.0.0/8'),
        ('http://127.9.9.9/', 'loopback', '127.0.0.0/8'),
        ('http://10.0.0.5/', 'private', '10.0.0.0/8'),
        ('http://172.31.255.255/', 'private', '172.16.0.0/12'),
        ('http://192.168.1.1/', 'private', '192.168.0.0/16'),
        ('http://100.64.0.1/', 'shared', '100.64.0.0/10'),
        ('http://169.254.169.254/latest/meta-data/', 'cloud metadata', '169.254.169.254/32'),
        ('http://168.63.129.16/', 'cloud metadata', '168.63.129.16/32'),
        ('http://169.254.1.1/', 'link-local', '169.254.0.0/16'),
        ('http://0.0.0.0/', 'unspecified', '0.0.0.0/8'),
        ('http://224.0.0.1/', 'multicast', '224.0.0.0/4'),
        ('http://240.0.0.1/', 'reserved', '240.0.0.0/4'),
        ('http://255.255.255.255/', 'broadcast', '255.255.255.255/32'),
        ('http://198.18.0.1/', 'benchmarking', '198.18.0.0/15'),
        ('http://[::1]/', 'loopback', '::1/128'),
        ('http://[::]/', 'unspecified', '::/128'),
        ('http://[fc00::1]/', 'unique local', 'fc00::/7'),
        ('http://[fd00:ec2::254]/', 'cloud metadata', 'fd00:ec2::254/128'),
        ('http://[fe80::1]/', 'link-local', 'fe80::/10'),
        ('http://[ff02::1]/', 'multicast', 'ff00::/8'),
        ('http://[::ffff:127.0.0.1]/', 'loopback', '127.0.0.0/8'),
        ('http://[::ffff:a00:5]/', 'private', '10.0.0.0/8'),
        ('http://[::7f00:1]/', 'reserved', '::/0'),
        ('http://[64:ff9b::10.0.0.1]/', 'private', '10.0.0.0/8'),
        ('http://[64:ff9b:1::1]/', 'local NAT64', '64:ff9b:1::/48'),
        ('http://[2002:7f00:1::]/', '6to4', '2002::/16'),
        ('http://[2001:0:1::1]/', 'Teredo', '2001::/32'),
    ],
)
def test_an_address_that_is_not_public_is_refused_with_its_range(build, url, range_name, network):
    reason = refusal(build(), url)
    assert f'is in the {range_name} range {network}' in reason
    assert '[import_filtering_opts]' in reason


@pytest.mark.parametrize(
    'url', ['http://8.8.8.8/', 'http://[2606:4700::1111]/', 'http://[64:ff9b::8.8.8.8]/']
)
def test_a_public_address_passes(build, url):
    build().check_resolved(url)


@pytest.mark.parametrize(
    ('url', 'rule'),
    [
        ('http://2130706433/', 'a number'),
        ('http://127.1/', 'a number'),
        ('http://0177.0.0.1/', 'a number'),
        ('http://0x7f000001/', 'a number'),
        ('http://0x7f.0.0.1/', 'a number'),
        ('http://127.0.0.0x1/', 'a number'),
        ('http://0x/', 'a number'),
        ('http://127.0.0.1.5/', 'a number'),
        ('http://example.org.1/', 'a number'),
        ('http://%31%32%37.0.0.1/', 'percent-encoded'),
        ('http://examp%6ce.org/', 'percent-encoded'),
        ('http://good.example\\@10.0.0.1/', 'backslash'),
        ('http:\\\\10.0.0.1/', 'backslash'),
        ('http://a@b@10.0.0.1/', 'more than one @'),
        ('http://good.example /', 'white space'),
        (' http://good.example/', 'white space'),
        ('http://good.example\t.evil.example/', 'white space'),
        ('http://good.example\r\nX: y/', 'white space'),
        ('http://good.example\x00/', 'control character'),
        ('http://good\u200b.example/', 'control character'),
        ('http://good.example\u2028/', 'white space'),
        ('http:///disk.raw', 'no host'),
        ('http:good.example/', 'no host'),
        ('http://user@/', 'no host'),
        ('http://:80/', 'no host'),
        ('//good.example/', 'no scheme'),
        ('good.example/disk.raw', 'no scheme'),
        ('', 'no scheme'),
        ('http://a..b/', 'not a valid name'),
        ('http://good.example../', 'not a valid name'),
        ('http://-a.example/', 'not a valid name'),
        ('http://good,evil.example/', 'not a valid name'),
        (f'http://{"a" * 64}.example/', 'not a valid name'),
        ('http://[fe80::1%25eth0]/', 'zone'),
        ('http://[::1/', 'brackets'),
        ('http://[::1]x/', 'brackets'),
        ('http://[127.0.0.1]/', 'not IPv6'),
        ('http://good.example:99999/', 'its port'),
        ('http://good.example:0/', 'its port'),
        ('http://good.example:8o/', 'its port'),
        ('http://good.example:80:80/', 'its port'),
        ('http://good.example:\u0668\u0660/', 'its port'),
        ('http://good.example/' + 'a' * 9000, 'longer than 8192'),
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(build, url, rule):
    assert rule in refusal(build('allowed_ports ='), url)


@pytest.mark.parametrize('value', [None, 7, b'http://good.example/', ['http://good.example/']])
def test_what_is_not_a_string_is_refused(build, value):
    with pytest.raises(UrlRefused, match='not a string'):
        build().check_url(value)


@pytest.mark.parametrize(
    'url',
    [
        'http://\u2460\u2461\u2466.0.0.1/',
        'http://127\u30020\u30020\u30021/',
        'http://\uff11\uff12\uff17.0.0.1/',
        'http://127.0.0.1./',
        'http://good.example@127.0.0.1/',
        'http://good.example:80@127.0.0.1/',
        'http://127.0.0.1#@good.example/',
        'http://127.0.0.1?@good.example/',
    ],
)
def test_loopback_in_disguise_is_seen_as_what_it_is(build, url):
    assert 'loopback' in refusal(build(), url)


def test_an_internationalised_name_is_judged_in_its_ascii_form(build, names):
    names.add('xn--bcher-kva.example', [PUBLIC])
    assert build().check_resolved('http://BÜCHER.example/').host == 'xn--bcher-kva.example'


def test_user_info_is_kept_apart_and_hidden(build, names):
    names.add('good.example', [PUBLIC])
    checked = build().check_resolved('http://me:s3cret%40@good.example/x?sig=abc')
    assert checked.host == 'good.example'
    assert checked.masked == 'http://***@good.example/x?sig=***'
    assert checked.authorization == 'Basic bWU6czNjcmV0QA=='
    assert 's3cret' not in repr(checked)
    assert 'abc' not in repr(checked)
    assert '@' not in checked.url


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        (
            'https://u:p@h/x?X-Amz-Signature=1&a=2&b#f',
            'https://***@h/x?X-Amz-Signature=***&a=***&***',
        ),
        ('http://u:p@w@h/', 'http://***@h/'),
        ('http://u:p?w@h/', 'http://***?***'),
        ('http://u:p#w@h/', 'http://***'),
        ('http://u:p\n@h/', 'http://***@h/'),
        ('http:\\\\u:p@h/', 'http:\\\\***@h/'),
        ('http:/u:p@h/', '***@h/'),
        ('u:p@h/x', '***@h/x'),
        ('u:p/w@h/x', '***@h/x'),
        ('http://h/us/er:pw@x/', 'http://h/us/***@x/'),
        ('http://h:81/image@sha256:abc', 'http://h:81/image@sha256:abc'),
        ('http://[::1]:81/x', 'http://[::1]:81/x'),
        ('http://h/\x1b[31m', 'http://h/_[31m'),
    ],
)
def test_secrets_are_masked_even_in_malformed_urls(url, shown):
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    ('url', 'masked'),
    [
        ('http://h/x', False),
        ('http://u:p@h/x', True),
        ('http://h/x?token=1', True),
        ('http://h/' + 'x' * 600, True),
    ],
)
def test_it_is_known_whether_a_masked_url_may_lack_something(url, masked):
    assert is_masked(mask_url(url)) is masked


def test_the_default_port_counts(build):
    assert 'its port 80 is not in' in refusal(build('allowed_ports = 443'), 'http://8.8.8.8/')
    assert 'disallowed_ports' in refusal(build('disallowed_ports = [80]'), 'http://8.8.8.8/')


def test_ports_by_default_are_those_of_the_web(build):
    assert 'its port 22 is not in [import_filtering_opts] allowed_ports' in refusal(
        build(), 'http://8.8.8.8:22/'
    )
    build('allowed_ports = []').check_url('http://8.8.8.8:22/')


def test_schemes(build):
    assert 'its scheme file' in refusal(build(), 'file://etc/passwd')
    assert 'its scheme ftp' in refusal(build(), 'ftp://8.8.8.8/')
    assert 'neither http nor https' in refusal(build('allowed_schemes = ftp'), 'ftp://8.8.8.8/')
    assert 'disallowed_schemes' in refusal(build('disallowed_schemes = [http]'), 'http://8.8.8.8/')
    build('allowed_schemes = []').check_url('http://8.8.8.8/')


def test_what_both_lists_have_is_refused_with_a_warning(build, caplog):
    with caplog.at_level(logging.WARNING):
        url_filter = build('allowed_ports = 80,443\ndisallowed_ports = 80')
    assert 'allowed_ports and disallowed_ports both list 80' in caplog.text
    assert 'disallowed_ports' in refusal(url_filter, 'http://8.8.8.8/')


def test_a_list_of_allowed_hosts_closes_the_others(build, names):
    names.add('a.example', [PUBLIC])
    names.add('b.example', [PUBLIC])
    url_filter = build('allowed_hosts = [A.example]')
    url_filter.check_resolved('http://a.example./')
    assert 'not in [import_filtering_opts] allowed_hosts' in refusal(url_filter, 'http://b.example')
    assert 'allowed_hosts' in refusal(url_filter, 'http://8.8.8.8/')


def test_an_address_in_allowed_hosts_opens_it_as_in_glance(build, names):
    names.add('localhost', ['127.0.0.1'])
    url_filter = build('allowed_hosts = [127.0.0.1]')
    url_filter.check_resolved('http://127.0.0.1/')
    url_filter.check_resolved('http://localhost/')
    assert 'allowed_hosts' in refusal(url_filter, 'http://127.0.0.2/')


def test_a_network_in_allowed_hosts_opens_it(build, names):
    names.add('in.example', ['10.1.2.3'])
    names.add('out.example', ['10.9.2.3'])
    url_filter = build('allowed_hosts = 10.1.0.0/16')
    url_filter.check_resolved('http://10.1.2.3/')
    url_filter.check_resolved('http://in.example/')
    assert 'allowed_hosts' in refusal(url_filter, 'http://out.example/')


def test_a_name_in_allowed_hosts_opens_private_addresses_but_not_metadata(build, names):
    names.add('mirror', ['10.1.2.3'])
    names.add('trap', ['169.254.169.254'])
    url_filter = build('allowed_hosts = mirror, trap')
    url_filter.check_resolved('http://mirror/')
    assert 'cloud metadata' in refusal(url_filter, 'http://trap/')
    build('allowed_hosts = trap, 169.254.169.254').check_resolved('http://trap/')


def test_a_suffix_opens_names_but_no_private_network(build, names):
    names.add('a.example.org', [PUBLIC])
    names.add('b.example.org', ['10.1.2.3'])
    url_filter = build('allowed_hosts = *.example.org')
    url_filter.check_resolved('http://a.example.org/')
    assert 'private range' in refusal(url_filter, 'http://b.example.org/')
    for other in ('http://example.org/', 'http://evilexample.org/'):
        assert 'allowed_hosts' in refusal(url_filter, other)
    build('allowed_hosts = *.example.org\npermitted_networks = 10.0.0.0/8').check_resolved(
        'http://b.example.org/'
    )


def test_permitted_networks_open_without_closing(build, names):
    names.add('a.example', [PUBLIC])
    url_filter = build('permitted_networks = [10.0.0.0/8, ::1]')
    for url in ('http://10.1.2.3/', 'http://[::1]/', 'http://a.example/', 'http://[::ffff:a00:1]/'):
        url_filter.check_resolved(url)
    assert 'loopback' in refusal(url_filter, 'http://127.0.0.1/')


def test_disallowed_hosts_win_over_everything(build, names):
    names.add('a.example', ['10.0.0.5'])
    names.add('b.bad.example', [PUBLIC])
    url_filter = build(
        'allowed_hosts = 10.0.0.0/8, a.example, *.bad.example\n'
        'permitted_networks = 10.0.0.0/8\n'
        'disallowed_hosts = 10.0.0.5, *.bad.example'
    )
    for url in ('http://10.0.0.5/', 'http://a.example/', 'http://b.bad.example/'):
        assert 'disallowed_hosts' in refusal(url_filter, url)
    url_filter.check_resolved('http://10.0.0.6/')


def test_one_refused_address_refuses_the_host_and_is_not_told(build, names):
    names.add('both.example', [PUBLIC, '10.0.0.5'])
    reason = refusal(build(), 'http://both.example/')
    assert 'has an address in the private range 10.0.0.0/8' in reason
    assert '10.0.0.5' not in reason


def test_a_name_without_an_address_is_refused(build, names):
    assert 'cannot be resolved' in refusal(build(), 'http://nowhere.example/')
    names.add('empty.example', [])
    assert 'cannot be resolved' in refusal(build(), 'http://empty.example/')
    build().check_resolved('http://nowhere.example/', must_resolve=False)


def test_a_name_server_in_trouble_is_a_refusal_that_may_pass(build, names):
    def slow(host, timeout_seconds, should_stop):
        raise resolver.NameNotResolved(host, temporary=True)

    url_filter = UrlFilter(resolve=slow)
    with pytest.raises(UrlRefused, match='try again later') as caught:
        url_filter.check_resolved('http://a.example/')
    assert caught.value.retryable


@pytest.mark.parametrize(
    ('line', 'named'),
    [
        ('allowed_hosts = 10.0.0.0/33', "allowed_hosts: '10.0.0.0/33'"),
        ('disallowed_hosts = 10.0.0.5/8', 'has host bits set'),
        ('allowed_hosts = http://a.example', "'http://a.example'"),
        ('allowed_hosts = a.example:8080', "'a.example:8080'"),
        ('allowed_hosts = *', "'*'"),
        ('allowed_hosts = a.*.example', "'a.*.example'"),
        ('allowed_hosts = 10.1', "'10.1'"),
        ('permitted_networks = mirror', 'permitted_networks takes only'),
    ],
)
def test_an_entry_that_cannot_be_used_stops_the_start(build, line, named):
    with pytest.raises(exceptions.ConfigError) as caught:
        build(line)
    assert named in str(caught.value)
    assert '[import_filtering_opts]' in str(caught.value)


def test_the_system_resolver_gives_up_in_time():
    with pytest.raises(resolver.NameNotResolved):
        resolver.resolve('nowhere.invalid', 2.0, lambda: None)
    assert ipaddress.ip_address('127.0.0.1') in resolver.resolve('localhost', 5.0, lambda: None)
