"""What strangers may send: each file of the table has the outcome that is written there, in little time."""

import time

import pytest
import torch

from hostile_pictures import HOSTILE
from whybox.v1.errors import PictureError
from whybox_handlers.pictures.decoding import MAX_PIXELS, decode

# Of this process alone. A picture with as many pixels as may be takes about one second, with 16 bits a sample two more.
SECONDS = 10


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_picture_has_the_outcome_of_the_table(name: str) -> None:
    case = HOSTILE[name]
    sent = case.make()
    start = time.process_time()
    if case.reason:
        with pytest.raises(PictureError) as refusal:
            decode(sent)
        assert (refusal.value.reason, refusal.value.field) == (case.reason, "image")
        assert case.words in refusal.value.message
    else:
        picture = decode(sent)
        assert picture[0].numel() <= MAX_PIXELS
        assert not case.looks or torch.equal(picture, decode(case.looks))
    assert time.process_time() - start < SECONDS
