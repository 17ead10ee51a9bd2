import numpy as np
import pytest
from PIL import Image

from napari_unetseg.core.models.catalogue import list_models, picture_of


@pytest.mark.parametrize("card", list_models(), ids=lambda card: card.name)
def test_a_model_that_was_measured_has_a_picture_that_shows_something(card):
    picture = picture_of(card.name)
    if card.is_start:
        assert picture is None
        return
    with Image.open(picture) as image:
        assert min(image.size) >= 60
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
