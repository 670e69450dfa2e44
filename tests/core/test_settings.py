"""Settings that contradict each other are refused at the start."""

import pytest

from app.settings import Settings


def test_a_full_batch_must_be_able_to_wait() -> None:
    Settings(waiting_rows_max=500, batch_rows_max=500)

    with pytest.raises(ValueError, match="OVERRULE_WAITING_ROWS_MAX"):
        Settings(waiting_rows_max=499, batch_rows_max=500)
