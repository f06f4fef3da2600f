"""One file per measurement: parameters, blocks, reduction, figure."""
