"""Instruments made of software, down to the bytes, around one simulated film."""

__distribution__ = "ito-rig"
