from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from loralab.data.emoji.render import render
from loralab.data.emoji.spec import EmojiSpec
from loralab.errors import UserError
from loralab.evaluation.distances import (
    feature_distance,
    frechet,
    frechet_distances,
    pixel_distance,
    retrieval,
)
from loralab.evaluation.features import FeatureNet
from loralab.evaluation.pictures import from_bytes


def disc(colour: str, *, radius: int = 20, blur: float = 0) -> torch.Tensor:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((32 - radius, 32 - radius, 32 + radius, 32 + radius), fill=colour)
    return from_bytes(np.array(image.filter(ImageFilter.GaussianBlur(blur))))


def test_equal_pictures_are_at_distance_zero(network: FeatureNet) -> None:
    pictures = torch.stack([disc("red"), disc("blue", radius=9)])

    assert pixel_distance(pictures, pictures).tolist() == [0, 0]
    torch.testing.assert_close(
        feature_distance(pictures, pictures, network=network), torch.zeros(2), atol=1e-6, rtol=0
    )


def test_pixel_distance_is_two_from_black_to_white() -> None:
    white = torch.ones(1, 3, 8, 8)

    assert pixel_distance(white, -white).tolist() == [2]


def test_feature_distance_grows_with_the_damage(network: FeatureNet) -> None:
    truth = disc("red").expand(3, -1, -1, -1)
    damaged = torch.stack([disc("red", blur=0.5), disc("red", blur=2), disc("green", radius=8, blur=4)])

    distances = feature_distance(truth, damaged, network=network).tolist()

    assert 0 < distances[0] < distances[1] < distances[2] < 2


def test_the_network_knows_what_pictures_show() -> None:
    network = FeatureNet()
    imagenet_classes = {"candle": 470, "ambulance": 407, "balloon": 417, "tractor": 866}
    pictures = torch.stack([from_bytes(render(EmojiSpec(name=name))) for name in imagenet_classes])

    named = network.network.fc(network.pooled(pictures)).argmax(1)

    assert named.tolist() == list(imagenet_classes.values())


def test_frechet_distance_of_two_known_normal_distributions() -> None:
    mu, nu = np.array([0.0, 0.0]), np.array([3.0, 4.0])
    s, t = np.diag([1.0, 4.0]), np.diag([9.0, 4.0])

    assert frechet(mu, s, nu, t) == pytest.approx(25 + (1 - 3) ** 2)
    assert frechet(mu, s, mu, s) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_does_not_depend_on_the_axes() -> None:
    source = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(source.normal(size=(3, 3)))
    s, t = (m @ m.T for m in source.normal(size=(2, 3, 3)))
    mu, nu = source.normal(size=(2, 3))

    turned = frechet(rotation @ mu, rotation @ s @ rotation.T, rotation @ nu, rotation @ t @ rotation.T)

    assert turned == pytest.approx(frechet(mu, s, nu, t))


def test_sets_of_one_distribution_are_nearer_than_sets_of_two() -> None:
    source = torch.Generator().manual_seed(0)
    reference, same, other = (torch.randn(120, 200, generator=source) for _ in range(3))

    found = frechet_distances(
        {"reference": reference, "same": same, "other": 1.5 * other + 1}, reference="reference"
    )

    assert found["same"] < 0.1 * found["other"]
    assert "reference" not in found


def test_frechet_distance_of_sets_of_different_size_is_refused() -> None:
    with pytest.raises(UserError, match="one size"):
        frechet_distances({"a": torch.randn(4, 3), "b": torch.randn(5, 3)}, reference="a")


def test_retrieval_counts_rows_whose_own_column_is_nearest() -> None:
    distances = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.9, 0.8, 0.7]])

    assert retrieval(distances) == pytest.approx(2 / 3)
