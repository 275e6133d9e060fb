"""Pictures that were kept out of training, with what to ask for them: the truth of a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from loralab.data.images import fit_to, load_picture
from loralab.data.records import Record
from loralab.evaluation.fewstep_drawing import Subject
from loralab.objectives.distribution.prompts import without_trigger

SIDE = 320
"""Pixels of the pictures held in memory: twice what the feature network looks at."""


def held_out_subject(records: Sequence[Record], *, trigger: str | None) -> Subject | None:
    """Gives the pictures of `records` and their first prompts; the same without the trigger should stay as they are.

    Pictures are cut to their middle square, as features compare pictures of one shape. Without a trigger nothing is
    known of what should stay: `evaluation.fewstep.prompts` names it.
    """
    if not records:
        return None
    truths = torch.stack([fit_to(load_picture(record.path), height=SIDE, width=SIDE) for record in records])
    captions = tuple(record.prompts[0] for record in records)
    plain = tuple(without_trigger(caption, trigger) for caption in captions) if trigger else ()
    return Subject(captions, truths, tuple(caption for caption in plain if caption))
