"""The pure Python backend of python-seabreeze, with an Ocean FX on the network."""

import numpy as np
from score import address, case, refused, same
from seabreeze.pyseabreeze.devices import SeaBreezeDevice
from seabreeze.pyseabreeze.transport import IPv4Transport, IPv4TransportHandle

host, port = address()
IPv4Transport.register_model("FX", ipv4_address=host, ipv4_port=port)
fx = SeaBreezeDevice(IPv4TransportHandle(host, port))

with case("open, model and serial number"):
    fx.open()
    same(fx.model, "FX")
    assert fx.serial_number.isprintable()
    same(len(fx.serial_number) > 0, True)
spectrometer = fx.features["spectrometer"][0]
with case("wavelengths"):
    wavelength = np.asarray(spectrometer.get_wavelengths())
    same(wavelength.shape, (2136,))
    assert (np.diff(wavelength) > 0).all()
    assert wavelength[0] < 520 < 535 < wavelength[-1]
with case("integration time"):
    spectrometer.set_integration_time_micros(10_000)
    refused(lambda: spectrometer.set_integration_time_micros(1), Exception)
with case("trigger mode"):
    spectrometer.set_trigger_mode(0)
with case("a spectrum"):
    spectrum = np.asarray(spectrometer.get_intensities())
    same(spectrum.shape, (2136,))
    assert 0 < spectrum.mean() < 65535
with case("twenty spectra in a row"):
    spectra = np.array([spectrometer.get_intensities() for _ in range(20)])
    assert (np.ptp(spectra, axis=0) > 0).any()
with case("open once more"):
    fx.close()
    fx.open()
    same(np.asarray(fx.features["spectrometer"][0].get_intensities()).shape, (2136,))
fx.close()
