from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from loralab.data.emoji.concepts import concept as emoji
from loralab.errors import UserError
from loralab.evaluation import Drawing, Evaluation, FeatureNet, Previews, StyleTest, Truths, emoji_concept
from loralab.evaluation.scores import Drawn, score_drawn
from loralab.evaluation.style import draw_concept
from loralab.families.flux2_klein import Flux2Klein


def drawn(truths: torch.Tensor, sources: torch.Tensor, *, styled: float, moved: float = 0.0) -> Drawn:
    """As by a base that draws the sources, and an adapter that goes a share of the way to the truth."""
    plain = sources[:4]
    return Drawn(
        held_out_base=sources,
        held_out_adapter=sources + styled * (truths - sources),
        no_trigger_base=plain,
        no_trigger_other_seed=plain.flip(0),
        no_trigger_adapter=plain + moved * (plain.flip(0) - plain),
    )


@pytest.fixture(scope="module")
def pictures() -> Truths:
    return emoji_concept("emoji_linocut").limited(StyleTest(num_held_out=12)).truths


def test_a_learned_style_is_nearer_in_every_measure(pictures: Truths, network: FeatureNet) -> None:
    assert pictures.sources is not None

    score = score_drawn(
        drawn(pictures.styled, pictures.sources, styled=0.9), truths=pictures, num_seeds=1, network=network
    )

    for compared in (score.pixel, score.feature):
        assert compared.adapter < 0.6 * compared.base
        assert compared.difference.high < 0
        assert compared.share_improved.value == 1
    assert score.frechet["adapter"] < 0.5 * score.frechet["base"]
    assert score.frechet["base"] == pytest.approx(score.frechet["source"])
    assert score.drift_pixel.ratio == pytest.approx(0, abs=1e-6)  # two drawings of the same pictures
    assert score.drift_feature.ratio == pytest.approx(0, abs=1e-6)
    assert json.loads(json.dumps(score.to_dict()))["num_held_out"] == 12


def test_nothing_learned_and_everything_moved_shows(pictures: Truths, network: FeatureNet) -> None:
    assert pictures.sources is not None

    score = score_drawn(
        drawn(pictures.styled, pictures.sources, styled=0.0, moved=1.0),
        truths=pictures,
        num_seeds=1,
        network=network,
    )

    assert score.pixel.difference.value == score.feature.difference.value == 0
    assert score.pixel.share_improved.value == 0
    assert score.drift_pixel.ratio == pytest.approx(1)
    assert score.drift_feature.ratio == pytest.approx(1, abs=1e-4)


def test_seeds_are_averaged_before_pictures_are_counted(pictures: Truths, network: FeatureNet) -> None:
    assert pictures.sources is not None
    once = drawn(pictures.styled, pictures.sources, styled=0.5)
    twice = Drawn(**{name: part.repeat(2, 1, 1, 1) for name, part in vars(once).items()})

    first = score_drawn(once, truths=pictures, num_seeds=1, network=network)
    second = score_drawn(twice, truths=pictures, num_seeds=2, network=network)

    assert second.num_held_out == first.num_held_out
    assert second.pixel.difference.low == pytest.approx(first.pixel.difference.low)
    assert second.drift_feature.adapter.value == pytest.approx(first.drift_feature.adapter.value)


def test_truths_of_a_concept_are_its_held_out_pictures_drawn_exactly() -> None:
    concept = emoji_concept("emoji_linocut")

    assert concept.held_out == tuple(spec.caption for spec in emoji("emoji_linocut").held_out)
    assert len(concept.held_out) == len(concept.truths.styled) >= 200
    assert not set(concept.held_out) & {spec.caption for spec in emoji("emoji_linocut").train}
    assert concept.truths.sources is not None
    assert (concept.truths.styled - concept.truths.sources).abs().mean() > 0.1


def test_no_two_pictures_of_a_score_share_noise(klein: Flux2Klein, adapter_file: Path) -> None:
    prompts = Drawing().encode(klein, ["red apple"]).select(["red apple"] * 3)

    pictures = draw_concept(
        klein, adapter_file, held_out=prompts, no_trigger=prompts, seeds=[0, 1], drawing=Drawing(num_steps=1)
    )

    for part in vars(pictures).values():
        assert len({picture.numpy().tobytes() for picture in part}) == 6
    assert torch.equal(pictures.held_out_base, pictures.no_trigger_base)
    assert not set(pictures.no_trigger_base.flatten(1)) & set(pictures.no_trigger_other_seed.flatten(1))


def test_evaluation_previews_and_scores_a_concept(
    klein: Flux2Klein, adapter_file: Path, tmp_path: Path
) -> None:
    evaluation = Evaluation(
        drawing=Drawing(num_steps=1, guidance_scale=1.0, height=96, width=96, batch_size=16),
        previews=Previews(num_prompts=2),
        style=StyleTest(num_held_out=3, num_no_trigger=2),
    )

    result = evaluation.run(
        klein, adapter=adapter_file, folder=tmp_path, captions=(), concept=emoji_concept("emoji_linocut")
    )

    assert json.loads((tmp_path / "previews" / "index.json").read_text())["columns"] == [
        "base",
        "adapter",
        "truth",
    ]
    assert result["style"]["num_held_out"] == 3
    assert result["style"]["drift_pixel"]["adapter"]["value"] > 0


def test_a_style_test_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="num_held_out=1"):
        StyleTest(num_held_out=1)
