import pytest

from tests.unit.firmware.rig import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig().ready()
