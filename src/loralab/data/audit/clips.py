"""An audit of clips: what becomes of each by the rules, and what their captions look like."""

from __future__ import annotations

from collections import Counter

from loralab.data.audit.captions import Captioned, CaptionWishes, caption_findings
from loralab.data.audit.finding import Finding, Flagged
from loralab.data.audit.pictures import Wanted
from loralab.data.video import VideoDataset, check_clips


def audited_clips(dataset: VideoDataset, *, has_audio: bool, wanted: Wanted) -> list[Finding]:
    """Opens all clips and says what is to be said of them.

    Raises:
        UserError: there is no such folder or file.
    """
    report = check_clips(
        dataset.source.read(dataset.root, key="dataset.root"), dataset.rules(has_audio=has_audio)
    )
    mistakes = [rejection for rejection in report.rejections if not rejection.asked_for]
    left_out = [rejection for rejection in report.rejections if rejection.asked_for]
    buckets = Counter(str(clip.bucket) for clip in report.clips)
    shown = "; ".join(f"{bucket}: {count}" for bucket, count in buckets.most_common())
    found = [Finding(kind="clips", level="note", message=report.counts() + (f"; {shown}" if shown else ""))]
    if mistakes or not report.clips:
        found.append(
            Finding(
                kind="unusable clips",
                level="error",
                message=f"{len(mistakes)} cannot be used: mend or remove them",
                flagged=tuple(Flagged(each.where, each.reason) for each in mistakes),
            )
        )
    if left_out:
        found.append(
            Finding(
                kind="left out",
                level="note",
                message=f"{len(left_out)} are left out, as the settings say",
                flagged=tuple(Flagged(each.where, each.reason) for each in left_out),
            )
        )
    found += [Finding(kind="clips", level="warning", message=remark) for remark in report.remarks()]
    captioned = [Captioned(clip.entry.name, clip.caption) for clip in report.clips]
    wishes = CaptionWishes(
        sentences=wanted.sentences,
        trigger=dataset.trigger,
        policy=dataset.trigger_policy,
        default=None,
        max_length=wanted.max_length,
    )
    return [*found, *caption_findings(captioned, wishes)]
