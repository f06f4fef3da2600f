"""The device under test: a film of CsPbBr3 nanocrystals between two ITO electrodes."""
