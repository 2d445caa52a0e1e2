import struct

import pytest

from kit.errors import TableError
from kit.image.partition import APP, DATA, Partition
from kit.image.table import MICROPYTHON_OTA, PartitionTable

FLASH_SIZE = 4 * 1024 * 1024
END = b"\xff" * 32

# the rows of MicroPython's partitions-4MiB-ota.csv as ESP-IDF's gen_esp32part.py writes them
ROWS = [
    struct.pack("<2sBBLL16sL", b"\xaa\x50", type_, subtype, offset, size, label, 0)
    for type_, subtype, offset, size, label in [
        (1, 0x02, 0x9000, 0x4000, b"nvs"),
        (1, 0x00, 0xD000, 0x2000, b"otadata"),
        (1, 0x01, 0xF000, 0x1000, b"phy_init"),
        (0, 0x10, 0x10000, 0x180000, b"ota_0"),
        (0, 0x11, 0x190000, 0x180000, b"ota_1"),
    ]
]
MD5_ROW = b"\xeb\xeb" + b"\xff" * 14 + bytes.fromhex("6f91ac1bb2b49e61a1daefd12de800a2")


# what MicroPython's file says, and other spellings of it
CSV = """\ufeff# Notes: the offset of the partition table itself is set elsewhere.
# Name,   Type, SubType, Offset,   Size,     Flags

nvs,      data, nvs,     0x9000,   0x4000,
otadata,  DATA, 0,       ,         8K,
\t  # phy_init may stay out,
phy_init, 1,    phy,     61440,    4k, ,
ota_0,    app,  ota_0,   ,         1536K,
ota_1,    0x0,  0x11,    0x190000, 0x180000\r
"""


def table_of(*partitions: Partition) -> PartitionTable:
    return PartitionTable(tuple(partitions))


def test_bytes_are_those_of_esp_idf():
    data = MICROPYTHON_OTA.to_bytes()
    assert data == (b"".join(ROWS) + MD5_ROW).ljust(0xC00, b"\xff")
    assert PartitionTable.from_bytes(data) == MICROPYTHON_OTA


def test_a_table_without_md5_is_valid():
    assert PartitionTable.from_bytes(b"".join(ROWS) + END) == MICROPYTHON_OTA


def test_flags_and_a_label_of_16_bytes_survive():
    partition = Partition("sixteen_letters_", DATA, 0x83, 0x9000, 0x1000, flags=3)
    assert PartitionTable.from_bytes(table_of(partition).to_bytes()) == table_of(partition)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff" * 0xC00, "the flash is blank"),
        (b"", "partition table has no terminating entry, not valid"),
        (b"".join(ROWS), "partition table has no terminating entry, not valid"),
        (b"\0" * 0xC00, "partition 0 invalid magic number 0x0"),
        (ROWS[0] + b"\xaa\x51" + ROWS[1][2:] + END, "partition 1 invalid magic number 0x51aa"),
        (b"".join(ROWS[:4]) + MD5_ROW + END, "Incorrect MD5 checksum"),
        (b"".join(ROWS) + MD5_ROW * 2 + END, "Only one MD5 checksum is allowed"),
    ],
)
def test_a_table_the_bootloader_refuses(data: bytes, message: str):
    with pytest.raises(TableError, match=message) as caught:
        PartitionTable.from_bytes(data)
    assert caught.value.advice


def test_csv_is_read_as_esp_idf_reads_it():
    assert PartitionTable.from_csv(CSV) == MICROPYTHON_OTA


def test_an_empty_offset_is_the_next_place_that_fits():
    table = PartitionTable.from_csv(
        "a,data,nvs,,0x5000\nb,app,factory,,100K\nc,data,fat,,100\nd,0x40,7,,4K\ne,app,test,,1M"
    )
    assert [partition.offset for partition in table] == [0x9000, 0x10000, 0x29000, 0x2A000, 0x30000]


def test_csv_has_names_for_types_subtypes_and_flags():
    table = PartitionTable.from_csv(
        """
        a, app,             ota_15,,  4K, encrypted
        b, data,            littlefs, , 4K, encrypted:readonly
        c, data,            , , 4K,, ,
        d, 0xfe,            , , 4K, readonly:
        e, bootloader,      ota, , 4K
        f, partition_table, ota, , 4K
        """
    )
    kinds = [(row.type, row.subtype, row.flags) for row in table]
    assert kinds == [(0, 0x1F, 1), (1, 0x83, 3), (1, 6, 0), (0xFE, 6, 2), (2, 1, 0), (3, 1, 0)]
    assert [row.type_name for row in table] == ["app", "data", "data", "0xfe", "bootloader", "partition_table"]
    assert [row.subtype_name for row in table] == ["ota_15", "littlefs", "undefined", "0x06", "ota", "ota"]


GOOD = "# my table\nnvs, data, nvs, , 20K\n"  # ends at 0xe000


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("app0", "The type is missing."),
        ("app0, app", "The subtype is missing."),
        ("app0, app, ota_0", "The size is missing."),
        (", app, ota_0, , 1M", "The name is missing."),
        ("app0, ap, ota_0, , 1M", "'ap' is no type."),
        ("app0, 0xff, 0, , 1M", "'0xff' is no type."),
        ("app0, -1, 0, , 1M", "'-1' is no type."),
        ("app0, app, ota_16, , 1M", "'ota_16' is no subtype."),
        ("app0, app, spiffs, , 1M", "'spiffs' is no subtype."),
        ("app0, app, 256, , 1M", "'256' is no subtype."),
        ("app0, app, ota_0, here, 1M", "'here' is no offset."),
        ("app0, app, ota_0, , 1.5M", "'1.5M' is no size."),
        ("app0, app, ota_0, , 1MB", "'1MB' is no size."),
        ("app0, app, ota_0, , M", "'M' is no size."),
        ("app0, app, ota_0, , 0", "'0' is no size."),
        ("app0, app, ota_0, , -1", "'-1' is no size."),
        ("app0, app, ota_0, , 4097M", "'4097M' is no size."),
        ("app0, app, ota_0, , 1M # large", "'1M # large' is no size."),
        ("app0, app, ota_0, , 1M, read-only", "'read-only' is no flag."),
        ("fs, data, fat, , 1M, encrypted, readonly", "'encrypted,readonly' is no flag."),
        ("fs, data, fat, 0x8000, 4K", "Partition 'fs' at 0x8000 overlaps what stands before it, up to 0xe000."),
        ("fs, data, fat, 0xd000, 4K", "Partition 'fs' at 0xd000 overlaps what stands before it, up to 0xe000."),
        ("app0, app, ota_0, 0x11000, 1M", "Offset 0x11000 of 'app0' is not aligned to 0x10000."),
        ("fs, data, fat, 0xe800, 4K", "Offset 0xe800 of 'fs' is not aligned to 0x1000."),
        ("app0, app, ota_0, , 0x1800", "Size 0x1800 of 'app0' is not aligned to 0x1000."),
        ("seventeen_letters, data, fat, , 4K", "Label 'seventeen_letters' is longer than 16 bytes."),
        ("größe, data, fat, , 4K", "Label 'größe' is not plain ASCII."),
        ("a\0b, data, fat, , 4K", "Label 'a\\x00b' is not plain ASCII."),
        ("nvs, data, fat, , 4K", "Partition labels must be unique, and 'nvs' is used twice."),
        ("o, data, ota, , 8K\np, data, ota, , 8K", "Found multiple otadata partitions."),
        ("o, data, ota, , 4K", "otadata partition must have size 0x2000, not 0x1000."),
        ("n, data, nvs, , 8K", "nvs partition must have size 0x3000 or more, not 0x2000."),
        ("o, data, ota, , 8K, readonly", "Partition 'o' is always written to and cannot be readonly."),
    ],
)
def test_csv_that_breaks_a_rule(line: str, cause: str):
    text = GOOD + line
    with pytest.raises(TableError) as caught:
        PartitionTable.from_csv(text + "\n, this line is never reached")
    assert caught.value.cause == f"Line {text.count(chr(10)) + 1}: {cause}"
    assert caught.value.advice


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# Name, Type, SubType, Offset, Size, Flags\n", None, b"nvs,data,nvs,,20K"]
)
def test_what_is_no_csv(text: object):
    with pytest.raises(TableError, match=r"no partition in this\. Give the text of a CSV file"):
        PartitionTable.from_csv(text)


def test_csv_with_more_partitions_than_a_table_has_room_for():
    lines = [f"p{number}, data, fat, , 4K" for number in range(95)]
    assert len(PartitionTable.from_csv("\n".join(lines[:94]))) == 94
    with pytest.raises(TableError, match="Line 95: A partition table cannot hold 95"):
        PartitionTable.from_csv("\n".join(lines))


def test_csv_says_nothing_about_the_size_of_the_flash():
    table = PartitionTable.from_csv("fs, data, fat, 0x400000, 4M")
    table.check(8 * 1024 * 1024)
    with pytest.raises(TableError, match="exceeds flash chip size 0x400000"):
        table.check(FLASH_SIZE)


def test_95_partitions_are_too_many():
    rows = [Partition(f"p{n}", DATA, 0x06, 0x9000 + n * 0x1000, 0x1000) for n in range(95)]
    assert PartitionTable.from_bytes(table_of(*rows[:94]).to_bytes()) == table_of(*rows[:94])
    with pytest.raises(TableError, match="cannot hold 95"):
        table_of(*rows).to_bytes()


def test_it_is_a_sequence():
    assert len(MICROPYTHON_OTA) == 5
    assert MICROPYTHON_OTA[0].label == "nvs"
    assert [p.end for p in MICROPYTHON_OTA][:2] == [0xD000, 0xF000]


def test_find():
    assert MICROPYTHON_OTA.find("ota_1").offset == 0x190000
    with pytest.raises(TableError, match=r"no partition 'ota_2'.*There are: nvs, otadata"):
        MICROPYTHON_OTA.find("ota_2")


def test_slots_are_in_order_of_their_number():
    table = table_of(MICROPYTHON_OTA[4], Partition("factory", APP, 0, 0x310000, 0x10000), MICROPYTHON_OTA[3])
    assert [slot.label for slot in table.slots] == ["ota_0", "ota_1"]


def test_otadata():
    assert MICROPYTHON_OTA.otadata.offset == 0xD000
    assert table_of().otadata is None


def test_names():
    assert (MICROPYTHON_OTA[1].type_name, MICROPYTHON_OTA[1].subtype_name) == ("data", "ota")
    unknown = Partition("mine", 0x40, 0x07, 0x9000, 0x1000)
    assert (unknown.type_name, unknown.subtype_name) == ("0x40", "0x07")


def test_a_running_micropython_adds_vfs():
    table = MICROPYTHON_OTA.with_vfs(FLASH_SIZE)
    assert table[-1] == Partition("vfs", DATA, 0x81, 0x310000, 0xF0000)
    assert table.with_vfs(FLASH_SIZE) == table


@pytest.mark.parametrize("flash_size", [0x310000, 0x200000])
def test_no_vfs_where_no_flash_is_left(flash_size: int):
    assert MICROPYTHON_OTA.with_vfs(flash_size) == MICROPYTHON_OTA


def test_an_empty_table_gets_no_vfs():
    assert table_of().with_vfs(FLASH_SIZE) == table_of()


def test_the_tables_of_micropython_pass_the_check():
    MICROPYTHON_OTA.check(FLASH_SIZE)
    MICROPYTHON_OTA.with_vfs(FLASH_SIZE).check(FLASH_SIZE)


@pytest.mark.parametrize(
    ("partitions", "message"),
    [
        ([Partition("a", DATA, 0x82, 0x8000, 0x1000)], "'a' at 0x8000 is below 0x9000"),
        ([Partition("a", DATA, 0x82, 0x9800, 0x1000)], "0x9800 of 'a' is not aligned to 0x1000"),
        ([Partition("a", APP, 0x10, 0x11000, 0x1000)], "0x11000 of 'a' is not aligned to 0x10000"),
        ([Partition("a", APP, 0x10, 0x10000, 0x1800)], "Size 0x1800 of 'a' is not aligned"),
        (
            [Partition("a", APP, 0x10, 0x10000, 0x400000)],
            "partition 0 invalid - offset 0x10000 size 0x400000 exceeds flash chip size 0x400000",
        ),
        ([Partition("a", DATA, 0x00, 0x9000, 0x1000)], "otadata partition must have size 0x2000"),
        ([Partition("a", DATA, 0x02, 0x9000, 0x2000)], "nvs partition must have size 0x3000 or more"),
        ([Partition("a" * 17, DATA, 0x82, 0x9000, 0x1000)], "longer than 16 bytes"),
        ([Partition("ähnlich", DATA, 0x82, 0x9000, 0x1000)], "'ähnlich' is not plain ASCII"),
        ([Partition("a", DATA, 0x03, 0x9000, 0x1000, flags=2)], "'a' is always written to and cannot be readonly"),
        ([Partition("a", DATA, 0x82, 0x9000, 0x1000), Partition("a", DATA, 0x82, 0xA000, 0x1000)], "must be unique"),
        (
            [Partition("a", DATA, 0x00, 0x9000, 0x2000), Partition("b", DATA, 0x00, 0xB000, 0x2000)],
            "multiple otadata",
        ),
        (
            [Partition("b", DATA, 0x82, 0xA000, 0x1000), Partition("a", DATA, 0x82, 0x9000, 0x2000)],
            "'b' at 0xa000 overlaps 'a'",
        ),
    ],
)
def test_a_table_that_breaks_a_rule(partitions: list[Partition], message: str):
    with pytest.raises(TableError, match=message):
        table_of(*partitions).check(FLASH_SIZE)


def test_the_text_is_a_table():
    lines = repr(MICROPYTHON_OTA).splitlines()
    assert lines[0].split() == ["label", "type", "subtype", "offset", "end", "size"]
    assert lines[4].split() == ["ota_0", "app", "ota_0", "0x10000", "0x190000", "1,536", "KiB"]
    assert len({len(line) for line in lines}) == 1


def test_the_html_escapes_labels():
    html = table_of(Partition("<b>", DATA, 0x82, 0x9000, 0x1000))._repr_html_()
    assert ">&lt;b&gt;<" in html
