"""Settings for all tests that need no mesh."""

from hypothesis import HealthCheck, settings

# A loaded machine is slow, not wrong: no test may depend on how long something takes.
settings.register_profile("canaryrollout", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("canaryrollout")
