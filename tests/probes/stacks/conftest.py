"""What holds for all tests of stacks: no process and no descriptor is left behind."""

import pytest
import spied
from sampling import open_descriptors


@pytest.fixture(autouse=True)
def leaves_nothing():
    descriptors = open_descriptors()
    yield
    assert open_descriptors() == descriptors
    assert spied.children() == []
