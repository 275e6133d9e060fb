"""The data set as configured, and what collecting its pictures gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loralab.data.captions import TRIGGER_POLICIES, CaptionRules
from loralab.data.collect import Collection, Reader, Reading, Showing, stop_at
from loralab.data.inspect import MASKED_LOSSES, Inspector
from loralab.data.mistakes import below, outside, refuse, unmet_trigger
from loralab.data.records import Record, Source
from loralab.data.regularization import Regularization
from loralab.data.split import split_validation
from loralab.data.summary import summary_lines
from loralab.errors import UserError

ON_ERROR = ("stop", "skip")


@dataclass(frozen=True, kw_only=True)
class PictureDataset:
    """Pictures with captions to learn from; every field is a key `dataset.<field>`.

    Attributes:
        root: where the pictures are; what it means is the source's matter (a folder, a hub id, a concept).
        source: how they are read.
        cache_root: folder for latents, prompt embeddings and facts; may be shared by runs and by processes.
        resolutions: one or several; each picture is shown once per resolution R, at an area of at most R·R.
        max_aspect: longest side over shortest in a bucket.
        max_upscale: a picture is enlarged at most this much; a resolution that needs more leaves it out.
        min_side: pictures with a shorter side are a problem.
        caption: for pictures without one; None makes them a problem.
        trigger: the word that the adapter answers to.
        trigger_policy: `prepend`, `replace` or `written` (see CaptionRules).
        caption_dropout: share of showings with the empty prompt.
        shuffle_tags: vary the order of comma-separated tags.
        caption_variants: so many orders are encoded where tags are shuffled.
        keep_first: so many leading tags stay where they are.
        flip: half of the showings are mirrored.
        masked_loss: `none`, `file` (mask pictures) or `alpha` (the pictures' own alpha channel).
        unmasked_weight: what the loss outside the mask still counts.
        repeats: pattern on a picture's name, for example `closeup/*`, to how often it is shown per epoch.
        validation_fraction: share of the pictures kept out of training, chosen by content.
        validation_root: pictures that only validation sees, read like `root`; instead of a fraction.
        regularization: pictures of what should stay as it is.
        on_error: `stop` at problems or `skip` the pictures that have them.
        num_workers: processes that read the cache while training, beside the thread that does.
        ram_cache_gib: tensors of up to so many GiB stay in memory once training has read them; 0 reads each anew.
    """

    root: str
    source: Source
    cache_root: str
    resolutions: Sequence[int] | int = (1024,)
    max_aspect: float = 2.0
    max_upscale: float = 1.25
    min_side: int = 1
    caption: str | None = None
    trigger: str | None = None
    trigger_policy: str = "prepend"
    caption_dropout: float = 0.0
    shuffle_tags: bool = False
    caption_variants: int = 8
    keep_first: int = 1
    flip: bool = False
    masked_loss: str = "none"
    unmasked_weight: float = 0.0
    repeats: Mapping[str, int] | None = None
    validation_fraction: float = 0.0
    validation_root: str | None = None
    regularization: Regularization = field(default_factory=Regularization)
    on_error: str = "stop"
    num_workers: int = 0
    ram_cache_gib: float = 2.0

    def __post_init__(self) -> None:
        """Refuses values that cannot work, all at once."""
        refuse(_problems(self))

    def collect(self, size_multiple: int) -> Collection:
        """Opens and sorts all pictures, for a model whose picture sides are multiples of `size_multiple`.

        Raises:
            UserError: pictures cannot be used and `on_error` is `stop`, none can, or a setting has no effect.
        """
        reader = self._reader(size_multiple)
        main = reader.read(self.root, rules=self._rules(), repeats=self.repeats or {}, key="dataset.root")
        others, apart = self._regularization(reader), self._validation(reader)
        problems = (*main.problems, *others.problems, *apart.problems)
        if self.on_error == "stop":
            stop_at(problems)
        refuse(_unmet(self, main.records))
        train, validation = split_validation(main.records, fraction=self.validation_fraction)
        validation = (*validation, *apart.records)
        kept_out = {record.key for record in validation}
        if all(record.key in kept_out for record in train):
            raise UserError(
                f"dataset.root={self.root} has no picture that dataset.validation_root={self.validation_root} does not "
                "have: nothing is left to train on. Take some out there."
            )
        collection = Collection(
            train=tuple(record for record in train if record.key not in kept_out),
            validation=validation,
            regularization=tuple(record for record in others.records if record.key not in kept_out),
            problems=problems,
            notes=(*main.notes, *others.notes, *apart.notes),
            showing=self._showing(),
            cache_root=Path(self.cache_root).expanduser(),
            num_workers=self.num_workers,
            ram_cache_gib=self.ram_cache_gib,
        )
        return dataclasses.replace(collection, notes=(*summary_lines(collection), *collection.notes))

    def _reader(self, size_multiple: int) -> Reader:
        cache_root = Path(self.cache_root).expanduser()
        return Reader(
            source=self.source,
            inspector=Inspector(
                default_caption=self.caption,
                masked_loss=self.masked_loss,
                min_side=self.min_side,
                cache_root=cache_root,
            ),
            resolutions=_sizes(self),
            size_multiple=size_multiple,
            max_aspect=self.max_aspect,
            max_upscale=self.max_upscale,
            cache_root=cache_root,
        )

    def _regularization(self, reader: Reader) -> Reading:
        if self.regularization.root is None:
            return Reading(records=(), problems=(), notes=())
        rules = dataclasses.replace(self._rules(), trigger=None)
        return reader.read(
            self.regularization.root, rules=rules, repeats={}, key="dataset.regularization.root"
        )

    def _validation(self, reader: Reader) -> Reading:
        if self.validation_root is None:
            return Reading(records=(), problems=(), notes=())
        return reader.read(
            self.validation_root, rules=self._rules(), repeats={}, key="dataset.validation_root"
        )

    def _rules(self) -> CaptionRules:
        return CaptionRules(
            trigger=self.trigger,
            policy=self.trigger_policy,
            num_variants=self.caption_variants if self.shuffle_tags else 1,
            keep_first=self.keep_first,
        )

    def _showing(self) -> Showing:
        return Showing(
            flip=self.flip,
            caption_dropout=self.caption_dropout,
            masked=self.masked_loss != "none",
            unmasked_weight=self.unmasked_weight,
            regularization_weight=self.regularization.weight,
            regularization_ratio=self.regularization.ratio,
        )


def _sizes(dataset: PictureDataset) -> tuple[int, ...]:
    sizes = dataset.resolutions
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)


def _unmet(dataset: PictureDataset, records: Sequence[Record]) -> Iterator[str]:
    """Yields the settings that these pictures leave without effect."""
    captions = [record.caption for record in records]
    yield from unmet_trigger(dataset.trigger, dataset.trigger_policy, captions)
    if dataset.shuffle_tags and all(len(record.prompts) == 1 for record in records):
        yield "dataset.shuffle_tags=true has no effect: no caption has several tags, separated by commas"
    if dataset.masked_loss != "none" and all(record.mask_path is None for record in records):
        yield f"dataset.masked_loss={dataset.masked_loss} has no effect: no picture has such a mask"
    if dataset.validation_fraction and len({record.key for record in records}) < 2:
        yield f"dataset.validation_fraction={dataset.validation_fraction} needs two different pictures; set it to 0"


def _problems(dataset: PictureDataset) -> Iterator[str]:
    """Yields what is wrong with the values, without opening a file."""
    yield from _out_of_range(dataset)
    yield from _without_effect(dataset)


def _out_of_range(dataset: PictureDataset) -> Iterator[str]:
    if not _sizes(dataset) or any(size < 1 for size in _sizes(dataset)):
        yield f"dataset.resolutions={dataset.resolutions} is not a list of pixels, for example [1024]"
    yield from outside(
        ("caption_dropout", dataset.caption_dropout, 0.0, 1.0),
        ("validation_fraction", dataset.validation_fraction, 0.0, 1.0),
        ("unmasked_weight", dataset.unmasked_weight, 0.0, 1.0),
        ("regularization.ratio", dataset.regularization.ratio, 0.0, 1.0),
    )
    yield from below(
        ("max_aspect", dataset.max_aspect, 1.0),
        ("max_upscale", dataset.max_upscale, 1.0),
        ("min_side", dataset.min_side, 1),
        ("num_workers", dataset.num_workers, 0),
        ("ram_cache_gib", dataset.ram_cache_gib, 0),
        ("keep_first", dataset.keep_first, 0),
        ("caption_variants", dataset.caption_variants, 2),
        *((f"repeats[{pattern}]", count, 1) for pattern, count in (dataset.repeats or {}).items()),
    )
    yield from dataset.regularization.problems()
    for name, choice, choices in (
        ("trigger_policy", dataset.trigger_policy, TRIGGER_POLICIES),
        ("masked_loss", dataset.masked_loss, MASKED_LOSSES),
        ("on_error", dataset.on_error, ON_ERROR),
    ):
        if choice not in choices:
            yield f"dataset.{name}={choice} is not one of {', '.join(choices)}"
    if dataset.trigger is not None and not dataset.trigger.strip():
        yield "dataset.trigger is empty; give a word, or null for none"


def _without_effect(dataset: PictureDataset) -> Iterator[str]:
    if dataset.validation_root is not None and dataset.validation_fraction:
        yield "dataset.validation_fraction has no effect beside dataset.validation_root; set one of them"
    if dataset.trigger is None and dataset.trigger_policy != "prepend":
        yield f"dataset.trigger_policy={dataset.trigger_policy} has no effect without dataset.trigger"
    if not dataset.shuffle_tags and (dataset.caption_variants, dataset.keep_first) != (8, 1):
        yield "dataset.caption_variants and .keep_first have no effect without dataset.shuffle_tags=true"
    if dataset.masked_loss == "none" and dataset.unmasked_weight:
        yield f"dataset.unmasked_weight={dataset.unmasked_weight} has no effect without dataset.masked_loss"
    yield from dataset.regularization.without_effect(what="picture")
