"""The settings of gunicorn for ``development_app``: patched here, if that is wanted."""

import os

if os.environ.get('FAYE_TEST_PATCH'):
    from gevent import monkey

    monkey.patch_all()
