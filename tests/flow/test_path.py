import torch

from loralab.flow import clean_estimate, euler, interpolate, seeded_noise, target_velocity


def test_sigma_zero_is_data_and_one_is_noise():
    latents, noise = torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 2, 2), -5.0)

    noisy = interpolate(latents, noise, torch.tensor([0.0, 1.0]))

    assert torch.equal(noisy[0], latents[0])
    assert torch.equal(noisy[1], noise[1])


def test_velocity_is_the_slope_of_the_path():
    latents, noise = seeded_noise((3, 2, 4, 4), seed=0, stream="a", index=0), torch.ones(3, 2, 4, 4)
    early, late = torch.full((3,), 0.25), torch.full((3,), 0.75)

    slope = (interpolate(latents, noise, late) - interpolate(latents, noise, early)) / 0.5

    torch.testing.assert_close(slope, target_velocity(latents, noise))


def test_exact_velocity_points_back_to_the_data_from_every_sigma():
    latents, noise = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    sigma = torch.tensor([0.01, 0.3, 0.7, 0.99])

    estimate = clean_estimate(interpolate(latents, noise, sigma), target_velocity(latents, noise), sigma)

    torch.testing.assert_close(estimate, latents)


def test_euler_follows_a_straight_path_exactly_in_any_number_of_steps():
    latents, noise = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
    told = []

    def velocity(noisy, sigma):
        told.append(sigma)
        return noise - latents

    result = euler(velocity, noise, torch.tensor([1.0, 0.9, 0.4, 0.0]))

    torch.testing.assert_close(result, latents)
    assert [round(s[0].item(), 4) for s in told] == [1.0, 0.9, 0.4]
    assert all(s.shape == (2,) for s in told)
