import numpy as np
from PIL import Image

from whybox.drawing.spotlight import light_up


def test_only_the_inside_keeps_its_colours() -> None:
    picture = Image.new("RGB", (60, 40), (200, 40, 40))
    inside = np.zeros((4, 6), bool)
    inside[1:3, 2:5] = True
    lit = np.asarray(light_up(picture, inside), int)
    assert (lit[14:26, 24:46] == (200, 40, 40)).all()
    outside = np.ones((40, 60), bool)
    outside[10:30, 20:50] = False
    assert np.ptp(lit[outside], axis=-1).max() == 0, "grey"
    assert lit[outside].max() < 60, "dark"
    assert (lit[10, 20:50] == lit[10, 20]).all()
    assert lit[10, 20].tolist() not in ([200, 40, 40], lit[0, 0].tolist()), "outlined"
