# SPDX-License-Identifier: Apache-2.0
"""Where connections go and what they carry: redirects, pinned addresses, proxies, TLS."""

import socket
import ssl
import threading

import pytest
import trustme
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.conf import web_download
from glance_lite.remote import HttpOptions, UrlFilter, UrlRefused, check_source, urls
from glance_lite.remote.url_filter import HostList

BODY = b'disk' * 1000


def read_all(http_source):
    with http_source:
        return b''.join(http_source.read_chunks())


def failure(http_source):
    with pytest.raises(exceptions.ImportFailed) as caught:
        read_all(http_source)
    return caught.value


# Redirects


def test_redirects_are_followed_and_may_be_relative(source, fetch, ok, redirect):
    server = source(redirect('/next?x=1'), redirect('last', status='308 X'), ok(BODY))
    opened = fetch(server.url('/a/b'))
    assert read_all(opened) == BODY
    assert [request.target for request in server.requests] == ['/a/b', '/next?x=1', '/last']
    assert opened.final_url == server.url('/last')


@pytest.mark.parametrize(
    ('location', 'rule'),
    [
        ('http://10.0.0.1/', 'private range 10.0.0.0/8'),
        ('http://169.254.169.254/latest/', 'cloud metadata'),
        ('//10.0.0.1/', 'private'),
        ('http://private.test/', 'has an address in the private range'),
        ('file:///etc/passwd', 'no host'),
        ('ftp://source.test/', 'scheme ftp'),
        ('http://good.test\\@10.0.0.1/', 'backslash'),
        ('http://2130706433/', 'a number'),
        ('http://user:hunter2@10.0.0.1/?token=hunter3', 'private'),
        ('http:10.0.0.1', 'no host'),
    ],
)
def test_each_hop_is_judged(source, fetch, names, redirect, location, rule):
    names.add('private.test', ['10.0.0.7'])
    server = source(redirect(location))
    error = failure(fetch(server.url('/?sig=hunter1')))
    assert isinstance(error, UrlRefused)
    assert rule in error.message
    assert error.message.startswith(f'The URI {server.url("/?sig=***")} is refused: it redirects')
    assert 'hunter' not in error.message
    assert len(server.requests) == 1


def test_redirects_are_bounded(source, fetch, ok, redirect):
    server = source(redirect('/again'))
    error = failure(fetch(server.url(), max_redirects=3))
    assert error.code == 'source_http_error'
    assert '[web_download] max_redirects' in error.message
    assert len(server.requests) == 4
    assert failure(fetch(source(redirect('/x')).url(), max_redirects=0)).code == 'source_http_error'


def test_a_redirect_to_nowhere_is_an_error(source, fetch, ok):
    assert 'nowhere' in failure(fetch(source(ok(b'', status='302 X')).url())).message


def test_credentials_stay_with_their_origin(source, fetch, ok, redirect):
    other = source(ok(BODY))
    for target in (other.url(host='other.test'), other.url(host='source.test')):
        server = source(redirect('/second'), redirect(target))
        url = server.url().replace('//', '//me:s3cret@')
        assert read_all(fetch(url, headers={'X-Auth-Token': 'tok'})) == BODY
        for request in server.requests:
            assert request.headers['authorization'].startswith('Basic ')
            assert request.headers['x-auth-token'] == 'tok'
        assert not {'authorization', 'x-auth-token'} & set(other.requests[-1].headers)


def test_credentials_in_a_redirect_are_not_used(source, fetch, ok, redirect):
    other = source(ok(BODY))
    server = source(redirect(other.url(host='other.test').replace('//', '//a:b@')))
    assert read_all(fetch(server.url())) == BODY
    assert 'authorization' not in other.requests[0].headers


def test_credentials_are_masked_in_every_failure(source, fetch, ok, redirect):
    for answer in (
        ok(b'', status='404 X'),
        b'junk\r\n\r\n',
        ok(b'x', length=9),
        redirect('http://10.0.0.1'),
        redirect(''),
        ok(b'', 'Content-Encoding: br'),
        redirect('/x?a=s3cret'),
    ):
        url = source(answer).url('/disk?token=s3cret').replace('//', '//me:s3cret@')
        error = failure(fetch(url, max_redirects=1))
        assert 's3cret' not in error.message
        assert 'me:' not in error.message


# Addresses


def test_the_name_is_resolved_once_a_hop_and_the_answer_is_pinned(source, fetch, ok, names):
    server = source(ok(BODY))
    names.add('rebind.test', ['127.0.0.1'], ['10.0.0.1'])
    assert read_all(fetch(server.url(host='rebind.test'))) == BODY
    assert names.asked == ['rebind.test']
    assert server.requests[0].headers['host'] == f'rebind.test:{server.port}'


def test_a_name_that_turns_private_between_tries_is_refused(source, fetch, ok, names):
    server = source(ok(b'', status='503 X'), ok(BODY))
    names.add('rebind.test', ['127.0.0.1'], ['10.0.0.1'])
    assert failure(fetch(server.url(host='rebind.test'))).code == 'filtered_uri'
    assert len(server.requests) == 1


def test_a_name_with_a_refused_address_is_not_connected_to_at_all(source, fetch, ok, names):
    server = source(ok(BODY))
    names.add('mixed.test', ['127.0.0.1', '10.0.0.1'])
    assert failure(fetch(server.url(host='mixed.test'))).code == 'filtered_uri'
    assert server.accepted == 0


def test_a_dead_family_is_passed_over(source, fetch, ok, names):
    server = source(ok(BODY))
    names.add('dual.test', ['::1', '127.0.0.1'])
    assert read_all(fetch(server.url(host='dual.test'), retries=0)) == BODY


def test_a_silent_address_is_passed_over(source, fetch, ok, names):
    server = source(ok(BODY))
    with socket.socket() as silent:
        silent.bind(('127.0.0.2', server.port))
        silent.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(('127.0.0.2', server.port))
            names.add('dual.test', ['127.0.0.2', '127.0.0.1'])
            assert read_all(fetch(server.url(host='dual.test'), retries=0)) == BODY
            names.add('dead.test', ['127.0.0.2'])
            dead = fetch(server.url(host='dead.test'), retries=0, connect_timeout=0.2)
            assert failure(dead).code == 'source_unreachable'
        finally:
            for filler in fillers:
                filler.close()


def test_the_environment_gives_no_proxy_and_no_credentials(
    source, fetch, ok, monkeypatch, tmp_path
):
    proxy, server = source(ok(b'from the proxy')), source(ok(BODY))
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy'):
        monkeypatch.setenv(name, f'http://127.0.0.1:{proxy.port}')
    netrc = tmp_path / '.netrc'
    netrc.write_text('machine source.test login a password b\n')
    netrc.chmod(0o600)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert read_all(fetch(server.url())) == BODY
    assert proxy.accepted == 0
    assert 'authorization' not in server.requests[0].headers


# Proxies


def proxy_url(proxy):
    return urls.parse_url(f'http://me:s3cret@127.0.0.1:{proxy.port}')


def test_an_http_source_through_a_proxy(source, fetch, ok):
    proxy = source(ok(BODY))
    http_source = fetch('http://me:own@only.proxy.test/x?y=1', http_proxy=proxy_url(proxy))
    assert read_all(http_source) == BODY
    asked = proxy.requests[0]
    assert asked.target == 'http://only.proxy.test/x?y=1'
    assert asked.headers['host'] == 'only.proxy.test'
    assert asked.headers['proxy-authorization'] == 'Basic bWU6czNjcmV0'
    assert asked.headers['authorization'] == 'Basic bWU6b3du'


def test_the_filter_judges_in_front_of_a_proxy_too(source, fetch, ok, names):
    proxy = source(ok(BODY))
    names.add('private.test', ['10.0.0.7'])
    for url in ('http://10.0.0.1/', 'http://private.test/'):
        assert failure(fetch(url, http_proxy=proxy_url(proxy))).code == 'filtered_uri'
    assert proxy.accepted == 0


def test_no_proxy_goes_straight(source, fetch, ok):
    proxy, server = source(ok(b'from the proxy')), source(ok(BODY))
    for entry, host in (('*.test', 'source.test'), ('127.0.0.0/8', '127.0.0.1')):
        no_proxy = HostList.parse([entry], 'no_proxy')
        http_source = fetch(server.url(host=host), http_proxy=proxy_url(proxy), no_proxy=no_proxy)
        assert read_all(http_source) == BODY
    assert proxy.accepted == 0


def test_a_request_is_judged_as_its_fetch_will_be(names, open_filter):
    proxy = urls.parse_url('http://127.0.0.1:3128')
    with pytest.raises(UrlRefused, match='cannot be resolved'):
        check_source(open_filter, HttpOptions(), 'http://only.proxy.test/')
    check_source(open_filter, HttpOptions(http_proxy=proxy), 'http://only.proxy.test/')
    with pytest.raises(UrlRefused, match='private'):
        check_source(open_filter, HttpOptions(http_proxy=proxy), 'http://10.0.0.1/')


# TLS


@pytest.fixture(scope='module')
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    def context(*hosts):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*hosts).configure_cert(made)
        return made

    return context


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / 'ca.pem'
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_https_with_an_own_authority_and_sni(source, fetch, ok, tls, ca_file):
    seen = []
    context = tls('source.test')
    context.sni_callback = lambda sock, name, context: seen.append(name)
    server = source(ok(BODY * 100), context=context)
    assert read_all(fetch(server.url(scheme='https'), ca_file=ca_file)) == BODY * 100
    assert seen == ['source.test']


def test_https_to_an_address(source, fetch, ok, tls, ca_file):
    server = source(ok(BODY), context=tls('127.0.0.1'))
    assert read_all(fetch(server.url(scheme='https', host='127.0.0.1'), ca_file=ca_file)) == BODY


def test_a_certificate_that_is_not_trusted_or_of_another_name(source, fetch, ok, tls, ca_file):
    server = source(ok(BODY), context=tls('other.test'))
    error = failure(fetch(server.url(scheme='https'), ca_file=ca_file))
    assert error.code == 'tls_error'
    assert "'source.test'" in error.message
    error = failure(fetch(server.url(scheme='https', host='other.test')))
    assert error.code == 'tls_error'
    assert 'certificate' in error.message
    assert server.accepted == 2
    insecure = fetch(server.url(scheme='https'), insecure=True)
    assert read_all(insecure) == BODY


def test_https_to_a_server_without_tls(fetch):
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def answer():
            sock, _ = listener.accept()
            with sock:
                sock.recv(4096)
                sock.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')

        thread = threading.Thread(target=answer)
        thread.start()
        error = failure(fetch(f'https://source.test:{listener.getsockname()[1]}/'))
        thread.join()
    assert error.code == 'tls_error'
    assert error.message.startswith('No TLS connection could be made to the source')


def test_a_silent_tls_handshake_times_out(source, fetch, ok):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        url = f'https://source.test:{listener.getsockname()[1]}/'
        assert failure(fetch(url, read_timeout=0.2, retries=0)).code == 'source_timeout'


def test_no_downgrade_to_http_unless_permitted(source, fetch, ok, tls, redirect, ca_file):
    plain = source(ok(BODY))
    server = source(redirect(plain.url()), context=tls('source.test'))
    error = failure(fetch(server.url(scheme='https'), ca_file=ca_file))
    assert error.code == 'filtered_uri'
    assert '[web_download] allow_redirect_to_http' in error.message
    assert plain.accepted == 0
    permitted = fetch(server.url(scheme='https'), ca_file=ca_file, allow_redirect_to_http=True)
    assert read_all(permitted) == BODY


def test_an_https_source_through_a_proxy_is_verified_end_to_end(source, fetch, ok, tls, ca_file):
    context = tls('only.proxy.test')

    def connect(request):
        request.sock.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')
        with context.wrap_socket(request.sock, server_side=True) as sock:
            inner.append(proxy.read_head(sock))
            sock.sendall(ok(BODY))

    inner = []
    proxy = source(connect)
    http_source = fetch('https://only.proxy.test/x', https_proxy=proxy_url(proxy), ca_file=ca_file)
    assert read_all(http_source) == BODY
    asked = proxy.requests[0]
    assert (asked.method, asked.target) == ('CONNECT', 'only.proxy.test:443')
    assert asked.headers['proxy-authorization'] == 'Basic bWU6czNjcmV0'
    assert b'GET /x HTTP/1.1' in inner[0]
    assert b'roxy-' not in inner[0]


def test_a_proxy_that_refuses_is_unreachable_and_its_password_hidden(source, fetch, ok):
    proxy = source(ok(b'', status='407 SECRET'))
    error = failure(fetch('https://only.proxy.test/', https_proxy=proxy_url(proxy)))
    assert error.code == 'source_unreachable'
    assert 's3cret' not in error.message
    assert 'SECRET' not in error.message


# Options


@pytest.fixture
def options(tmp_path):
    def make(lines=''):
        path = tmp_path / 'download.conf'
        path.write_text(f'[web_download]\n{lines}\n')
        conf = cfg.ConfigOpts()
        web_download.register_opts(conf)
        conf(['--config-file', str(path)])
        return HttpOptions.from_conf(conf)

    return make


def test_the_defaults_of_the_file_are_those_of_the_class(options):
    assert options() == HttpOptions()


def test_proxies_of_the_file(options):
    made = options('http_proxy = http://p.test:3128\nno_proxy = [*.corp.test, 10.0.0.0/8]')
    check = UrlFilter(permitted_networks=HostList.parse(['10.0.0.0/8'], 'x')).check_url
    assert made.proxy_for(check('http://a.test/')).port == 3128
    assert made.proxy_for(check('https://a.test/')) is None
    assert made.proxy_for(check('http://a.corp.test/')) is None
    assert made.proxy_for(check('http://10.1.1.1/')) is None


@pytest.mark.parametrize(
    ('line', 'option'),
    [
        ('http_proxy = socks5://p.test', 'http_proxy'),
        ('https_proxy = p.test:3128', 'https_proxy'),
        ('no_proxy = 10.0.0.0/99', 'no_proxy'),
        ('ca_file = /nonexistent.pem', 'ca_file'),
    ],
)
def test_an_option_that_cannot_be_used_stops_the_start(options, line, option):
    with pytest.raises(exceptions.ConfigError, match=rf'\[web_download\] {option}'):
        options(line)
