"""Nuclei in 2D: fluorescence, stained tissue and bright field."""

from napari_unetseg.core.volume import Structure
from napari_unetseg.engine.networks.unets.unet import UNetSettings
from napari_unetseg.engine.training.augment import Augmentation
from napari_unetseg.engine.training.patches import BatchSettings
from training import sources
from training.data import nuclei_2d
from training.recipe import Recipe

RECIPE = Recipe(
    name="nuclei-2d",
    title="Nuclei in 2D, fluorescence and stained tissue",
    description="Single nuclei, bright on dark or dark on bright, 8 to 60 pixels across; colour by its luminance.",
    data=nuclei_2d,
    minutes=36,
    network=UNetSettings(2, 1, 3, widths=(16, 32, 64, 128, 192), norm="batch", conv_bias=False),
    batches=BatchSettings(
        patch=(128, 128),
        batch=6,
        focus=0.5,
        augmentation=Augmentation(
            flip_axes=(0, 1), turn_planes=((0, 1),), rotation=45, scale=(0.5, 2.0), elastic=4, warp_share=0.6,
            contrast=0.5, brightness=0.2, gamma=0.5, inversion=0.4, noise=0.15, blur=1.2, low_resolution=2.0,
        ),
    ),
    structures=(Structure(label=1, name="nucleus", colour="#009e73", channels=(1, 2), seed_channel=1),),
    sources=(sources.NUCLEI_2D,),
    licence="BSD-3-Clause; trained on data under CC0",
    training="Four in five of 355 images; 45 % of the patches fluorescence, 40 % stained tissue, 15 % bright field, "
    "inverted at random. Outputs: core and rim of nuclei.",
    voxel_size=None,
    minimum_object=15,
    known_failures=(
        "Colour tells it nothing: in tissue with two stains of one luminance it finds both.",
        "Nuclei above 100 pixels across may come out in parts: scale the image down.",
    ),
)  # fmt: skip
