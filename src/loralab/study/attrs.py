"""Names of what a study and its trials carry in the storage, beside what Optuna keeps itself.

A study has `SETTINGS`; everything else belongs to trials.
"""

SETTINGS = "settings"
"""What the study is about: model, objectives, constraints, fixed overrides, space, lengths, recipe."""

OVERRIDES = "overrides"
"""What the search set, as overrides of train.py."""

FOLDER = "folder"
"""The trial's run folder."""

SWEEPER = "sweeper"
"""Last sign of life of the process that launched the trial: [time, host, pid, when the process began]."""

WORKER = "worker"
"""Last sign of life of the process that trains, the same four."""

METRICS = "metrics"
"""Flat numbers of result.json, by dotted path."""

CURVE = "curve"
"""[[step, validation loss], ...]."""

BANDS = "bands"
"""Validation loss per noise level at the chosen length."""

LENGTH = "length"
"""The number of steps whose score counts, where a curve answers for all lengths."""

COST = "cost"
"""wall_time_s, train_s, overhead_s, peak_memory_gib."""

ERROR = "error"
"""Why a trial has no score."""

RETRY_OF = "retry_of"
"""Number of the failed trial that this one repeats."""

RETRIES = "retries"
"""How many attempts at these parameters came before this one."""

ANSWERED_BY = "answered_by"
"""Number of the trial whose result is also this one's: nothing was run."""

PRUNED_AT = "pruned_at"
"""Step at which a trial was given up."""

TAG = "tag"
"""`recipe` marks the documented setting."""

RECIPE = "recipe"
