"""The regression against closed forms and planted confounding."""

import numpy as np
import pytest

from whybox_server.audits.criticism.methods.effects import cliffs_delta, of_all
from whybox_server.audits.criticism.methods.regression import adjusted, delta_scores


def test_without_confounders_it_is_cliffs_delta() -> None:
    generator = np.random.default_rng(0)
    values, having = np.round(generator.gamma(2, 1, 90), 1), generator.random(90) < 0.3
    found = adjusted(delta_scores(values), having, [])
    assert found is not None
    delta = of_all(cliffs_delta(values, values, having, np.zeros(90, np.int64)), 90)
    assert found.effect == pytest.approx(delta)
    assert found.low < delta < found.high


@pytest.mark.parametrize(("own", "shown"), [(0.0, False), (1.0, True)])
def test_a_confounder_is_held_fixed(own: float, shown: bool) -> None:
    generator = np.random.default_rng(0)
    wide = generator.random(400) < 0.5
    having = generator.random(400) < np.where(wide, 0.8, 0.2)
    values = generator.normal(size=400) + 2 * wide + own * having
    alone, beside = (adjusted(delta_scores(values), having, terms) for terms in ([], [wide.astype(str)]))
    assert alone is not None
    assert beside is not None
    assert alone.p_value < 1e-6
    assert (beside.p_value < 0.05) == (beside.low > 0) == shown


def test_confounders_that_tell_the_attribute_leave_nothing() -> None:
    having = np.arange(20) < 10
    assert adjusted(np.arange(20.0), having, [having.astype(str)]) is None
    assert adjusted(np.arange(20.0), having, [np.arange(20).astype(str)]) is None
