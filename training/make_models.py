"""Train bundled models: ``python -m training.make_models [NAME…] [--data DIR] [--minutes M]``."""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import torch

from napari_unetseg.api import verify
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.models.catalogue import BUNDLED
from napari_unetseg.core.progress import Progress, finish
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.training.loop import Trained, TrainProgress, TrainSettings, iter_train
from napari_unetseg.engine.training.patches import Batches, Case
from training.data import seen
from training.descriptors import appearance_of_cases
from training.halo import measured_halo
from training.held_out import RULES
from training.recipe import Recipe, Split

HERE = Path(__file__).parent
RUNS = HERE / "runs"
NAMES = (
    "general-2d", "general-3d", "nuclei-2d", "nuclei-3d", "cell-boundary-3d", "em-membrane-2d", "em-membrane-3d",
    "axon-myelin-2d", "chloroplast-2d", "hippocampus-3d",
)  # fmt: skip
LOG_EVERY = 50
HALO_EXAMPLES = 2
VERSION = "1.0"


def recipe_named(name: str) -> Recipe:
    """The recipe of one model, from ``training/recipes``."""
    recipe: Recipe = importlib.import_module(f"training.recipes.{name.replace('-', '_')}").RECIPE
    return recipe


def train(recipe: Recipe, cases: list[Case], minutes: float, device: str) -> Trained[Network]:
    """Train one network, or go on with it from ``training/runs``; the log is there too."""
    RUNS.mkdir(exist_ok=True)
    torch.manual_seed(0)
    network = begun(recipe).to(device)
    cases = [Case(case.image.to(device), case.labels.to(device), case.weight) for case in cases]
    settings = TrainSettings(
        minutes=minutes,
        learning_rate=recipe.learning_rate,
        class_weights=recipe.class_weights,
        half=True,
        loss=recipe.loss,
    )
    job = iter_train(network, Batches(cases, recipe.batches), settings, checkpoint=RUNS / f"{recipe.name}.safetensors")
    with (RUNS / f"{recipe.name}.log").open("a") as log:
        return finish(job, Logger(log).write)


def begun(recipe: Recipe) -> Network:
    """The network before its first step: random, or with the trunk of the model that the recipe starts from."""
    network = architecture_of(recipe.network).build()
    if recipe.start is not None:
        trunk = {k: v for k, v in load_model(recipe.start).network.state_dict().items() if not k.startswith("head.")}
        network.load_state_dict({**network.state_dict(), **trunk})
    return network


class Logger:
    """Writes the mean loss now and then, one JSON record a line."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.losses = file, list[float]()

    def write(self, progress: Progress) -> None:
        """Take note of one step."""
        if isinstance(progress, TrainProgress):
            self.losses.append(progress.loss)
            if progress.done % LOG_EVERY == 0:
                record = {
                    "step": progress.done,
                    "total": progress.total,
                    "loss": round(sum(self.losses) / len(self.losses), 4),
                    "skipped": progress.skipped,
                    "left": round(progress.seconds_left or 0),
                }
                self.file.write(json.dumps(record) + "\n")
                self.file.flush()
                self.losses.clear()


def finish_model(recipe: Recipe, split: Split, trained: Trained[Network], data: Path) -> Model:
    """Measure halo and held-out scores, and fill in the card."""
    network = trained.network.cpu().to(memory_format=torch.contiguous_format)
    largest = sorted(map(seen, split.held_out), key=lambda image: image.size)[-HALO_EXAMPLES:]
    card = ModelCard(
        name=recipe.name,
        title=recipe.title,
        description=recipe.description,
        version=VERSION,
        dimensions=recipe.network.dimensions,
        architecture=recipe.network.to_json(),
        channels=recipe.channels,
        voxel_size=recipe.voxel_size,
        structures=recipe.structures,
        patch=(1,) * (3 - len(recipe.batches.patch)) + recipe.batches.patch,
        halo=measured_halo(network, largest),
        minimum_object=recipe.minimum_object,
        appearance=appearance_of_cases(split.train) if recipe.structures else None,
        training_data=recipe.sources,
        training=f"{recipe.training} {trained.steps} steps of {recipe.batches.batch} patches, "
        f"{trained.seconds / 60:.0f} minutes.",
        licence=recipe.licence,
        known_failures=recipe.known_failures,
        held_out=RULES.get(recipe.name, ()),
    )
    return measured(Model(network, card), data)


def measured(model: Model, data: Path) -> Model:
    """The model with its scores: of the weights as they are saved, in half precision."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(path, model, half=True)
        scores = tuple(check.score for check in verify(path, data))
        saved = load_model(path)
    return replace(saved, card=saved.card.model_copy(update={"scores": scores}))


def main() -> None:
    """Train the models that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--output", type=Path, default=BUNDLED, help="folder of the finished models")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    for name in options.names:
        recipe = recipe_named(name)
        split = recipe.data(options.data)
        trained = train(recipe, split.train, options.minutes or recipe.minutes, options.device)
        model = finish_model(recipe, split, trained, options.data)
        save_model(options.output / f"{name}.safetensors", model, half=True)
        for score in model.card.scores:
            print(name, score.held_out, score.structure, score.metric, score.value, sep=" · ", flush=True)


if __name__ == "__main__":
    main()
