"""The command `overrule`, on a machine whose clock is off: `python skewed.py SECONDS serve …`."""

import sys
import uuid
from datetime import datetime, timedelta

from app.store import ids

off = timedelta(seconds=float(sys.argv.pop(1)))
true_now, true_id = ids.utc_now, ids.new_id


def now_of_this_machine() -> datetime:
    return true_now() + off


def id_of_this_machine() -> uuid.UUID:
    return uuid.UUID(int=true_id().int + (int(off.total_seconds() * 1000) << 80))


# before anything else takes them from there
ids.utc_now = now_of_this_machine
ids.new_id = id_of_this_machine

from app.cli import main  # noqa: E402

main()
