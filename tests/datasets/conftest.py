from hypothesis import settings

# A busy machine must not turn a property test red.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
