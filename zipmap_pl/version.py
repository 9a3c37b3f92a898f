"""The version of this package, in a file of its own so that no room imports the package's front door."""

__version__ = "0.1.0"
