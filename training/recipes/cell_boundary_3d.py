"""Cell walls in 3D light microscopy."""

from napari_unetseg.core.models.card import VoxelSize
from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.data import cell_boundaries
from training.recipe import Recipe

RECIPE = Recipe(
    name="cell-boundary-3d",
    title="Cell boundaries in 3D light microscopy",
    description="Walls and membranes between cells in confocal stacks with a membrane stain.",
    data=cell_boundaries,
    minutes=40,
    network=UNetSettings(3, 1, 2, widths=(16, 32, 64, 128), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(24, 64, 64),
        batch=3,
        focus=0.2,
        augmentation=Augmentation(
            flip_axes=(0, 1, 2), turn_planes=((1, 2),), rotation=45, scale=(0.5, 1.8), elastic=4, warp_share=0.6,
            contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.5, noise=0.15, blur=1.0, low_resolution=2.5,
        ),
    ),
    structures=(Structure(label=1, name="cell boundary", colour="#cc79a7", channels=(1,)),),
    sources=(sources.CELLS_3D,),
    licence="BSD-3-Clause; trained on data under MIT",
    training="One slab of one stack; patches with turns, magnification, deformation and changes of intensity.",
    voxel_size=VoxelSize(spacing=(0.235, 0.15, 0.15), unit="µm"),
    known_failures=(
        "Trained on one stack of a plant's ovule: animal cells, with thinner and less even membranes, were not seen.",
        "Stains that mark the inside of cells as well.",
    ),
)  # fmt: skip
