"""Membranes between neurons in single electron micrographs."""

from dataclasses import replace

from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training.data import membranes_2d
from training.recipes.em_membrane_3d import RECIPE as IN_3D

RECIPE = replace(
    IN_3D,
    name="em-membrane-2d",
    title="Neuron membranes in EM, slice by slice",
    description="Boundaries between neurons in single electron micrographs with pixels of about 5 to 10 nm.",
    data=membranes_2d,
    minutes=36,
    network=UNetSettings(2, 1, 2, widths=(16, 32, 64, 128, 256), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(160, 160),
        batch=4,
        focus=0.2,
        augmentation=Augmentation(
            flip_axes=(0, 1), turn_planes=((0, 1),), rotation=45, scale=(0.5, 2.0), elastic=4, warp_share=0.6,
            contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.5, noise=0.15, blur=1.2, low_resolution=2.0,
        ),
    ),
    training="Slices across all axes of one slab of one volume; patches with turns, magnification and changes of "
    "intensity.",
    known_failures=(
        "Stained mitochondria, vesicles and the nucleus have membranes too; some of them are found.",
        "Membranes that lie flat in the slice are seen as grey areas, and missed.",
    ),
)  # fmt: skip
