"""All rows of the film's table, in the order of the paper's figures. `docs/make_film_table.py` prints them.

Not here: the speed of rendering, which depends on the machine (benchmarks/film_rendering.py).
"""

from film.absorption_rows import ABSORPTION_ROWS
from film.ase_rows import ASE_ROWS
from film.luminescence_rows import LUMINESCENCE_ROWS
from film.population_rows import POPULATION_ROWS
from film.row import Row

PARTS: dict[str, list[Row]] = {
    "Emission from the edge (paper, Figure 2)": ASE_ROWS,
    "Absorption and gain (paper, Figure 3)": ABSORPTION_ROWS,
    "Weak light, and the control device (paper, Figure 4)": LUMINESCENCE_ROWS,
    "Many devices": POPULATION_ROWS,
}

ROWS: list[Row] = [row for part in PARTS.values() for row in part]
