# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: what each operation takes and answers, declared beside the route table.

One module a resource has the operations, ``schemas`` what goes over the wire, ``document`` puts
them together with the routes. Nothing here decides anything: the tests hold it to what handlers do.
"""
