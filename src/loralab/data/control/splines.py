"""Positions along a curve through nodes, in the order of time.

Uniform Catmull-Rom (Catmull and Rom, 1974) between q1 and q2, with neighbours q0 and q3 and u in [0, 1]:

    q(u) = ( 2 q1 + (q2 - q0) u + (2 q0 - 5 q1 + 4 q2 - q3) u^2 + (3 q1 - q0 - 3 q2 + q3) u^3 ) / 2

As in the track editor of ComfyUI-LTXVideo, the first and last nodes are their own neighbours, every segment takes the
same time, two nodes are a straight line at constant speed, and one node stays where it is.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

STRAIGHT = 2


def sample_spline(nodes: Float[np.ndarray, " n 2"], *, num_frames: int) -> Float[np.ndarray, " f 2"]:
    """Gives the position in each frame: the first node in the first, the last in the last, all others in between."""
    if len(nodes) == 1:
        return np.repeat(nodes, num_frames, axis=0)
    time = np.linspace(0.0, len(nodes) - 1, num_frames)
    segment = np.minimum(time.astype(int), len(nodes) - 2)
    u = (time - segment)[:, None]
    if len(nodes) == STRAIGHT:
        return nodes[segment] * (1 - u) + nodes[segment + 1] * u
    ends = np.concatenate([nodes[:1], nodes, nodes[-1:]])
    q0, q1, q2, q3 = (ends[segment + offset] for offset in range(4))
    constant, linear = 2 * q1, q2 - q0
    square, cubic = 2 * q0 - 5 * q1 + 4 * q2 - q3, 3 * q1 - q0 - 3 * q2 + q3
    return (constant + linear * u + square * u**2 + cubic * u**3) / 2
