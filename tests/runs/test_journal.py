"""The journal: what is written is read back, kills cost nothing, damage is named with its line."""

import json
from pathlib import Path

import pytest

from nasengine.errors import NotARunError, RunError
from nasengine.records import Architecture, Candidate, Result, Trial
from nasengine.runs import FORMAT, JOURNAL_NAME, Header, Journal, canonical_records, read_journal

HEADER = Header("toy", "abc", {"net.width": [8, 16]}, {"macs": "minimize", "accuracy": "maximize"}, seed=3, lag=4)


def candidate(k: int, *parents: int) -> Candidate:
    return Candidate(Architecture({"net.width": 8 * k, "net.at": (1, k), "net.name": "é"}), parents)


def write_three(journal: Journal) -> None:
    """Trial 0 told, trial 1 finished, trial 2 running; written in the order of a real search."""
    journal.asked("search", 0, candidate(0), {"epochs": 2})
    journal.asked("search", 1, candidate(1, 0), {"epochs": 2})
    first = Result(0, "completed", {"accuracy": 0.5}, seconds=1.5, details={"curve": [0.1, 0.5]})
    journal.finished("search", first, 1.75)
    journal.told("search", Trial(0, candidate(0), "completed", {"accuracy": 0.5}))
    journal.asked("search", 2, candidate(2, 1, 0), {"epochs": 2}, same_as=None)
    journal.finished("search", Result(1, "failed", reason="the loss is not a number"), 2.5)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with Journal(tmp_path, HEADER) as journal:
        write_three(journal)
    return tmp_path


def test_what_is_written_is_read_back(run: Path) -> None:
    contents = read_journal(run)
    history = contents.history("search")
    assert contents.header == HEADER
    assert list(contents.header.objectives) == ["macs", "accuracy"]  # their order matters, and is kept
    assert [record.candidate for record in history.asked] == [candidate(0), candidate(1, 0), candidate(2, 1, 0)]
    assert [record.trial for record in history.told] == [Trial(0, candidate(0), "completed", {"accuracy": 0.5})]
    assert history.finished[0].details == {"curve": [0.1, 0.5]}
    assert history.finished[1].reason == "the loss is not a number"
    assert [trial.status for trial in history.trials] == ["completed", "failed"]
    assert history.elapsed_s == 2.5
    assert contents.history("another").canonical == ()


def test_every_line_is_canonical_json(run: Path) -> None:
    for line in (run / JOURNAL_NAME).read_text().splitlines():
        record = json.loads(line)
        assert line == json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_canonical_records_hold_no_time_and_no_outcome_that_was_not_told(run: Path) -> None:
    records = canonical_records(run)
    assert [(record["record"], record["trial"]) for record in records] == [
        ("asked", 0),
        ("asked", 1),
        ("told", 0),
        ("asked", 2),
    ]
    assert not any("seconds" in record or "details" in record or "elapsed_s" in record for record in records)


def test_a_record_is_on_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Journal(tmp_path, HEADER) as journal:
        write_three(journal)
        assert len(canonical_records(tmp_path)) == 4
        assert len(journal.history("search").asked) == 3


def test_a_reason_that_is_no_text_is_kept(tmp_path: Path) -> None:
    reason = "no file caf\udce9"  # as Python reads a name that is not in UTF-8
    with Journal(tmp_path, HEADER) as journal:
        journal.asked("search", 0, candidate(0), {})
        journal.finished("search", Result(0, "failed", reason=reason), 1.0)
    assert read_journal(tmp_path).history("search").finished[0].reason == reason


def test_a_journal_cut_anywhere_opens_as_far_as_its_lines_are_whole(run: Path) -> None:
    path = run / JOURNAL_NAME
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    near_ends = {end + shift for end in (0, *ends) for shift in (-1, 0, 1, 25)}
    for cut in sorted(cut for cut in near_ends if 0 <= cut < len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(run, HEADER) as journal:
            journal.asked("search", 99, candidate(3), {})
        kept = max((end for end in ends if end <= cut), default=0)
        text = path.read_bytes()
        assert text.startswith(whole[: max(kept, ends[0])])
        assert text.count(b"\n") == max(1, whole[:kept].count(b"\n")) + 1
        assert canonical_records(run)[-1]["trial"] == 99


def test_a_last_line_of_zeros_as_power_cuts_leave_it_is_dropped(run: Path) -> None:
    path = run / JOURNAL_NAME
    before = path.read_bytes()
    path.write_bytes(before + b"\0" * 4096)
    with Journal(run, HEADER):
        pass
    assert path.read_bytes() == before


def test_reading_a_journal_that_is_being_written_changes_nothing(run: Path) -> None:
    path = run / JOURNAL_NAME
    with open(path, "ab") as file:
        file.write(b'{"architecture":{"net.wi')
    before = path.read_bytes()
    assert len(canonical_records(run)) == 4
    assert len(read_journal(run).history("search").asked) == 3
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        b"not json\n",
        b'{"record":"asked"}\n',
        b'{"record":"unheard_of","trial":1}\n',
        b'{"record":"told","phase":"search","trial":7,"architecture":{},"status":"completed"}\n',
        b"[1, 2]\n",
        b"\n",
        b"\xff\xfe\n",
    ],
)
def test_damage_in_the_middle_is_refused_with_its_line(run: Path, damage: bytes) -> None:
    path = run / JOURNAL_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], damage, *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(RunError, match=r"journal\.jsonl, line 3: damaged"):
        read_journal(run)
    with pytest.raises(RunError, match="line 3"):
        Journal(run, HEADER)
    assert path.read_bytes() == before


def test_a_journal_of_another_format_is_refused(run: Path) -> None:
    path = run / JOURNAL_NAME
    path.write_text(path.read_text().replace(f'"format":{FORMAT}', '"format":99'))
    with pytest.raises(RunError, match="line 1: journal format 99, but this version of nasengine reads format 1"):
        read_journal(run)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_NAME).write_text('{"some": "json"}\n')
    with pytest.raises(RunError, match="line 1: not the header"):
        read_journal(tmp_path)


def test_a_folder_without_a_journal_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no journal\.jsonl"):
        read_journal(tmp_path)
    with pytest.raises(NotARunError, match="missing is not a run: it does not exist"):
        read_journal(tmp_path / "missing")
    with pytest.raises(NotARunError, match="missing is not a run: it does not exist"):
        Journal(tmp_path / "missing", HEADER)


def test_a_misspelt_run_is_told_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "quickstart-1").mkdir()
    (tmp_path / "quickstart-1" / "journal.jsonl").touch()
    with pytest.raises(NotARunError, match="did you mean 'quickstart-1'"):
        read_journal(tmp_path / "quickstat-1")


def test_an_empty_journal_says_that_nothing_began(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_NAME).touch()
    with pytest.raises(RunError, match="before it began"):
        read_journal(tmp_path)


def test_other_settings_are_refused_and_named(run: Path) -> None:
    other = Header("toy", "abd", {"net.width": [8, 16]}, {"macs": "minimize", "accuracy": "maximize"}, seed=4, lag=4)
    with pytest.raises(RunError, match="space_hash was 'abc', now 'abd'; seed was 3, now 4"):
        Journal(run, other)


def test_a_journal_refused_gives_its_lock_back(run: Path) -> None:
    with pytest.raises(RunError):
        Journal(run, Header("toy", "x", {}, {"a": "minimize"}, 0, 1))
    with Journal(run, HEADER) as journal:
        assert len(journal.history("search").asked) == 3


def test_phases_are_kept_apart(tmp_path: Path) -> None:
    with Journal(tmp_path, HEADER) as journal:
        journal.asked("first", 0, candidate(0), {})
        journal.asked("second", 0, candidate(1), {})
        journal.finished("second", Result(0, "completed", {"accuracy": 1.0}), 1.0)
        journal.told("second", Trial(0, candidate(1), "completed", {"accuracy": 1.0}))
    contents = read_journal(tmp_path)
    assert list(contents.phases) == ["first", "second"]
    assert contents.history("first").finished == {}
    assert contents.history("second").trials[0].architecture == candidate(1).architecture


def test_a_full_disk_is_a_run_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Journal(tmp_path, HEADER) as journal:
        usual = journal._file
        with open("/dev/full", "ab", buffering=0) as full:
            journal._file = full
            with pytest.raises(RunError, match="No space left on device"):
                write_three(journal)
            journal._file = usual
