"""The elliptec package turns the plate."""

from elliptec import Controller, Rotator
from score import case, near, same, serial_port

controller = Controller(serial_port(), debug=False)
with case("who is there"):
    plate = Rotator(controller, debug=False)
    same(str(int(plate.motor_type)), "14")
    same(plate.pulse_per_rev, 143360)
with case("home"):
    plate.home()
    near(plate.get_angle(), 0, 0.5)
with case("to 45 degrees"):
    near(plate.set_angle(45.0), 45, 0.5)
    near(plate.get_angle(), 45, 0.5)
with case("ten degrees more"):
    plate.shift_angle(10.0)
    near(plate.get_angle(), 55, 0.5)
with case("jog"):
    plate.set_jog_step(5.0)
    near(plate.get_jog_step(), 5, 0.01)
    plate.jog("forward")
    near(plate.get_angle(), 60, 0.5)
with case("home offset"):
    assert plate.get_home_offset() is not None
with case("status"):
    same(str(plate.get("status")[2]), "0")
controller.close_connection()
