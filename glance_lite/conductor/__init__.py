# SPDX-License-Identifier: Apache-2.0
"""The job front: claim imports from the job board, run their flows, settle how they ended."""
