"""The arithmetic of the benchmarks; what they measure is no test."""

from __future__ import annotations

from benchmarks.common import summary


def test_a_summary_is_counted_by_hand() -> None:
    assert summary([4.0, 1.0, 2.0, 3.0]) == {
        "median": 2.5,
        "min": 1.0,
        "max": 4.0,
        "p95": 4.0,
        "n": 4,
    }
    hundred = summary([float(n) for n in range(100, 0, -1)])
    assert (hundred["median"], hundred["p95"]) == (50.5, 96.0)
