"""The virtual board: a stand-in for an ESP32, on this computer."""
