"""Chloroplasts in electron micrographs of leaves."""

from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.data import chloroplasts
from training.recipe import Recipe

RECIPE = Recipe(
    name="chloroplast-2d",
    title="Chloroplasts in EM of leaves",
    description="Chloroplasts in electron micrographs of plant leaves, some 30 to 250 pixels across.",
    data=chloroplasts,
    start="axon-myelin-2d",
    minutes=48,
    network=UNetSettings(2, 1, 2, widths=(16, 32, 64, 128, 256), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(320, 320),
        batch=3,
        focus=0.3,
        augmentation=Augmentation(
            flip_axes=(0, 1), turn_planes=((0, 1),), rotation=45, scale=(0.4, 1.8), elastic=6, warp_share=0.8,
            contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.5, noise=0.12, blur=1.5, low_resolution=2.0,
        ),
    ),
    structures=(Structure(label=1, name="chloroplast", colour="#009e73", channels=(1,)),),
    sources=(sources.CHLOROPLASTS, sources.AXONS),
    licence="BSD-3-Clause; trained on data under MIT",
    training="Begun with the weights of axon-myelin-2d; the upper part of ten slices of one stack, patches with turns, "
    "magnification, deformation and changes of intensity.",
    known_failures=(
        "Trained on one stack of one leaf: other preparations, and mitochondria of like size, may mislead it.",
        "Chloroplasts above 300 pixels across: scale the image down.",
    ),
)  # fmt: skip
