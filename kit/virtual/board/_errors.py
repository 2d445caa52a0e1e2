# Runs on CPython and on MicroPython.
"""ESP-IDF's errors as MicroPython raises them: OSError(-code, name), ports/esp32/mphalport.c of v1.26."""

import _chip

# esp_err.h, esp_ota_ops.h, nvs.h
_CODES = """
    ESP_FAIL -1 ESP_ERR_INVALID_ARG 0x102 ESP_ERR_INVALID_SIZE 0x104 ESP_ERR_NOT_FOUND 0x105 ESP_ERR_NOT_ALLOWED 0x10D
    ESP_ERR_OTA_VALIDATE_FAILED 0x1503
    ESP_ERR_NVS_NOT_INITIALIZED 0x1101 ESP_ERR_NVS_NOT_FOUND 0x1102 ESP_ERR_NVS_NOT_ENOUGH_SPACE 0x1105
    ESP_ERR_NVS_KEY_TOO_LONG 0x1109 ESP_ERR_NVS_INVALID_LENGTH 0x110C ESP_ERR_NVS_NO_FREE_PAGES 0x110D
    ESP_ERR_NVS_VALUE_TOO_LONG 0x110E ESP_ERR_NVS_NEW_VERSION_FOUND 0x1110
"""


def need(value, name):
    """Return `value`; where it is false or empty, raise the error of this name."""
    if not value:
        words = _CODES.split()
        raise _chip.error(-int(words[words.index(name) + 1], 0), name)
    return value
