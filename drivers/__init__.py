"""How to talk to one instrument: roles, links, message grammars, one file per model."""

__distribution__ = "ito-rig"
