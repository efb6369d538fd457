# SPDX-License-Identifier: Apache-2.0
"""Run the processes of a service: start, restart, signal and end them, and never outlive them.

Knows nothing of what its children do: they are functions or commands. Binding sockets, reading
options and setting up logging happen before, in the caller. The supervising process starts no
threads, because it forks; and nothing that it imports starts any.
"""

import ctypes
import dataclasses
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

LOG = logging.getLogger(__name__)

EX_CONFIG = 78
"""Exit code of a child that can never work as configured (sysexits.h)."""

MIN_LIFE_SECONDS = 1.0
RESTART_DELAY_SECONDS = 0.5
MAX_RESTART_DELAY_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_LIBC = ctypes.CDLL(None, use_errno=True)


class Hangup:
    """SIGHUPs that came and that nobody has looked after yet; safe to set in a signal handler."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        """Note a SIGHUP."""
        os.eventfd_write(self._descriptor, 1)

    def take(self, timeout_seconds: float | None = None) -> bool:
        """Wait for a SIGHUP for so many seconds; several that came before are one.

        For one thread of the process. One that comes afterwards is there for the next call.
        """
        if not _is_readable(self._descriptor, timeout_seconds):
            return False
        os.eventfd_read(self._descriptor)
        return True


class Stop:
    """A wish to stop that any thread, signal handler or event loop can see.

    Like an event that is never cleared, but safe to set in a signal handler, and with a descriptor
    that becomes readable (and stays so) once it is set.

    :ivar hangup: the SIGHUPs of the same process.
    """

    def __init__(self) -> None:
        self.hangup = Hangup()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._set = False

    def set(self) -> None:
        """Wish to stop; again is the same."""
        self._set = True
        os.eventfd_write(self._descriptor, 1)

    def is_set(self) -> bool:
        """Tell whether to stop."""
        return self._set

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until set or for so many seconds; tell whether to stop."""
        _is_readable(self._descriptor, timeout_seconds)
        return self._set

    def fileno(self) -> int:
        """Return the descriptor to wait on; it must not be read from."""
        return self._descriptor


@dataclasses.dataclass
class Child:
    """One process to keep running; ``pid`` is 0 while there is none."""

    name: str
    target: Callable[[Stop], int | None] | None
    argv: Sequence[str] = ()
    environ: Mapping[str, str] | None = None
    pid: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    short_lives: int = 0


def restart_delay(short_lives: int) -> float:
    """Return the seconds to wait before a restart, by the number of short lives in a row."""
    if not short_lives:
        return 0.0
    return min(MAX_RESTART_DELAY_SECONDS, RESTART_DELAY_SECONDS * 2.0 ** min(short_lives - 1, 10))


class Supervisor:
    """Keep child processes running until told to stop.

    - A child that ends is started again: at once, or later and later when it lives under a second.
    - A child that exits with :data:`EX_CONFIG` stops everything, and the supervisor returns that
      code: a service whose plugin is broken must not look alive.
    - SIGTERM and SIGINT end the children with SIGTERM, and with SIGKILL after the graceful timeout.
    - SIGHUP goes on to the children, if :meth:`on_hangup` does not keep it back; a function finds
      it in :attr:`Stop.hangup`.
    - Children end when the supervisor is gone, however it went: the kernel sends them SIGTERM
      (Linux), and functions also watch a pipe, and kill themselves after the graceful timeout.

    :param graceful_timeout_seconds: between SIGTERM and SIGKILL.
    """

    def __init__(self, graceful_timeout_seconds: float = 60.0) -> None:
        self._grace_seconds = graceful_timeout_seconds
        self._children: list[Child] = []
        self._check: Child | None = None
        self._accept: Callable[[], bool] = lambda: True
        self._before_stop: Callable[[], object] = lambda: None
        self._hung_up = False
        self._exit_code = 0
        self._stopping_since: float | None = None
        self._killed = False

    def add(self, name: str, target: Callable[[Stop], int | None], count: int = 1) -> None:
        """Run a function in ``count`` processes of its own.

        It is called after the fork in the main thread of the child with a :class:`Stop` that
        SIGTERM and SIGINT set, and shall return soon after; SIGHUP sets its ``hangup``. What it
        returns (None: 0) is the exit code. An exception is logged and exits with 1. The process
        ends without waiting for other threads and without ``atexit`` functions.
        """
        self._add(name, count, target)

    def add_command(
        self,
        name: str,
        argv: Sequence[str],
        environ: Mapping[str, str] | None = None,
        count: int = 1,
    ) -> None:
        """Run a program (looked up in PATH) in ``count`` processes; ``environ`` None inherits."""
        self._add(name, count, None, tuple(argv), environ)

    def on_hangup(
        self, name: str, check: Callable[[Stop], int | None], accept: Callable[[], bool]
    ) -> None:
        """Ask two functions before a SIGHUP goes on to the children; either can keep it back.

        ``check`` runs in a process of its own, as a function of :meth:`add` does, and may take its
        time; it keeps the signal back by any exit code but 0. Then ``accept`` runs in this process,
        from which children are forked anew when one ends: it must be short, start no thread and not
        raise, and keeps the signal back by returning False. SIGHUPs that come meanwhile are one.
        """
        self._check, self._accept = Child(name, check), accept

    def on_stop(self, function: Callable[[], object]) -> None:
        """Call a function in this process, once, before the children are told to end.

        It must be short, start no thread and not raise.
        """
        self._before_stop = function

    def _add(
        self,
        name: str,
        count: int,
        target: Callable[[Stop], int | None] | None,
        argv: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        for number in range(count):
            label = name if count == 1 else f'{name}[{number + 1}]'
            self._children.append(Child(label, target, argv, environ))

    def run(self) -> int:
        """Run until stopped; return the exit code for the process: 0 or :data:`EX_CONFIG`.

        Call it in the main thread. Signal handlers are put back before it returns.
        """
        if threading.active_count() > 1:
            LOG.warning('There are threads already; forking beside them may hang the children')
        self._lifeline = os.pipe()
        self._signals = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = {number: signal.signal(number, _note) for number in _HANDLED}
        wakeup_before = signal.set_wakeup_fd(self._signals[1], warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        try:
            self._loop()
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            for descriptor in (*self._lifeline, *self._signals):
                os.close(descriptor)
        return self._exit_code

    def _loop(self) -> None:
        poll = select.poll()
        poll.register(self._signals[0], select.POLLIN)
        while True:
            if self._stopping_since is None:
                self._start_due()
                self._start_check()
            elif not any(child.pid for child in self._processes()):
                return
            timeout = self._seconds_to_next_event()
            poll.poll(None if timeout is None else timeout * 1000 + 1)
            for number in self._pending_signals():
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._stop(0)
                elif number == signal.SIGHUP:
                    self._hang_up()
            self._reap()
            self._kill_overdue()

    def _pending_signals(self) -> bytes:
        try:
            return os.read(self._signals[0], 4096)
        except BlockingIOError:
            return b''

    def _seconds_to_next_event(self) -> float | None:
        if self._stopping_since is not None:
            moments = [] if self._killed else [self._stopping_since + self._grace_seconds]
        else:
            moments = [child.start_at for child in self._children if not child.pid]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _start_due(self) -> None:
        for child in self._children:
            if not child.pid and child.start_at <= time.monotonic():
                self._start(child)

    def _processes(self) -> list[Child]:
        return self._children if self._check is None else [*self._children, self._check]

    def _hang_up(self) -> None:
        if self._check is None:
            self._signal_all(signal.SIGHUP)
        else:
            self._hung_up = True

    def _start_check(self) -> None:
        if self._check is not None and self._hung_up and not self._check.pid:
            self._hung_up = False
            self._start(self._check)

    def _start(self, child: Child) -> None:
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal between the fork and the child's own handlers would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if not pid:
                self._be_child(child, parent)
        except OSError as error:
            LOG.error('Cannot start %s: %s', child.name, error.strerror)
            child.short_lives += 1
            child.start_at = time.monotonic() + restart_delay(child.short_lives)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        child.pid = pid
        child.started_at = time.monotonic()
        LOG.info('Started %s as process %d', child.name, pid)

    def _be_child(self, child: Child, parent: int) -> None:
        """Live and end as the child; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for descriptor in (*self._signals, self._lifeline[1]):
                os.close(descriptor)
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(0)
            code = self._run_command(child) if child.target is None else self._run_target(child)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            LOG.exception('%s failed', child.name)
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code & 0xFF)

    def _run_target(self, child: Child) -> int:
        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        signal.signal(signal.SIGHUP, lambda *_: stop.hangup.set())
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        arguments = (self._lifeline[0], self._grace_seconds)
        threading.Thread(target=_watch_parent, args=arguments, name='lifeline', daemon=True).start()
        assert child.target is not None
        return child.target(stop) or 0

    def _run_command(self, child: Child) -> int:
        # Python ignores SIGPIPE, and what is ignored stays so over an exec.
        for number in (*_HANDLED, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        try:
            os.execvpe(child.argv[0], list(child.argv), child.environ or os.environ)
        except OSError as error:
            LOG.error('Cannot run %s: %s', child.argv[0], error.strerror)
            return 127

    def _reap(self) -> None:
        for child in self._processes():
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                self._ended(child, pid, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, pid: int, code: int) -> None:
        now = time.monotonic()
        how = f'exit code {code}' if code >= 0 else f'signal {signal.Signals(-code).name}'
        if self._stopping_since is not None:
            LOG.info('%s (process %d) ended by %s', child.name, pid, how)
            return
        if child is self._check:
            self._checked(how, code)
            return
        if code == EX_CONFIG:
            LOG.error('%s (process %d) cannot work as configured; stopping', child.name, pid)
            self._stop(EX_CONFIG)
            return
        short = now - child.started_at < MIN_LIFE_SECONDS
        child.short_lives = child.short_lives + 1 if short else 0
        delay = restart_delay(child.short_lives)
        child.start_at = now + delay
        LOG.warning(
            '%s (process %d) ended by %s; restarting in %.1f s', child.name, pid, how, delay
        )

    def _checked(self, how: str, code: int) -> None:
        assert self._check is not None
        if code != 0:
            # by an exit code it has told itself what is wrong
            level = logging.ERROR if code < 0 else logging.INFO
            LOG.log(level, '%s ended by %s: SIGHUP goes no further', self._check.name, how)
        elif self._accept():
            LOG.info('%s found nothing wrong: SIGHUP goes on', self._check.name)
            self._signal_all(signal.SIGHUP)

    def _stop(self, exit_code: int) -> None:
        if self._stopping_since is None:
            LOG.info('Stopping')
            self._stopping_since = time.monotonic()
            self._exit_code = exit_code
            self._before_stop()
            self._signal_all(signal.SIGTERM)

    def _kill_overdue(self) -> None:
        if self._stopping_since is None or self._killed:
            return
        if time.monotonic() >= self._stopping_since + self._grace_seconds:
            self._killed = True
            for child in self._processes():
                if child.pid:
                    LOG.warning('%s (process %d) did not stop in time', child.name, child.pid)
            self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: int) -> None:
        for child in self._processes():
            if child.pid:
                os.kill(child.pid, number)


def _note(number: int, frame: object) -> None:
    """Handle a signal by nothing: the wake-up descriptor has told the loop already."""


def _is_readable(descriptor: int, timeout_seconds: float | None) -> bool:
    """Wait until a descriptor can be read, or for so many seconds; tell whether it can."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_seconds is None else max(0.0, timeout_seconds) * 1000))


def _watch_parent(lifeline: int, grace_seconds: float) -> None:
    """End this process when the other end of the lifeline is gone (runs in a thread)."""
    poll = select.poll()
    poll.register(lifeline, 0)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os.kill(os.getpid(), signal.SIGKILL)
