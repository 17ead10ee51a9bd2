from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from napari_unetseg.core.volume import Grid, Volume
from napari_unetseg.engine.crf import SMALLEST, CrfSettings, iter_refine, refine
from napari_unetseg.errors import InputError, SettingsError


def brute_force(probabilities: np.ndarray, image: Volume, settings: CrfSettings) -> np.ndarray:
    """Mean-field inference over all pairs of voxels within the window, written down as the formula is."""
    sides = np.array(image.grid.spacing) / min(image.grid.spacing)
    places = np.indices(image.shape).reshape(3, -1).T
    squared = (((places[:, None] - places[None]) * sides) ** 2).sum(axis=2)
    window = (squared > 0) & (squared <= settings.radius**2)
    every = np.indices((2 * settings.radius + 1,) * 3).reshape(3, -1).T - settings.radius
    every = every[(np.abs(every) < image.shape).all(axis=1)]
    lengths = ((every * sides) ** 2).sum(axis=1)
    lengths = lengths[(lengths > 0) & (lengths <= settings.radius**2)]
    looks = image.array.reshape(len(image.array), -1).T
    looks = looks / looks.std(axis=0)
    apart = ((looks[:, None] - looks[None]) ** 2).sum(axis=2)
    kernel = np.zeros(squared.shape)
    for weight, sigma, alike in (
        (settings.appearance, settings.appearance_distance, np.exp(-apart / (2 * settings.contrast**2))),
        (settings.smoothness, settings.smoothness_distance, 1.0),
    ):
        kernel += weight * window * np.exp(-squared / (2 * sigma**2)) * alike / np.exp(-lengths / (2 * sigma**2)).sum()
    unary = np.log(np.maximum(probabilities, SMALLEST)).reshape(len(probabilities), -1)
    belief = np.exp(unary)
    for _ in range(settings.iterations):
        belief = softmax(unary + belief @ kernel.T, axis=0)
    return belief.reshape(probabilities.shape)


@pytest.mark.parametrize(("shape", "spacing"), [((3, 5, 6), (2.0, 1.0, 1.0)), ((1, 7, 8), (1.0, 0.5, 0.5))])
def test_it_is_mean_field_inference(shape, spacing):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), shape).transpose(3, 0, 1, 2)
    image = Volume(rng.normal(size=(2, *shape)), Grid(spacing, "µm"))
    settings = CrfSettings(iterations=3, contrast=1.0, radius=2)
    expected = brute_force(probabilities, image, settings)
    np.testing.assert_allclose(refine(probabilities, image, settings), expected, rtol=2e-4, atol=1e-6)


def test_without_weights_nothing_changes():
    probabilities = np.random.default_rng(1).dirichlet(np.ones(2), (2, 5, 6)).transpose(3, 0, 1, 2)
    image = Volume(np.random.default_rng(2).normal(size=(1, 2, 5, 6)))
    for settings in (CrfSettings(appearance=0, smoothness=0), CrfSettings(iterations=0)):
        np.testing.assert_allclose(refine(probabilities, image, settings), probabilities, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 40, 40), (10, 20, 20)])
def test_noise_goes_and_the_edge_of_the_image_stays(shape):
    rng = np.random.default_rng(3)
    truth = np.zeros(shape, bool)
    truth[:, :, shape[2] // 2 :] = True
    image = Volume((truth + rng.normal(scale=0.1, size=shape))[None])
    foreground = np.clip(0.5 + 0.2 * (truth * 2 - 1) + rng.normal(scale=0.25, size=shape), 0.01, 0.99)
    refined = refine(np.stack([1 - foreground, foreground]), image)
    assert ((foreground > 0.5) == truth).mean() < 0.85
    assert ((refined[1] > 0.5) == truth).mean() > 0.97


def test_progress_is_told_each_round():
    job = iter_refine(np.full((2, 1, 4, 4), 0.5), Volume(np.zeros((1, 1, 4, 4))), CrfSettings(iterations=4))
    assert [(step.done, step.total) for step in job] == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_bad_input_is_one_clear_line():
    with pytest.raises(InputError, match="image's shape"):
        refine(np.ones((2, 1, 4, 4)), Volume(np.zeros((1, 1, 4, 5))))
    for wrong in ({"contrast": 0}, {"radius": 0}, {"iterations": -1}, {"appearance": np.nan}):
        with pytest.raises(SettingsError, match="Expected"):
            CrfSettings(**wrong)
