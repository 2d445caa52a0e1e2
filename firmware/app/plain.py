"""What a text may not hold that people type in. Loaded when they do."""

from micropython import const

# Unicode's controls, ends of lines and paragraphs, changes of direction, and surrogates, which JSON can hold
_NOT_PLAIN = const(((0, 0x1F), (0x7F, 0x9F), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069), (0xD800, 0xDFFF)))


def is_plain(text):
    """Tell whether a text can be shown in one line, and be UTF-8."""
    return not any(low <= ord(c) <= high for c in text for low, high in _NOT_PLAIN)
