"""The board's Wi-Fi connection. Once made, MicroPython renews it by itself."""

import asyncio

import network

_PATIENCE = 15  # seconds until the reason is printed and the connection tried anew
_REASONS = {
    network.STAT_NO_AP_FOUND: "no network of this name was found. Is it on, and on 2.4 GHz?",
    network.STAT_WRONG_PASSWORD: "the password is wrong. board.install() writes a new one.",
}

_wlan = network.WLAN(network.STA_IF)
hostname = network.hostname


def ip():
    return _wlan.ifconfig()[0]


def is_up():
    """Tell whether the board is in the network."""
    return _wlan.isconnected()


def rssi():
    """Return the signal strength in dBm, None without a connection."""
    return _wlan.status("rssi") if _wlan.isconnected() else None


async def connect(chosen):
    """Return once the board has an address; until then keep trying, and say why it takes so long.

    Args:
        chosen: dict of settings, as in config.py.
    """
    name, password = chosen["wifi_ssid"], chosen["wifi_password"]
    hostname(chosen["hostname"])
    _wlan.active(True)
    if chosen["static"]:
        _wlan.ifconfig(chosen["static"])
    print(f"Connecting to WiFi: {name}")
    while not await _is_up(name, password):
        reason = _REASONS.get(_wlan.status(), "no answer from the network.")
        print(f"WiFi: {reason} Trying again.")
    print("WiFi connected!")
    print(f"IP Address: {ip()}")
    print(f"Signal Strength: {rssi()} dBm")


async def _is_up(name, password):
    if not _wlan.isconnected():  # it outlives a soft reset
        _wlan.disconnect()  # so does an attempt, and connect() refuses to begin a second one
        _wlan.connect(name, password)
    for _ in range(_PATIENCE * 10):
        if _wlan.isconnected():
            return True
        await asyncio.sleep(0.1)
    return False
