import pytest
import torch
from bench.idle import gpu_busy_ms, group_ms, idle_share, intervals_of, trace_of


@pytest.mark.parametrize(
    ("intervals", "share"),
    [
        ([(0, 10)], 0.0),
        ([(0, 4), (6, 4)], 0.2),
        ([(6, 4), (0, 4)], 0.2),
        ([(0, 5), (5, 5)], 0.0),
        ([(0, 10), (2, 3)], 0.0),
        ([(0, 8), (2, 3), (9, 1)], 0.1),
        ([(0, 6), (4, 4), (16, 4)], 0.4),
        ([(1_000_000, 5), (1_000_015, 5)], 0.5),
        ([(3, 0)], 0.0),
    ],
)
def test_the_idle_share_is_what_no_interval_covers(
    intervals: list[tuple[float, float]], share: float
) -> None:
    assert idle_share(intervals) == pytest.approx(share)


def test_moving_and_stretching_time_changes_no_share() -> None:
    intervals = [(0.0, 3.0), (2.0, 4.0), (9.0, 1.0), (15.0, 5.0)]

    moved = [(7 + 3 * start, 3 * duration) for start, duration in intervals]

    assert idle_share(moved) == pytest.approx(idle_share(intervals))


def test_only_kernels_copies_and_fills_count_and_no_annotation_hides_a_gap() -> None:
    events = [
        {"ph": "M", "name": "process_name"},
        {"ph": "X", "cat": "kernel", "ts": 100.0, "dur": 20.0},
        {"ph": "X", "cat": "gpu_user_annotation", "ts": 100.0, "dur": 100.0},
        {"ph": "X", "cat": "cpu_op", "ts": 0.0, "dur": 500.0},
        {"ph": "X", "cat": "cuda_runtime", "ts": 110.0, "dur": 60.0},
        {"ph": "X", "cat": "gpu_memcpy", "ts": 140.0, "dur": 20.0},
        {"ph": "X", "cat": "gpu_memset", "ts": 190.0, "dur": 10.0},
    ]

    assert idle_share(intervals_of(events)) == pytest.approx(0.5)
    assert gpu_busy_ms(events) == pytest.approx(0.05)


def test_kernels_are_told_apart_by_what_they_do() -> None:
    names = {
        "_matmul": 2000,
        "cudnn_generated_fort_native_sdpa_sm90": 3000,
        "nvjet_sm90_tst": 500,
        "triton_red": 70,
    }
    kernels = [{"cat": "kernel", "name": name, "ts": 0.0, "dur": dur} for name, dur in names.items()]

    found = group_ms([*kernels, *kernels, {"cat": "cpu_op", "name": "_matmul", "ts": 0.0, "dur": 9.0}])

    assert found == pytest.approx(
        {"low_bit_products": 4.0, "attention": 6.0, "other_products": 1.0, "rest": 0.14}
    )


def test_a_profile_without_a_gpu_has_nothing_to_tell() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.ones(3).sum()
    trace = trace_of(profile)

    assert any("sum" in str(event.get("name")) for event in trace)
    assert sum(group_ms(trace).values()) == 0
    with pytest.raises(ValueError, match="nothing ran on a GPU"):
        gpu_busy_ms(trace)
