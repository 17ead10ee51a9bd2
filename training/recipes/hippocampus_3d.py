"""Anterior and posterior hippocampus in T1 MR."""

from napari_unetseg.core.models.card import VoxelSize
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.data import hippocampus
from training.recipe import Recipe

RECIPE = Recipe(
    name="hippocampus-3d",
    title="Hippocampus in T1 MR",
    description="Anterior (head) and posterior (body and tail) hippocampus in T1-weighted MR, cropped around it.",
    data=hippocampus,
    minutes=29,
    network=UNetSettings(3, 1, 3, widths=(16, 32, 64, 128), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(32, 48, 32),
        batch=3,
        focus=0.5,
        augmentation=Augmentation(
            flip_axes=(2,), turn_planes=((0, 1), (1, 2), (0, 2)), quarter_turns=False, rotation=12,
            scale=(0.8, 1.25), elastic=2, warp_share=0.5, contrast=0.5, brightness=0.2, gamma=0.4,
            inversion=0.25, noise=0.1, blur=0.8, low_resolution=1.7,
        ),
    ),
    structures=(
        Structure(label=1, name="anterior hippocampus", colour="#e69f00", channels=(1,)),
        Structure(label=2, name="posterior hippocampus", colour="#56b4e9", channels=(2,)),
    ),
    sources=(sources.HIPPOCAMPUS,),
    licence="CC BY-SA 4.0",
    training="Four in five of 195 cases; patches with flips, magnification and changes of intensity.",
    voxel_size=VoxelSize(spacing=(1, 1, 1), unit="mm"),
    known_failures=(
        "A whole head: it knows crops of some 35 to 50 mm around one hippocampus, and finds false parts elsewhere.",
        "T2-weighted images and contrasts other than T1 were not tested.",
    ),
)  # fmt: skip
