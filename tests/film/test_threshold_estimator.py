"""The threshold of films other than the nominal one, by the estimator of fluence sweeps."""

import pytest
from film.edge_bench import EdgeBench

from sim_instruments.film.film import Film
from sim_instruments.film.parameters import FilmParameters


@pytest.mark.parametrize("number", range(5))
def test_other_films_have_their_own_thresholds(number: int) -> None:
    """Within 2 %: the law is not the film's own."""
    film = FilmParameters.sampled(f"NC-{number:03d}")
    for voltage_v, sweep in EdgeBench(film, number).sweep((0.0, 20.0)).items():
        assert sweep.threshold.value == pytest.approx(Film(film).native_threshold(voltage_v), rel=0.02)
