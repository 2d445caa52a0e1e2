import kit
from kit.ota.client import OtaClient


def test_a_blank_slot_gets_the_whole_image(board: kit.Board):
    """As a new board's. The other one runs on, and so do its records."""
    image = kit.build("1.1.0", board=board)
    slot = board.partitions().find("ota_1")
    records = repr(board.otadata())
    kit.faults.blank_slot(board)
    assert board.read(slot.offset, slot.size) == b"\xff" * slot.size
    assert repr(board.otadata()) == records
    ota = OtaClient(board.url)
    ota.login()
    assert ota.upload(image).sectors is None
