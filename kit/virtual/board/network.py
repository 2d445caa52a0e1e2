# Runs on CPython and on MicroPython.
"""MicroPython's `network` module for the virtual board, which knows one Wi-Fi network (ports/esp32/network_wlan.c)."""

import time

import _chip

STA_IF = 0
AP_IF = 1

STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202

_CONNECT_MS = 300  # modelled: until the answer of the network is known
_RSSI = -55  # modelled
_NOWHERE = ("0.0.0.0",) * 4

_hostname = "mpy-esp32"


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    if len(name) > 32:
        raise ValueError
    _hostname = name


class _Station:
    """What the Wi-Fi hardware does; it goes on through a soft reset."""

    active = False
    ssid = key = ""
    since = None  # ticks_ms of connect(), None when not asked to connect
    answered = False

    def status(self):
        if self.since is None:
            return STAT_IDLE
        if not self.answered and time.ticks_diff(time.ticks_ms(), self.since) < _CONNECT_MS:
            return STAT_CONNECTING
        self.answered = True  # ticks wrap around
        if self.ssid != _chip.ssid:
            return STAT_NO_AP_FOUND
        return STAT_GOT_IP if self.key == _chip.password else STAT_WRONG_PASSWORD


_station = _Station()
_settings = {"reconnects": -1, "pm": 1, "channel": 6}


class WLAN:
    """The station interface. There is no access point on the virtual board."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __init__(self, interface_id=STA_IF):
        if interface_id != STA_IF:
            raise ValueError("the virtual board has no access point" if interface_id == AP_IF else "invalid interface")

    def active(self, is_active=None):
        if is_active is not None:
            _station.active = bool(is_active)
            if not is_active:
                _station.since = None
        return _station.active

    def connect(self, ssid=None, key=None):
        self._check_active()
        status = _station.status()
        if status == STAT_GOT_IP:
            return
        if status != STAT_IDLE:  # a station that fails goes on trying until disconnect()
            raise _chip.error("Wifi Internal State Error")
        if ssid is not None:
            _station.ssid, _station.key = ssid, key or ""
        _station.answered = False
        _station.since = time.ticks_ms()

    def disconnect(self):
        self._check_active()
        _station.since = None

    def _check_active(self):
        if not _station.active:
            raise _chip.error("Wifi Not Started")

    def isconnected(self):
        return _station.status() == STAT_GOT_IP

    def status(self, param=None):
        if param is None:
            return _station.status()
        if param != "rssi":
            raise ValueError("unknown status param")
        if not self.isconnected():
            raise _chip.error("Wifi Not Connected")
        return _RSSI

    def ifconfig(self):
        """Address, netmask, gateway, name server."""
        return (_chip.ip, "255.0.0.0", _chip.ip, _chip.ip) if self.isconnected() else _NOWHERE

    def ipconfig(self, param):
        if param != "addr4":
            raise ValueError("unknown config param")
        return self.ifconfig()[:2]

    def config(self, param=None, **settings):
        known = {"mac": _chip.mac, "ssid": _station.ssid, "essid": _station.ssid, "hostname": _hostname}
        known.update(_settings)
        if param not in [None] + list(known) or not all(name in _settings for name in settings):
            raise ValueError("unknown config param")
        _settings.update(settings)
        return known.get(param)
