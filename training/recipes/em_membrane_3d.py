"""Membranes between neurons in isotropic electron microscopy."""

from napari_unetseg.core.models.card import VoxelSize
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.data import membranes
from training.recipe import Recipe

RECIPE = Recipe(
    name="em-membrane-3d",
    title="Neuron membranes in isotropic EM",
    description="Boundaries between neurons in FIB-SEM volumes with nearly cubic voxels of about 10 nm.",
    data=membranes,
    minutes=57,
    network=UNetSettings(3, 1, 2, widths=(16, 32, 64, 128), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(48, 48, 48),
        batch=2,
        focus=0.2,
        augmentation=Augmentation(
            flip_axes=(0, 1, 2), turn_planes=((0, 1), (1, 2), (0, 2)), rotation=30, scale=(0.7, 1.4), elastic=3,
            warp_share=0.4, contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.5, noise=0.15, blur=1.2,
            low_resolution=2.5,
        ),
    ),
    structures=(Structure(label=1, name="membrane", colour="#cc79a7", channels=(1,)),),
    sources=(sources.FIB25,),
    licence="BSD-3-Clause; trained on data under CC BY",
    training="One slab of one volume; patches with flips and turns along all axes and changes of intensity.",
    voxel_size=VoxelSize(spacing=(10, 10, 10), unit="nm"),
    known_failures=(
        "Serial sections with thick slices: membranes between slices look unlike those it was trained on.",
        "Mitochondria and vesicles have membranes too; some of them are found.",
    ),
)  # fmt: skip
