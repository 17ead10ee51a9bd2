"""The general 2D start: every labelled set, and generated shapes, as tasks with a head each."""

from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.recipe import Recipe
from training.tasks import HEADS_2D, HeadsLoss, general_2d

RECIPE = Recipe(
    name="general-2d",
    title="General start in 2D",
    description="A start for learning from paint: it knows shapes and textures of many kinds, and names none.",
    data=general_2d,
    minutes=35,
    network=UNetSettings(2, 1, sum(HEADS_2D), widths=(24, 48, 96, 192, 256), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(128, 128),
        batch=6,
        focus=0.5,
        augmentation=Augmentation(
            flip_axes=(0, 1), turn_planes=((0, 1),), rotation=45, scale=(0.5, 2.0), elastic=4, warp_share=0.5,
            contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.3, noise=0.1, blur=1.0, low_resolution=2.0,
        ),
    ),
    structures=(),
    sources=(
        sources.NUCLEI_2D, sources.AXONS, sources.CHLOROPLASTS, sources.FIB25, sources.CELLS_3D, *sources.NUCLEI_3D[:3],
        sources.SANDSTONE, sources.METALS, sources.HIPPOCAMPUS, sources.SARCOMA, sources.SHAPES,
    ),
    licence="CC BY-SA 4.0",
    training="Thirteen tasks with a head each: the training parts of twelve labelled sets, in slices, and one patch in "
    "four from 64 generated volumes of walls, blobs and tubes in random brightness.",
    known_failures=("It finds nothing by itself: paint what you look for.",),
    loss=HeadsLoss(HEADS_2D),
)  # fmt: skip
