"""Settings every test shares."""

from hypothesis import settings

# A deadline is a time: it would fail where the machine is slow or numba still has to compile.
# Derandomised: the same examples on every run, so that a red run stays red until it is mended.
settings.register_profile("twofa-lab", deadline=None, derandomize=True)
settings.load_profile("twofa-lab")
