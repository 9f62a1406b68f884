import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.support.backends")
