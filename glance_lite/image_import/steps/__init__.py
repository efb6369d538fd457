# SPDX-License-Identifier: Apache-2.0
"""The steps of an import, one a file. No step imports another.

A step runs at least once: after a crash it may run again from its start. So each writes under a
name of its own attempt, and what others see changes only in a transaction that the lease guards.
"""
