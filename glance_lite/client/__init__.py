# SPDX-License-Identifier: Apache-2.0
"""The end user's client: bring a file or a URL into an image service and watch it become an image.

It speaks the Images API through openstacksdk and needs the ``client`` extra. It works with any
service of that API, and shows more where the service tells more (the progress and the error of a
task). Nothing here imports the service; the programs are ``cmd/client.py`` and
``cmd/quickstart.py``.
"""
