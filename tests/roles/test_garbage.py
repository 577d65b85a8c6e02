"""What lives for ever is out of the collector's sight."""

import gc

from pyti.roles.garbage import THRESHOLDS, keep_collections_short


def test_old_objects_are_frozen_and_full_collections_are_rare() -> None:
    before = gc.get_threshold()
    try:
        keep_collections_short()

        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold() == THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
