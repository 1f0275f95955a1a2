"""Sign-up: visitors, a funnel, arms that ask for a second factor, and what follows.

A visitor is drawn once with all that would happen to them; an arm only reveals it. So the true
effect of every arm on every metric is known, and an estimate can be held against it.
"""

from twofa_lab.traffic.signup.arms import Arm
from twofa_lab.traffic.signup.settings import SignupSettings
from twofa_lab.traffic.signup.table import SIGNUPS, SignupTable
from twofa_lab.traffic.signup.world import SignupWorld, signup_world

__all__ = ["SIGNUPS", "Arm", "SignupSettings", "SignupTable", "SignupWorld", "signup_world"]
