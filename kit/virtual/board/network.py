# Runs on CPython and on MicroPython.
"""MicroPython's `network` module for the virtual board, which knows one Wi-Fi network (ports/esp32/network_wlan.c).

It has one address there, on this computer's loopback. With another static one it never comes up: nobody could reach it.
"""

import time

import _chip

STA_IF, AP_IF = 0, 1

STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD = 201, 202

_CONNECT = 300_000_000  # ns, modelled: until the answer of the network is known
_RSSI = -55  # modelled

_settings = {"hostname": "mpy-esp32", "reconnects": -1, "pm": 1, "channel": 6}


def hostname(name=None):
    if name is None:
        return _settings["hostname"]
    if len(name) > 32:
        raise ValueError
    _settings["hostname"] = name


class WLAN:
    """The station interface. There is no access point on the virtual board."""

    IF_STA, IF_AP = STA_IF, AP_IF
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2

    # What the Wi-Fi hardware does goes on through a soft reset.
    _is_active, _ssid, _key = False, "", ""
    _static = None  # (address, netmask, gateway, name server) in place of what DHCP gives
    _since = None  # ns: when connect() was called, None when not asked to connect

    def __init__(self, interface_id=STA_IF):
        if interface_id != STA_IF:
            raise ValueError("the virtual board has no access point" if interface_id == AP_IF else "invalid interface")

    def active(self, is_active=None):
        if is_active is not None:
            WLAN._is_active = bool(is_active)
            if not is_active:
                WLAN._since = None
                self.status()
        return self._is_active

    def connect(self, ssid=None, key=None):
        self._check_active()
        status = self.status()
        if status == STAT_GOT_IP:
            return
        if status != STAT_IDLE:  # a station that fails goes on trying until disconnect()
            raise _chip.error("Wifi Internal State Error")
        if ssid is not None:
            WLAN._ssid, WLAN._key = ssid, key or ""
        WLAN._since = time.time_ns()

    def disconnect(self):
        self._check_active()
        WLAN._since = None
        self.status()

    def _check_active(self):
        if not self._is_active:
            raise _chip.error("Wifi Not Started")

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, param=None):
        status = self._status()
        _chip.named(hostname(), status == STAT_GOT_IP)
        if param is None:
            return status
        if param != "rssi":
            raise ValueError("unknown status param")
        if status != STAT_GOT_IP:
            raise _chip.error("Wifi Not Connected")
        return _RSSI

    def _status(self):
        if self._since is None:
            return STAT_IDLE
        if time.time_ns() - self._since < _CONNECT:
            return STAT_CONNECTING
        if self._ssid != _chip.ssid:
            return STAT_NO_AP_FOUND
        if self._key != _chip.password:
            return STAT_WRONG_PASSWORD
        return STAT_CONNECTING if self._static and self._static[0] != _chip.ip else STAT_GOT_IP

    def ifconfig(self, config=None):
        """Address, netmask, gateway, name server. Setting them ends DHCP, until it is set to "dhcp"."""
        if config is None:
            found = self._static or (_chip.ip, "255.0.0.0", _chip.ip, _chip.ip)
            return found if self.isconnected() else ("0.0.0.0",) * 4
        if config != "dhcp" and (isinstance(config, str) or len(config) != 4):
            raise ValueError("invalid arguments")
        WLAN._static = None if config == "dhcp" else tuple(config)

    def ipconfig(self, param):
        if param != "addr4":
            raise ValueError("unknown config param")
        return self.ifconfig()[:2]

    def config(self, param=None, **settings):
        known = {"mac": _chip.mac, "ssid": self._ssid, "essid": self._ssid}
        known.update(_settings)
        if param not in [None] + list(known) or not all(name in _settings for name in settings):
            raise ValueError("unknown config param")
        _settings.update(settings)
        return known.get(param)
