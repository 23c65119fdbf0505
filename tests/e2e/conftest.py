"""What takes long to make, made once in a run."""

import pytest

from tests.conftest import require
from tests.e2e.packages import Packages, build_packages


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    require("apt-get")
    return build_packages(tmp_path_factory.mktemp("packages"))
