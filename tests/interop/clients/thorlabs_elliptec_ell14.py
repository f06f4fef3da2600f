"""The thorlabs_elliptec package, which talks from a thread of its own."""

from score import case, near, same, serial_port
from thorlabs_elliptec import ELLx

plate = ELLx(serial_port(), x=14)
with case("who is there"):
    assert plate.model_number in ("ELL14", "ELL14/M"), plate.model_number
    assert plate.units in ("deg", "°")
with case("home"):
    plate.home(blocking=True)
    near(plate.get_position(), 0, 0.5)
with case("to 45 degrees"):
    plate.move_absolute(45.0, blocking=True)
    near(plate.get_position(), 45, 0.5)
with case("back by 20 degrees"):
    plate.move_relative(-20.0, blocking=True)
    near(plate.get_position(), 25, 0.5)
with case("not moving"):
    same(plate.is_moving(), False)
plate.close()
