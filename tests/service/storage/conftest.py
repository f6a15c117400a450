"""An S3 server for the tests of a module."""

import pytest

from tests.service.storage.s3 import s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found
