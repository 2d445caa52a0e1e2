"""What the experiment with all power cuts shows of itself."""

from kit.faults.cuts import Cut, Cuts


def cuts(*regions: tuple[str, str]) -> Cuts:
    return Cuts(tuple(Cut(number, "write", *region) for number, region in enumerate(regions, 1)))


SLOT = [("ota_1", "old")] * 1200 + [("ota_1", "broken"), ("otadata", "old"), ("otadata", "new")]


def test_text_is_the_same_however_long_notes_and_log_are():
    one, other = (cuts(*SLOT, *[("nvs", "new")] * n, *[("vfs", "new")] * n) for n in (3, 9))
    assert repr(one) == repr(other)
    assert repr(one).splitlines() == [
        "            cuts     old     new  broken",
        "ota_1      1,201   1,200       0       1",
        "otadata        2       1       1       0",
        "others                                 0",
    ]
    assert one._repr_html_() != other._repr_html_()
    assert one.plot().alt == other.plot().alt


def test_text_tells_of_boards_that_notes_and_log_have_broken():
    assert repr(cuts(*SLOT, ("vfs", "broken"), ("nvs", "broken"))).splitlines()[-1].split() == ["others", "2"]
