"""The command line `twofa-lab`: thin verbs over the package."""

from twofa_lab.cli.main import main

__all__ = ["main"]
