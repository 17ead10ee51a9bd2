"""Axons and myelin in scanning electron micrographs of nerve."""

from napari_unetseg.core.models.card import VoxelSize
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.data import axons
from training.recipe import Recipe

RECIPE = Recipe(
    name="axon-myelin-2d",
    title="Axons and myelin in SEM of nerve",
    description="Axons and their myelin sheaths in scanning electron micrographs of rat nerve.",
    data=axons,
    minutes=40,
    network=UNetSettings(2, 1, 3, widths=(16, 32, 64, 128, 256), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(192, 192),
        batch=4,
        focus=0.5,
        augmentation=Augmentation(
            flip_axes=(0, 1), turn_planes=((0, 1),), rotation=45, scale=(0.6, 1.67), elastic=6, warp_share=0.7,
            contrast=0.6, brightness=0.2, gamma=0.6, inversion=0.3, noise=0.15, blur=1.5, low_resolution=2.5,
        ),
    ),
    structures=(
        Structure(label=1, name="axon", colour="#0072b2", channels=(1,)),
        Structure(label=2, name="myelin", colour="#d55e00", channels=(2,)),
    ),
    sources=(sources.AXONS,),
    licence="BSD-3-Clause; trained on data under MIT",
    training="Five images of three rats, patches with turns, magnification, deformation and changes of intensity.",
    voxel_size=VoxelSize(spacing=(0.12,) * 3, unit="µm"),
    known_failures=(
        "Trained on few images of one laboratory: transmission electron and light micrographs were not seen.",
        "Axons cut by the image's border, and those above 15 µm across, may be left out.",
    ),
)  # fmt: skip
