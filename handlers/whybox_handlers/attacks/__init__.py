"""Minimal adversarial changes: how little makes the model change its mind.

One row of `ATTACKS` per norm. To measure in another norm: write the attack's module, add its row here, add its row to
the table in tests/handlers/test_attacks.py.
"""

from collections.abc import Mapping

from whybox_handlers.attacks.fmn import FMN
from whybox_handlers.attacks.minimal import Adversarial, MinimalAttack, Search

__all__ = ["ATTACKS", "Adversarial", "MinimalAttack", "Search"]

ATTACKS: Mapping[str, MinimalAttack] = {
    "linf": FMN(),
}
