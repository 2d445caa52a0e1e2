"""The usual status and advice of each refusal of an update. Loaded when there is one."""

# UPDATE_ERROR_..., HTTP status, advice. One text takes half of the memory of a dict
KINDS = """
SIZE 413 Send an update image, or make the application smaller.
SPACE 413 Send the image and nothing behind it, in a form as its last part.
ABORT 400 Check the connection to the board. Send the image again.
MD5 422 Send the image again.
MAGIC_BYTE 415 Send the .bin file that kit.build() or `python -m kit build` makes.
WRITE 500 Send the image again.
ACTIVATE 422 Send the .bin file that kit.build() or `python -m kit build` makes.
VERSION 409 Build a higher version, or add ?force=1 to the address.
BUSY 409 Wait until GET /progress says idle.
UNCONFIRMED 409 Wait until GET /info says VALID. Send the image again.
NO_PARTITION 409 Flash the OTA variant by USB: board.flash(image, erase=True, confirm=True), then board.install().
SIGN 403 Sign it with a key that the board trusts: image.sign(key), board.install(signers=[key]).
BASE 412 Send the whole image, by POST.
PASSWORD 403 POST password=admin123 and new=... to /password, or run board.install() over USB.
"""
