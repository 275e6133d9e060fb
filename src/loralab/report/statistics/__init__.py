"""Statistics of paired runs: intervals, effects, exact tests with their correction, and analyses of variance.

SciPy and statsmodels do the work; what is decided here is what is asked of them, and when there is too little to ask.
"""

from loralab.report.statistics.effect import hedges_g
from loralab.report.statistics.exact import SignFlips, least_p, sign_flips
from loralab.report.statistics.factorial import Term, analysis_of_variance
from loralab.report.statistics.location import interquartile_mean, wider

__all__ = [
    "SignFlips",
    "Term",
    "analysis_of_variance",
    "hedges_g",
    "interquartile_mean",
    "least_p",
    "sign_flips",
    "wider",
]  # fmt: skip
