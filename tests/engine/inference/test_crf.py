from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.progress import finish
from napari_unetseg.core.steps import Crf
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.devices import OutOfMemory
from napari_unetseg.engine.inference import crf
from napari_unetseg.engine.inference.crf import NEAREST, SMALLEST, iter_refine, refine
from napari_unetseg.errors import InputError, ResourceError


def brute_force(probabilities: np.ndarray, image: Volume, settings: Crf) -> np.ndarray:
    """Mean-field inference over all pairs of voxels within the window, written down as the formula is."""
    sides = np.array(image.grid.spacing) / min(image.grid.spacing)
    places = np.indices(image.shape).reshape(3, -1).T
    squared = (((places[:, None] - places[None]) * sides) ** 2).sum(axis=2)
    window = (squared > 0) & (squared <= settings.window**2)
    every = np.indices((2 * settings.window + 1,) * 3).reshape(3, -1).T - settings.window
    every = every[(np.abs(every) < image.shape).all(axis=1)]
    lengths = ((every * sides) ** 2).sum(axis=1)
    lengths = lengths[(lengths > 0) & (lengths <= settings.window**2)]
    looks = image.array.reshape(len(image.array), -1).T
    looks = looks / looks.std(axis=0)
    apart = ((looks[:, None] - looks[None]) ** 2).sum(axis=2)
    kernel = np.zeros(squared.shape)
    for weight, sigma, alike in (
        (settings.appearance, settings.window, np.exp(-apart / (2 * settings.contrast**2))),
        (settings.smoothness, NEAREST, 1.0),
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
    settings = Crf(iterations=3, contrast=1.0, window=2)
    expected = brute_force(probabilities, image, settings)
    np.testing.assert_allclose(refine(probabilities, image, settings), expected, rtol=2e-4, atol=1e-6)


def test_without_weights_nothing_changes():
    probabilities = np.random.default_rng(1).dirichlet(np.ones(2), (2, 5, 6)).transpose(3, 0, 1, 2)
    image = Volume(np.random.default_rng(2).normal(size=(1, 2, 5, 6)))
    for settings in (Crf(appearance=0, smoothness=0), Crf(iterations=0)):
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
    job = iter_refine(np.full((2, 1, 4, 4), 0.5), Volume(np.zeros((1, 1, 4, 4))), Crf(iterations=4))
    assert [(step.done, step.total) for step in job] == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_bad_input_is_one_clear_line():
    with pytest.raises(InputError, match="image's shape"):
        refine(np.ones((2, 1, 4, 4)), Volume(np.zeros((1, 1, 4, 5))))


def test_a_part_of_an_image_is_seen_with_the_contrast_of_the_whole():
    rng = np.random.default_rng(4)
    probabilities = rng.dirichlet(np.ones(2), (1, 6, 6)).transpose(3, 0, 1, 2)
    array = rng.normal(scale=5, size=(1, 1, 6, 6))
    part = refine(probabilities, Volume(array), spread=(float(array.std() * 2),))
    weaker = refine(probabilities, Volume(array), Crf(contrast=0.6))
    np.testing.assert_allclose(part, weaker, rtol=1e-4, atol=1e-6)


def test_voxels_that_are_not_finite_say_nothing():
    rng = np.random.default_rng(6)
    probabilities = rng.dirichlet(np.ones(2), (1, 5, 5)).transpose(3, 0, 1, 2)
    array = rng.normal(size=(1, 1, 5, 5))
    array[0, 0, 2, 2] = np.nan
    assert np.isfinite(refine(probabilities, Volume(array))).all()
    assert np.isfinite(refine(probabilities, Volume(np.full_like(array, np.inf)))).all()


def test_without_memory_it_goes_on_with_the_cpu_or_says_so(monkeypatch):
    probabilities = np.random.default_rng(5).dirichlet(np.ones(2), (1, 4, 4)).transpose(3, 0, 1, 2)
    image = Volume(np.zeros((1, 1, 4, 4)))
    expected, rounds = refine(probabilities, image), crf._rounds

    def scarce(probabilities, image, settings, spread, device):
        if device.type != "cpu":
            raise OutOfMemory
        return (yield from rounds(probabilities, image, settings, spread, device))

    monkeypatch.setattr(crf, "_rounds", scarce)
    monkeypatch.setattr(crf, "choose_device", lambda name: torch.device("meta"))
    messages = []
    np.testing.assert_array_equal(
        finish(iter_refine(probabilities, image), lambda p: messages.append(p.message)), expected
    )
    assert messages[0] == "Not enough memory on meta: going on with the CPU."
    monkeypatch.setattr(crf, "choose_device", lambda name: torch.device("cpu"))
    monkeypatch.setattr(crf, "_messages", lambda *_: torch.empty(2**60))
    with pytest.raises(ResourceError, match="Not enough memory"):
        refine(probabilities, image)
