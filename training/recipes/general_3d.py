"""The general 3D start: labelled stacks, and generated ones, as tasks with a head each."""

from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.recipe import Recipe
from training.tasks import HEADS_3D, HeadsLoss, general_3d

RECIPE = Recipe(
    name="general-3d",
    title="General start in 3D",
    description="A start for learning from paint: it knows shapes and textures of many kinds, and names none.",
    data=general_3d,
    minutes=30,
    network=UNetSettings(3, 1, sum(HEADS_3D), widths=(16, 32, 64, 128), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(24, 64, 64),
        batch=3,
        focus=0.5,
        augmentation=Augmentation(
            flip_axes=(0, 1, 2), turn_planes=((1, 2),), rotation=45, scale=(0.7, 1.4), elastic=3, warp_share=0.5,
            contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.3, noise=0.1, blur=1.0, low_resolution=2.0,
        ),
    ),
    structures=(),
    sources=(
        *sources.NUCLEI_3D, sources.FIB25, sources.CELLS_3D, sources.HIPPOCAMPUS, sources.SARCOMA, sources.SHAPES,
    ),
    licence="CC BY-SA 4.0",
    training="Six tasks with a head each: the training parts of seven labelled stacks and sets, generated nuclei, and "
    "one patch in four from 64 generated volumes of walls, blobs and tubes in random brightness.",
    known_failures=("It finds nothing by itself: paint what you look for.",),
    loss=HeadsLoss(HEADS_3D),
)  # fmt: skip
