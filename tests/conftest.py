"""Settings every test shares."""

from hypothesis import settings

# A deadline is a time: it would fail where the machine is slow or numba still has to compile.
settings.register_profile("twofa-lab", deadline=None)
settings.load_profile("twofa-lab")
