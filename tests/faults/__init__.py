# SPDX-License-Identifier: Apache-2.0
"""Faults as a test tool: strike real processes at named points or at random, then audit.

``python -m tests.faults --database sqlite --faults 1000`` is the whole of it; what it does is told
in ``doc/source/contributor/faults.rst``.

``points`` is the table of what can strike where, ``hooks`` puts it into the programs of the
service, ``world`` runs those, ``clients`` give them work, ``audit`` judges what is left, ``matrix``
tries each row of the table, ``campaign`` all of them at random.
"""
