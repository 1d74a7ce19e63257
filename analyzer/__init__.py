"""Watches sessions while they run and says what is wrong with them: alerts, published as records.

`check_session(base, session)` gives the same alerts for a run that has ended, without any service.
"""

from analyzer.check import check_session

__all__ = ["check_session"]
