import random

import pytest

from kit.ota.history import History, Update, updates_in
from kit.ota.log import Entry

A, B = {"version": "1.1.0", "slot": "ota_1"}, {"version": "1.2.0", "slot": "ota_0"}
IN_OTHER_SLOT = {"version": "1.0.0", "slot": "ota_0"}
WHY = "NameError in main.py, line 12"


def entry(event: str, boot: int = 1, **facts: object) -> Entry:
    return Entry(boot, 5, event, None, None, facts)


def start(boot: int = 1, **facts: object) -> Entry:
    return entry("UPDATE_START", boot, bytes=1_523_712, **facts)


def complete(boot: int = 1, **facts: object) -> Entry:
    return entry("UPDATE_COMPLETE", boot, bytes=1_523_712, seconds=15.2, **facts)


def confirmed(boot: int = 2, **facts: object) -> Entry:
    return entry("CONFIRMED", boot, **facts)


def rolled_back(boot: int = 3, step: str = "found", **facts: object) -> Entry:
    return entry("ROLLED_BACK", boot, step=step, cause=WHY, **facts)


def refused(boot: int = 1, error: str = "UPDATE_ERROR_MD5", **facts: object) -> Entry:
    return entry("UPDATE_REFUSED", boot, error=error, **facts)


def cut(boot: int = 2, **facts: object) -> Entry:
    return refused(boot, "UPDATE_ERROR_ABORT", step="writing", cause="the power went, or EN was pressed", **facts)


def returning(**facts: object) -> Entry:
    return entry("RESTART", **facts)


CUT = "1.1.0  interrupted  the power went, or EN was pressed"
BACK = f"1.1.0  rolled back  {WHY}"


@pytest.mark.parametrize(
    ("entries", "lines"),
    [
        ([], ["no updates"]),
        ([entry("LOGIN_SUCCESS"), entry("RESTART"), entry("CONFIG", settings="x")], ["no updates"]),
        ([start(**A), complete(**A), confirmed(**A)], ["1.1.0  confirmed"]),
        ([start(**A), complete(**A), rolled_back(**A)], [BACK]),
        ([start(**A), complete(**A)], ["1.1.0  on probation"]),
        ([start(**A)], ["1.1.0  interrupted"]),
        ([start(**A), entry("LOGIN_SUCCESS", 2)], ["1.1.0  interrupted"]),
        ([start(**A), cut(**A)], [CUT]),
        # without a version the board had not begun: two lines of one second can change places
        ([start(**A), refused(), refused(**A)],
         ["1.1.0  refused  UPDATE_ERROR_MD5", "unknown  refused  UPDATE_ERROR_MD5"]),
        ([start(**A), refused(**A)], ["1.1.0  refused  UPDATE_ERROR_MD5"]),
        # the version that comes in for one that was left is no update, the next one is
        ([start(**A), complete(**A), confirmed(**A), rolled_back(9, "confirmed", **A),
          confirmed(10, version="1.0.0", slot="ota_0"), confirmed(11, **B)],
         [BACK, "1.2.0  confirmed"]),
        ([refused(**A)], ["1.1.0  refused  UPDATE_ERROR_MD5"]),
        ([start(**A), refused(**A), start(**A), complete(**A)],
         ["1.1.0  refused  UPDATE_ERROR_MD5", "1.1.0  on probation"]),
        ([start(**A), refused(**A), cut(**A)], ["1.1.0  refused  UPDATE_ERROR_MD5"]),
        ([refused()], ["unknown  refused  UPDATE_ERROR_MD5"]),
        ([entry("UPDATE_REFUSED")], ["unknown  refused"]),
        # confirmed, and given up later
        ([start(**A), complete(**A), confirmed(**A), rolled_back(9, "confirmed", **A)], [BACK]),
        # what comes in for it confirms itself too, and is no update; one that is sent later is
        ([start(**A), complete(**A), confirmed(**A), rolled_back(9, "confirmed", **A), confirmed(10, **IN_OTHER_SLOT)],
         [BACK]),
        ([rolled_back(9, "confirmed", **A), confirmed(10, **IN_OTHER_SLOT), start(10, **A), complete(10, **A)],
         [BACK, "1.1.0  on probation"]),
        ([rolled_back(9, "confirmed", **A), start(10, **IN_OTHER_SLOT), confirmed(11, **IN_OTHER_SLOT)],
         [BACK, "1.0.0  confirmed"]),
        # each by its own slot and version
        ([start(**A), complete(**A), confirmed(**A), start(2, **B), complete(2, **B), rolled_back(4, **B)],
         ["1.1.0  confirmed", f"1.2.0  rolled back  {WHY}"]),
        ([start(**A), complete(**A), rolled_back(**A), start(3, **A), complete(3, **A), confirmed(4, **A)],
         [BACK, "1.1.0  confirmed"]),
        ([start(**A), start(**A), complete(**A), confirmed(**A)], ["1.1.0  interrupted", "1.1.0  confirmed"]),
        ([start(**A), complete(**A), confirmed(version="1.1.0", slot="ota_0")],
         ["1.1.0  on probation", "1.1.0  confirmed"]),
        # what is refused while another one runs, or in another start
        ([start(**A), refused(error="UPDATE_ERROR_BUSY"), complete(**A)],
         ["1.1.0  on probation", "unknown  refused  UPDATE_ERROR_BUSY"]),
        ([start(**A), refused(2, "UPDATE_ERROR_VERSION")],
         ["1.1.0  interrupted", "unknown  refused  UPDATE_ERROR_VERSION"]),
        ([start(**A), complete(**A), refused()], ["1.1.0  on probation", "unknown  refused  UPDATE_ERROR_MD5"]),
        ([start(**A), cut(**A), refused(2)], [CUT, "unknown  refused  UPDATE_ERROR_MD5"]),
        # a refusal that repeats itself was counted, and is written later
        ([refused(), refused(count=3)],
         ["unknown  refused  UPDATE_ERROR_MD5", "unknown  refused  UPDATE_ERROR_MD5, 3 times"]),
        ([refused(count=2**40)], ["unknown  refused  UPDATE_ERROR_MD5, 1,099,511,627,776 times"]),
        ([refused(count=0)], ["unknown  refused  UPDATE_ERROR_MD5"]),
        # going back on request is no update
        ([returning(**A), confirmed(**A)], ["no updates"]),
        ([returning(**A), rolled_back(**A)], ["no updates"]),
        ([start(**A), complete(**A), confirmed(**A), returning(**A), rolled_back(9, "booted", **A)],
         ["1.1.0  confirmed"]),
        ([returning(**A), confirmed(**A), rolled_back(9, "confirmed", **A)], [BACK]),
        ([returning(**A), start(**A), complete(**A), confirmed(**A)], ["1.1.0  confirmed"]),
        ([returning(**A), start(**B), complete(**B), confirmed(**B)], ["1.2.0  confirmed"]),
        # confirmed once more is not sent once more; and what was given up stays that
        ([start(**A), complete(**A), confirmed(**A), confirmed(5, **A)], ["1.1.0  confirmed"]),
        ([start(**A), complete(**A), rolled_back(**A), confirmed(5, **A)], [BACK]),
        # of which the log has lost the start
        ([complete(**A)], ["1.1.0  on probation"]),
        ([complete(**A), confirmed(**A)], ["1.1.0  confirmed"]),
        ([confirmed(**A)], ["1.1.0  confirmed"]),
        ([rolled_back(**A)], [BACK]),
        ([cut(**A)], [CUT]),
        # lines that say too little
        ([entry("CONFIRMED"), entry("ROLLED_BACK", cause=WHY), entry("UPDATE_COMPLETE", version="1.1.0")],
         ["no updates"]),
        ([entry("UPDATE_START")], ["unknown  interrupted"]),
        ([start(**A), complete(**A), entry("ROLLED_BACK", 2, cause=None, **A)], ["1.1.0  rolled back"]),
    ],
)  # fmt: skip
def test_pairing(entries: list[Entry], lines: list[str]):
    assert str(History(updates_in(entries), True)) == "\n".join(lines)


def test_facts_of_an_update():
    entries = [Entry(12, 36, "UPDATE_START", "2026-11-30T10:15:00Z", "192.168.1.7", A | {"bytes": 1000})]
    entries += [complete(12, **A), rolled_back(14, **A)]
    [update] = updates_in(entries)
    assert update == Update("1.1.0", "ota_1", 12, 36, "2026-11-30T10:15:00Z", 15.2, 1000, "rolled back", WHY)
    assert repr(update) == BACK


def test_html_is_a_table(cells):
    history = History(updates_in([start(12, **A), complete(12, **A), rolled_back(14, **A), refused(14)]), True)
    assert repr(history) == "the history of the virtual board"
    head, *rows = cells(history._repr_html_())
    assert head == ["version", "slot", "start", "clock", "seconds", "kB", "outcome", "cause"]
    assert rows[0] == ["1.1.0", "ota_1", "12", "", "15.2", "1,524", "rolled back", WHY]
    assert rows[1] == ["unknown", "", "14", "", "", "", "refused", "UPDATE_ERROR_MD5"]
    assert len(history) == len([*history]) == 2


def test_html_is_escaped_and_of_nothing_says_so():
    hostile = {"version": "<b>", "slot": "<b>"}
    entries = [start(**hostile), entry("ROLLED_BACK", 2, cause="<b>", **hostile)]
    assert "<b>" not in History(updates_in(entries), True)._repr_html_()
    assert "no updates" in History((), True)._repr_html_()


def test_no_order_of_events_is_too_much():
    """Whatever a log tells: as many updates as began or ended at most, and none without an outcome."""
    kinds = [start, complete, confirmed, rolled_back, refused, cut, returning]
    for seed in range(300):
        chance = random.Random(seed)
        entries = [chance.choice(kinds)(**chance.choice([A, B, {}, {"count": 2}])) for _ in range(12)]
        updates = updates_in(entries)
        assert len(updates) <= len(entries)
        assert {update.outcome for update in updates} <= {
            "confirmed", "rolled back", "refused", "interrupted", "on probation",
        }  # fmt: skip
        assert updates_in(entries) == updates
