"""The claims of the paper, measured in one go: what to run, what the runs say of each claim, the figures and the page."""
