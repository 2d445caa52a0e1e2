import zlib

from kit.image import standin, table
from kit.image.app_image import AppImage


def test_the_stand_in_is_the_same_each_time():
    assert standin.image_set() == standin.image_set()


def test_the_app_compresses_as_firmware_does():
    app = standin.app()
    assert 0.6 < len(zlib.compress(app)) / len(app) < 0.7


def test_mapped_segments_stand_where_the_bootloader_can_map_them():
    drom = AppImage.parse(standin.app()).segments[0]
    assert (drom.address - drom.offset) % 0x10000 == 0


def test_every_part_fits_its_place():
    base = standin.image_set()
    assert base.is_stand_in
    assert len(base.bootloader) <= table.OFFSET - 0x1000
    assert AppImage.parse(base.bootloader).descriptor is None
    AppImage.parse(base.app).check()
    assert len(base.app) < base.table.slots[0].size
