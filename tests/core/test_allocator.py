"""Freed memory is kept for the next array, and given back when one rests."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import json, numpy, psutil
from napari_unetseg.core.allocator import give_back, reuse_freed_memory

def held():
    return psutil.Process().memory_info().rss / 2**20

reuse_freed_memory()
begun = held()
arrays = [numpy.ones(2**22, numpy.uint8) for _ in range(50)]  # 200 MB in pieces of 4
last = numpy.ones(2**20, numpy.uint8)  # behind them, so that they are no end of the heap
full = held()
del arrays
kept = held()
give_back()
print(json.dumps([full - begun, kept - begun, held() - begun]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of other systems has no such settings")
def test_freed_memory_is_kept_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", MEASURE], check=True, stdout=subprocess.PIPE, text=True)
    full, kept, rested = json.loads(done.stdout)
    assert full > 190
    assert kept > 0.9 * full
    assert rested < 0.1 * full
