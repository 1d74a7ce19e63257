"""Reports: of one session, and of several side by side.

reading      from the files to what a report is made of; the only part that reads
stats        windows of a noisy curve, their errors, and whether two differ
metrics      the table of metrics, and what a run is judged by
findings     alerts with what, when, why it matters and what to do;  meanings: the words for that
verdict      the words, each with the rule that leads to it
facts        what the run was;  analysis: all of it together, as plain data
comparison   the same for several sessions
charts       pictures with their content in words;  html, markdown: the pages
write        to files
"""

from renderer.report.reading import COMPUTED, STORED, UNKNOWN, Judged, NoSuchSession, has_stored_alerts, sessions_asked
from renderer.report.write import (
    FORMATS,
    compare_numbers,
    comparison_file,
    numbers,
    report_file,
    write_comparison,
    write_report,
)

__all__ = [
    "COMPUTED",
    "FORMATS",
    "STORED",
    "UNKNOWN",
    "Judged",
    "NoSuchSession",
    "compare_numbers",
    "comparison_file",
    "has_stored_alerts",
    "numbers",
    "report_file",
    "sessions_asked",
    "write_comparison",
    "write_report",
]
