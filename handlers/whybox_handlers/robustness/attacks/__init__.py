"""Minimal adversarial changes: how small a change of the picture changes the predicted class.

To add an attack: write its module, name it in `ATTACKS`, and add its row to the table in
tests/handlers/robustness/test_attacks.py.
"""

from collections.abc import Mapping

from whybox_handlers.robustness.attacks.apgd import APGD
from whybox_handlers.robustness.attacks.ddn import DDN
from whybox_handlers.robustness.attacks.deepfool import DeepFool
from whybox_handlers.robustness.attacks.fmn import FMN
from whybox_handlers.robustness.attacks.ifgsm import IterativeFGSM
from whybox_handlers.robustness.attacks.minimal import Adversarial, Found, MinimalAttack
from whybox_handlers.robustness.attacks.norms import NORMS
from whybox_handlers.robustness.attacks.square import Square

__all__ = ["ATTACKS", "NORMS", "Adversarial", "Found", "MinimalAttack"]

ATTACKS: Mapping[str, MinimalAttack] = {
    attack.name: attack for attack in (FMN(), IterativeFGSM(), DeepFool(), DDN(), APGD(), Square())
}
