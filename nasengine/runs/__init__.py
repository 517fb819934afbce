"""What a run leaves on disk: its folder, its lock and its journal, the only truth of a run. Free of torch."""

from nasengine.runs.entries import FORMAT, Asked, Finished, Header, Told
from nasengine.runs.files import write_atomically
from nasengine.runs.folder import JOURNAL_NAME, create_run_folder, lock_holder, not_a_run
from nasengine.runs.journal import Contents, History, Journal, canonical_records, read_journal
from nasengine.runs.status import RunStatus, status

__all__ = [
    "FORMAT",
    "JOURNAL_NAME",
    "Asked",
    "Contents",
    "Finished",
    "Header",
    "History",
    "Journal",
    "RunStatus",
    "Told",
    "canonical_records",
    "create_run_folder",
    "lock_holder",
    "not_a_run",
    "read_journal",
    "status",
    "write_atomically",
]
