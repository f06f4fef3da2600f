"""What an experiment is, and how it is run."""

__distribution__ = "ito-rig"
